"""Which images go when the disk fills or they grow old: upstream's thresholds, ages and order."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from kubelet.cri_values import Image
from kubelet.image_gc import NEVER, Disk, ImageGcPolicy, ImageUse, plan, seen

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
BEGAN = NOW - timedelta(days=2)
GB = 1 << 30


def use(name: str, size: int = GB, *, pinned: bool = False, idle: float = 60, age: float = 60) -> ImageUse:
    """An image that was last used `idle` and first seen `age` minutes ago."""
    return ImageUse(name, size, pinned, NOW - timedelta(minutes=age), NOW - timedelta(minutes=idle))


def disk(used_percent: int) -> Disk:
    return Disk(100 * GB, (100 - used_percent) * GB)


@pytest.mark.parametrize(
    ("used", "policy", "wanted"),
    [
        (84, ImageGcPolicy(), 0),
        (85, ImageGcPolicy(), 5 * GB),
        (99, ImageGcPolicy(), 19 * GB),
        (99, ImageGcPolicy(high=100), 0),
        (50, ImageGcPolicy(high=40, low=30), 20 * GB),
    ],
)
def test_so_much_is_to_be_free(used: int, policy: ImageGcPolicy, wanted: int) -> None:
    assert plan([], disk(used), NOW, BEGAN, policy).wanted == wanted


def test_an_unknown_disk_asks_for_nothing() -> None:
    assert plan([use("a")], Disk(0, 0), NOW, BEGAN, ImageGcPolicy()).remove == ()


@pytest.mark.parametrize(
    ("uses", "removed"),
    [
        ([use("a", idle=10), use("b", idle=30), use("c", idle=20)], "bc"),
        ([use("a", 5 * GB, idle=10), use("b", idle=5)], "a"),
        ([use("a", pinned=True), use("b")], "b"),
        ([use("a", idle=0), use("b")], "b"),
        ([use("a", age=1.9), use("b", age=2)], "b"),
        ([use("a", idle=30, age=40), use("b", idle=30, age=50)], "ba"),
        ([], ""),
    ],
)
def test_the_longest_unused_go_until_there_is_room(uses: list[ImageUse], removed: str) -> None:
    decided = plan(uses, Disk(100 * GB, 15 * GB + 3 * GB + 1), NOW, BEGAN, ImageGcPolicy(high=80, low=80))
    assert decided.wanted == 2 * GB - 1
    assert "".join(each.id for each in decided.remove) == removed
    assert decided.eligible == sum(each.size for each in decided.remove)


def test_images_too_old_go_whatever_the_disk_says() -> None:
    policy = ImageGcPolicy(maximum_age=timedelta(hours=1))
    uses = [use("old", idle=61, age=90), use("young", idle=59, age=90), use("kept", idle=61, age=90, pinned=True)]
    uses.append(ImageUse("new", GB, pinned=False, first_seen=NOW - timedelta(minutes=1), last_used=NEVER))
    assert [each.id for each in plan(uses, disk(10), NOW, BEGAN, policy).remove] == ["old"]
    lately = NOW - timedelta(minutes=60)
    assert plan(uses, disk(10), NOW, lately, policy).remove == ()


def test_use_is_remembered_as_it_is_seen() -> None:
    def image(name: str, *digests: str) -> Image:
        return Image(name, (), digests, 7, None, "", pinned=name == "p")

    first = seen({}, [image("a"), image("b", "x@1"), image("p")], {"a"}, NOW, NEVER)
    assert first == {
        "a": ImageUse("a", 7, False, NEVER, NOW),
        "b": ImageUse("b", 7, False, NEVER, NEVER),
        "p": ImageUse("p", 7, True, NEVER, NEVER),
    }
    later = NOW + timedelta(minutes=5)
    second = seen(first, [image("a"), image("b", "x@1"), image("c")], {"x@1"}, later, later)
    assert second == {
        "a": ImageUse("a", 7, False, NEVER, NOW),
        "b": ImageUse("b", 7, False, NEVER, later),
        "c": ImageUse("c", 7, False, later, NEVER),
    }
