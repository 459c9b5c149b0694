"""Stored values that can't be read: kept apart from the objects, so that they harm none, and told of by an Event."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

from apiserver.stored_value import names_of, row_of
from machinery.api.errors import Cause, StorageReadError
from machinery.api.resource import Object
from machinery.client.client import Client
from machinery.client.recorder import EventRecorder
from machinery.structs import Struct

REASON = "StoredObjectUnreadable"


class Unreadable(Struct, frozen=True):
    """One such value, and why nobody can read it."""

    key: str
    revision: int
    why: str

    @property
    def stub(self) -> Object:
        """What its key alone tells of the object."""
        row, (namespace, name) = row_of(self.key), names_of(self.key)
        assert row is not None
        metadata = {"name": name, "namespace": namespace} if namespace else {"name": name}
        return {"kind": row.kind, "apiVersion": row.api_version, "metadata": metadata}

    def error(self) -> StorageReadError:
        """The Status for whoever asks for it, as KEP-3926 has it."""
        row, (_, name) = row_of(self.key), names_of(self.key)
        assert row is not None
        cause = Cause("UnexpectedServerResponse", self.why, self.key)
        said = f'failed to read {row.qualified} "{name}" from the storage: {self.why}'
        return StorageReadError(said, kind=row.plural, group=row.group, name=name, causes=(cause,))


class SetAside:
    """All of them, by key; `run` tells of each by an Event."""

    def __init__(self) -> None:
        self._found: dict[str, Unreadable] = {}
        self._untold: dict[str, Unreadable] = {}
        self._wake = asyncio.Event()

    def add(self, key: str, revision: int, why: str) -> None:
        found = self._found[key] = Unreadable(key, revision, why)
        if row_of(key) is not None:
            self._untold[key] = found
            self._wake.set()

    def forget(self, key: str) -> None:
        if self._found:
            self._found.pop(key, None)

    def get(self, key: str) -> Unreadable | None:
        return self._found.get(key)

    def of_namespace(self, name: str) -> Iterator[Unreadable]:
        for key, found in tuple(self._found.items()):
            if names_of(key)[0] == name and row_of(key) is not None:
                yield found

    def clear(self) -> None:
        self._found.clear()

    async def run(self, client: Client) -> None:
        recorder = EventRecorder(client, "apiserver")
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._untold:
                _, found = self._untold.popitem()
                message = f"What is stored under {found.key} can't be read and is set aside: {found.why}"
                await recorder.record(found.stub, "Warning", REASON, message[:1024])
