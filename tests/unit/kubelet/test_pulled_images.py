"""Who may use an image that a Secret brought to the node, over starts of the kubelet, too."""

from __future__ import annotations

from pathlib import Path

import pytest

from kubelet.pull_secrets import Proof
from kubelet.pulled_images import PulledImages

NAME, ID = "ghcr.io/a/b:1", "sha256:1"
MINE = Proof("1", "default", "s", "x")
OTHER = Proof("2", "other", "t", "y")


async def pulled(images: PulledImages, proof: Proof | None, name: str = NAME) -> None:
    await images.begin(name)
    await images.succeeded(name, ID, proof)
    await images.end(name)


async def test_what_a_secret_brought_is_for_those_who_have_it(tmp_path: Path) -> None:
    await pulled(PulledImages(tmp_path), MINE)
    images = PulledImages(tmp_path)
    assert await images.admits(NAME, ID, [MINE])
    assert await images.admits("ghcr.io/a/b@sha256:1", ID, [OTHER, MINE])
    for shown in ([], [OTHER]):
        assert not await images.admits(NAME, ID, shown)
    assert not await images.admits("ghcr.io/a/c:1", ID, [MINE])


async def test_a_secret_that_changed_and_one_of_the_same_credential_are_known_from_then_on(tmp_path: Path) -> None:
    images = PulledImages(tmp_path)
    await pulled(images, MINE)
    changed, copied = Proof("1", "default", "s", "new"), Proof("3", "third", "u", "new")
    assert not await images.admits(NAME, ID, [copied])
    assert await images.admits(NAME, ID, [changed])
    images = PulledImages(tmp_path)
    assert await images.admits(NAME, ID, [copied])


async def test_what_needed_no_secret_is_everybodys(tmp_path: Path) -> None:
    images = PulledImages(tmp_path)
    assert await images.admits(NAME, ID, [])
    await pulled(images, MINE)
    await pulled(images, None)
    assert await PulledImages(tmp_path).admits(NAME, ID, [])


async def test_a_pull_that_the_process_did_not_end_leaves_the_image_closed(tmp_path: Path) -> None:
    images = PulledImages(tmp_path)
    await images.begin(NAME)
    assert not await images.admits(NAME, ID, [])
    images = PulledImages(tmp_path)
    assert not await images.admits(NAME, ID, [MINE])
    assert not await PulledImages(tmp_path).admits(NAME, ID, [])
    await pulled(images, MINE)
    assert await images.admits(NAME, ID, [MINE])


async def test_a_pull_that_failed_leaves_nothing(tmp_path: Path) -> None:
    images = PulledImages(tmp_path)
    await images.begin(NAME)
    await images.end(NAME)
    assert await PulledImages(tmp_path).admits(NAME, ID, [])
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


async def test_images_that_are_gone_are_forgotten_unless_they_came_just_now(tmp_path: Path) -> None:
    images = PulledImages(tmp_path)
    await pulled(images, MINE)
    await images.keep([])
    assert not await images.admits(NAME, ID, [])
    await images.keep([ID])
    assert not await images.admits(NAME, ID, [])
    await images.keep([])
    assert await PulledImages(tmp_path).admits(NAME, ID, [])


@pytest.mark.parametrize("said", [b"{", b"[]", b"{}", b'{"image": "x", "names": {"y": {"proofs": [{}]}}}'])
async def test_a_record_that_can_not_be_read_harms_nothing_else(tmp_path: Path, said: bytes) -> None:
    await pulled(PulledImages(tmp_path), MINE)
    (tmp_path / "pulled" / "sha256-0").write_bytes(said)
    (tmp_path / "pulling" / "sha256-0").write_bytes(said[:2])
    assert not await PulledImages(tmp_path).admits(NAME, ID, [])


async def test_a_full_disk_opens_no_image(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    images = PulledImages(tmp_path)
    await images.begin(NAME)

    def refuse(path: Path, data: bytes) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("kubelet.pulled_images.write_durably", refuse)
    await images.succeeded(NAME, ID, MINE)
    await images.end(NAME)
    with pytest.raises(OSError, match="No space left"):
        await images.begin("other:1")
    assert await images.admits("other:1", "sha256:2", [])
    assert await images.admits(NAME, ID, [MINE]) and not await images.admits(NAME, ID, [OTHER])
    assert not await PulledImages(tmp_path).admits(NAME, ID, [])
