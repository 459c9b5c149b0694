"""Answers that are packed: what a client unpacks is what was to be said, and a list is packed again when it changes."""

from __future__ import annotations

import gzip
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apiserver.http.compression import accepts_gzip, gzipped, joined, packed
from apiserver.http.list_bodies import ListBodies
from apiserver.registry.lists import Whole
from machinery.api.resources import PODS

ITEMS = b",".join(b'{"metadata":{"name":"pod-%d"}}' % number for number in range(20_000))


@pytest.mark.parametrize(
    ("header", "accepted"),
    [("", False), ("gzip", True), ("deflate, gzip;q=1.0", True), ("gzipped", False), ("identity", False)],
)
def test_gzip_is_sent_to_whom_asks_for_it(header: str, *, accepted: bool) -> None:
    assert accepts_gzip(header) == accepted


@given(st.binary(max_size=200), st.binary(max_size=3000), st.binary(max_size=50))
async def test_parts_packed_apart_are_one_gzip(head: bytes, middle: bytes, tail: bytes) -> None:
    assert gzip.decompress(joined(head, await packed(middle), tail)) == head + middle + tail


async def test_a_large_body_is_packed_whole() -> None:
    assert gzip.decompress(await gzipped(ITEMS)) == ITEMS


async def test_a_list_is_kept_until_it_changes() -> None:
    bodies = ListBodies()
    made: list[bytes] = []

    def items(text: bytes) -> bytes:
        made.append(text)
        return text

    async def body(changed: int, revision: int, text: bytes, *, is_packed: bool) -> bytes:
        head = b'{"metadata":{"resourceVersion":"%d"},"items":[' % revision
        said = await bodies.body(Whole(PODS, "", changed), head, lambda: items(text), may_pack=is_packed)
        assert said.is_packed == is_packed
        assert (gzip.decompress(said.data) if is_packed else said.data) == head + text + b"]}\n"
        return said.data

    first = await body(5, 5, ITEMS, is_packed=True)
    assert await body(5, 5, ITEMS, is_packed=True) is first
    await body(5, 9, ITEMS, is_packed=True)
    await body(5, 9, ITEMS, is_packed=False)
    assert made == [ITEMS]
    await body(10, 10, ITEMS[:200_000], is_packed=True)
    assert made == [ITEMS, ITEMS[:200_000]]


async def test_what_is_kept_is_bounded() -> None:
    bodies = ListBodies(most_bytes=3 * len(ITEMS))
    made = []

    def items(namespace: str) -> bytes:
        made.append(namespace)
        return ITEMS

    for namespace in ("a", "b", "c", "a"):
        await bodies.body(Whole(PODS, namespace, 1), b"[", partial(items, namespace), may_pack=False)
    assert made == ["a", "b", "c", "a"]
