"""The service `content`: blobs by digest, read and sent by pieces (`ctr images pull`, `import`, `content`)."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

from machinery.rpc.wire import CONTAINERD
from runtime.containerd import caller
from runtime.containerd.filters import adaptor, any_of
from runtime.containerd.messages import empty, make, timestamp
from runtime.errors import InvalidArgument, NotFound, OutOfRange
from runtime.images.content import ContentStore
from runtime.images.draft import Draft, DraftStatus
from runtime.images.service import ImageService

CHUNK = 1 << 20
_PAGE = 100
_ACTION = CONTAINERD.enum("containerd.services.content.v1.WriteAction")


class ContentService:
    def __init__(self, images: ImageService) -> None:
        self._content, self._drafts, self._leases = images.content, images.drafts, images.leases

    async def Info(self, request: Any, context: Any) -> Any:  # noqa: N802 - the RPC's name
        info = await asyncio.to_thread(_info, self._content, self._visible(request.digest, context))
        return make("content", "InfoResponse", info=info)

    async def Update(self, request: Any, context: Any) -> Any:  # noqa: N802
        digest = self._visible(request.info.digest, context)

        def update() -> Any:
            known = self._content.labels(digest)
            self._content.label(digest, merged(known, request.info.labels, request.update_mask.paths))
            return _info(self._content, digest)

        return make("content", "UpdateResponse", info=await asyncio.to_thread(update))

    async def List(self, request: Any, context: Any) -> AsyncIterator[Any]:  # noqa: N802
        passes = any_of(request.filters)
        digests = sorted(await asyncio.to_thread(list, self._content.digests())) if caller.is_ours(context) else []
        for start in range(0, len(digests), _PAGE):
            page = digests[start : start + _PAGE]
            infos = await asyncio.to_thread(_infos, self._content, page)
            found = [info for info in infos if passes(adaptor({"digest": info.digest, "labels": info.labels}))]
            yield make("content", "ListContentResponse", info=found)

    async def Read(self, request: Any, context: Any) -> AsyncIterator[Any]:  # noqa: N802
        path = self._content.path(self._visible(request.digest, context))
        with open(path, "rb", buffering=0) as file:  # noqa: ASYNC230 - opening a local file takes microseconds
            size = os.fstat(file.fileno()).st_size
            offset = request.offset
            if not 0 <= offset <= size:
                raise OutOfRange(f"requested content read offset {offset} is not within size {size}")
            end = min(offset + request.size, size) if request.size > 0 else size
            sent = 0
            while offset < end:
                data = await asyncio.to_thread(os.pread, file.fileno(), min(CHUNK, end - offset), offset)
                if not data:
                    return
                yield make("content", "ReadContentResponse", offset=sent, data=data)
                sent, offset = sent + len(data), offset + len(data)

    async def Status(self, request: Any, context: Any) -> Any:  # noqa: N802
        caller.require_ours(context)
        return make("content", "StatusResponse", status=_status(self._drafts.status(request.ref)))

    async def ListStatuses(self, request: Any, context: Any) -> Any:  # noqa: N802
        passes = any_of(request.filters)
        found = await asyncio.to_thread(list, self._drafts.statuses()) if caller.is_ours(context) else []
        statuses = [_status(each) for each in found if passes(adaptor({"ref": each.ref}))]
        return make("content", "ListStatusesResponse", statuses=statuses)

    async def Abort(self, request: Any, context: Any) -> Any:  # noqa: N802
        caller.require_ours(context)
        await asyncio.to_thread(self._drafts.abort, request.ref)
        return empty()

    async def Write(self, requests: Any, context: Any) -> AsyncIterator[Any]:  # noqa: N802
        caller.require_ours(context)
        lease = caller.lease(context)
        draft: Draft | None = None
        try:
            async for request in requests:
                if request.expected:
                    self._leases.hold(lease, request.expected)
                if draft is None:
                    if not request.ref:
                        raise InvalidArgument("first message must have a reference")
                    draft = await self._open(request)
                    begun = self._drafts.status(draft.ref)
                answer = await asyncio.to_thread(self._take, draft, request, lease)
                yield make(
                    "content",
                    "WriteContentResponse",
                    action=request.action,
                    started_at=timestamp(begun.started_at),
                    updated_at=timestamp(begun.updated_at),
                    offset=draft.offset,
                    total=draft.total,
                    digest=answer,
                )
                if request.action == _ACTION["COMMIT"]:
                    return
        finally:
            if draft is not None:
                draft.close()

    async def _open(self, request: Any) -> Draft:
        """The draft that the first message names; one whose sender went away meanwhile is closed again."""
        loop = asyncio.get_running_loop()
        opening = loop.run_in_executor(None, self._drafts.open, request.ref, request.total, request.expected)
        try:
            return await asyncio.shield(opening)
        except asyncio.CancelledError:
            opening.add_done_callback(_close)
            raise

    def _take(self, draft: Draft, request: Any, lease: str) -> str:
        """Writes what came; the digest so far, or the blob's where it is the last."""
        draft.total = request.total or draft.total
        draft.expected = request.expected or draft.expected
        if request.action == _ACTION["STAT"]:
            return draft.digest
        if request.offset == 0 and draft.offset and request.data:
            draft.restart()
        elif request.offset and request.offset != draft.offset:
            raise OutOfRange(f"write @{request.offset} must occur at current offset {draft.offset}")
        draft.write(request.data)
        if request.action != _ACTION["COMMIT"]:
            return draft.digest
        self._leases.hold(lease, draft.digest)
        return draft.commit(draft.total, draft.expected, request.labels)

    def _visible(self, digest: str, context: Any) -> str:
        if not caller.is_ours(context) or not self._content.has(digest):
            raise NotFound(f"content digest {digest}: not found")
        return digest


def _close(opening: asyncio.Future[Draft]) -> None:
    if not opening.cancelled() and opening.exception() is None:
        opening.result().close()


def merged(known: Mapping[str, str], given: Mapping[str, str], paths: Sequence[str]) -> dict[str, str]:
    """Labels after an update by a field mask; an empty value takes a label away. Pure; raises InvalidArgument."""
    wanted = dict(known) if paths else dict(given)
    for path in paths:
        if path == "labels":
            wanted = dict(given)
        elif path.startswith("labels."):
            key = path.removeprefix("labels.")
            wanted[key] = given.get(key, "")
        else:
            raise InvalidArgument(f"cannot update {path!r} field: invalid argument")
    return {key: value for key, value in wanted.items() if value}


def _info(content: ContentStore, digest: str) -> Any:
    found = content.path(digest).stat()
    return make(
        "content",
        "Info",
        digest=digest,
        size=found.st_size,
        created_at=timestamp(found.st_mtime_ns),
        updated_at=timestamp(found.st_ctime_ns),
        labels=content.labels(digest),
    )


def _infos(content: ContentStore, digests: Sequence[str]) -> list[Any]:
    return [_info(content, digest) for digest in digests if content.has(digest)]


def _status(status: DraftStatus) -> Any:
    return make(
        "content",
        "Status",
        ref=status.ref,
        offset=status.offset,
        total=status.total,
        expected=status.expected,
        started_at=timestamp(status.started_at),
        updated_at=timestamp(status.updated_at),
    )
