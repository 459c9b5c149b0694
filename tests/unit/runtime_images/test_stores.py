"""The content store and the image store keep what they were given, whole."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path

import pytest

from machinery.structs import replace
from runtime.errors import AlreadyExists, FailedPrecondition, NotFound, Unavailable
from runtime.images.content import STALE_SECONDS, ContentStore, digest_of
from runtime.images.draft import Drafts
from runtime.images.leases import EXPIRE, Leases
from runtime.images.media import Descriptor
from runtime.images.record import ImageRecord
from runtime.images.store import ImageStore

BODY = b"layer" * 1000
BLOB = Descriptor("", digest_of(BODY), len(BODY))


def image(name: str, *tags: str) -> ImageRecord:
    digests = tuple(f"{tag.rpartition(':')[0]}@{digest_of(name.encode())}" for tag in tags)
    return ImageRecord(digest_of(name.encode()), tags, digests, 7, {"config": {"Cmd": [name]}}, diff_ids=("a",))


def test_an_ingest_continues_where_it_stopped(tmp_path: Path) -> None:
    store = ContentStore(tmp_path)
    first = store.ingest(BLOB)
    first.write(BODY[:10])
    first.close()
    second = ContentStore(tmp_path).ingest(BLOB)
    second.resume()
    assert second.offset == 10
    second.write(BODY[10:])
    second.commit()
    assert (store.read(BLOB.digest), list(store.digests())) == (BODY, [BLOB.digest])


@pytest.mark.parametrize("sent", [BODY[:-1], BODY + b"x", BODY[:-1] + b"x"])
def test_only_what_was_named_is_stored(tmp_path: Path, sent: bytes) -> None:
    store = ContentStore(tmp_path)
    ingest = store.ingest(BLOB)
    with pytest.raises(FailedPrecondition, match="unexpected commit"):
        ingest.write(sent)
        ingest.commit()
    assert not store.has(BLOB.digest)
    again = store.ingest(BLOB)
    again.resume()
    again.close()
    assert again.offset == 0
    with pytest.raises(NotFound):
        store.read(BLOB.digest)


def test_ingests_that_nobody_continues_go(tmp_path: Path) -> None:
    store = ContentStore(tmp_path)
    store.ingest(BLOB).close()
    store.remove_stale()
    (partial,) = (tmp_path / "ingest").iterdir()
    store.remove_stale(now=os.stat(partial).st_mtime + STALE_SECONDS + 1)
    assert list((tmp_path / "ingest").iterdir()) == []


def test_a_tag_moves_to_the_image_that_was_pulled_last(tmp_path: Path) -> None:
    store = ImageStore(tmp_path / "images.json")
    store.put(image("old", "docker.io/library/a:latest"))
    store.put(image("new", "docker.io/library/a:latest"))
    found = store.get("a")
    assert found and found.id == digest_of(b"new")
    old = store.get(digest_of(b"old"))
    assert old and old.repo_tags == () and old.repo_digests


def test_images_are_found_by_every_name_after_a_restart(tmp_path: Path) -> None:
    ImageStore(tmp_path / "images.json").put(image("one", "docker.io/library/a:1"))
    ImageStore(tmp_path / "images.json").put(image("one", "docker.io/library/b:2"))
    store = ImageStore(tmp_path / "images.json")
    (record,) = store.list()
    assert record.repo_tags == ("docker.io/library/a:1", "docker.io/library/b:2")
    names = ["a:1", "docker.io/library/b:2", record.id, record.id.removeprefix("sha256:"), record.repo_digests[0]]
    assert [store.get(name) for name in names] == [record] * len(names)
    assert [store.get(name) for name in ("a", "A b", "sha256:0")] == [None] * 3
    assert store.remove("a:1") == record
    assert ImageStore(tmp_path / "images.json").list() == []
    assert replace(record, config={}) != record


def test_a_name_is_taken_away_and_the_image_with_its_last(tmp_path: Path) -> None:
    store = ImageStore(tmp_path / "images.json")
    store.put(replace(image("one", "docker.io/library/a:1", "docker.io/library/b:1"), repo_digests=()))
    left = store.untag("a:1")
    assert left and left.names == ("docker.io/library/b:1",)
    assert store.untag("b:1") is None
    assert store.list() == []
    with pytest.raises(NotFound):
        store.untag("b:1")


def test_a_pinned_image_stays_pinned_until_another_takes_its_last_tag(tmp_path: Path) -> None:
    store = ImageStore(tmp_path / "images.json")
    tags = ("docker.io/library/a:1", "docker.io/library/a:2")
    first = store.put(replace(image("one", *tags), pinned=True))
    assert store.put(image("one", *tags)).pinned
    for tag, pinned in zip(tags, (True, False), strict=True):
        store.put(image("two", tag))
        found = store.get(first.id)
        assert found and found.pinned is pinned


def test_a_lease_holds_blobs_until_it_ends(tmp_path: Path) -> None:
    leases = Leases()
    leases.create("a", {})
    leases.create("b", {EXPIRE: "2026-01-01T00:00:10Z"})
    leases.hold("a", "sha256:1")
    leases.hold("b", "sha256:2")
    leases.hold("", "sha256:3")
    at = datetime(2026, 1, 1, tzinfo=UTC).timestamp()
    assert leases.held(at) == {"sha256:1", "sha256:2"}
    assert leases.held(at + 10) == {"sha256:1"}
    leases.delete("a")
    assert leases.held(at) == {"sha256:2"}
    with pytest.raises(NotFound):
        leases.hold("a", "sha256:1")
    with pytest.raises(AlreadyExists):
        leases.create("b", {})


def test_a_draft_goes_on_where_its_sender_stopped(tmp_path: Path) -> None:
    content = ContentStore(tmp_path)
    drafts = Drafts(content)
    first = drafts.open("layer", len(BODY), "")
    first.write(BODY[:10])
    with pytest.raises(Unavailable):
        drafts.open("layer", 0, "")
    first.close()
    assert [status.offset for status in drafts.statuses()] == [10]
    second = drafts.open("layer", len(BODY), BLOB.digest)
    assert second.offset == 10
    second.write(BODY[10:])
    assert second.commit(len(BODY), BLOB.digest, {"a": "b"}) == BLOB.digest
    second.close()
    assert (content.read(BLOB.digest), content.labels(BLOB.digest)) == (BODY, {"a": "b"})
    assert list((tmp_path / "drafts").iterdir()) == []
    with pytest.raises(AlreadyExists):
        drafts.open("again", 0, BLOB.digest)
    with pytest.raises(NotFound):
        drafts.status("layer")


def test_a_draft_that_is_not_what_was_expected_is_refused(tmp_path: Path) -> None:
    drafts = Drafts(ContentStore(tmp_path))
    draft = drafts.open("x", 0, "")
    draft.write(BODY)
    with pytest.raises(FailedPrecondition, match="unexpected commit size"):
        draft.commit(1, "", {})
    with pytest.raises(FailedPrecondition, match="unexpected commit digest"):
        draft.commit(0, digest_of(b""), {})
    draft.close()
    assert list((tmp_path / "drafts").iterdir()) == []


def test_a_damaged_file_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "images.json").write_text('{"schema": 1, "ima')
    with pytest.raises(FailedPrecondition, match="is damaged"):
        ImageStore(tmp_path / "images.json")
