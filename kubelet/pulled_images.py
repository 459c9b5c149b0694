"""By whose Secrets images came to the node: a pod that has none of them shows its own to the registry (KEP-2535).

Nothing is known of an image that was loaded by hand or needed no Secret, and any pod may use it, as by upstream's
default policy (NeverVerifyPreloadedImages). What is known outlives the process, a pull that it did not end, too.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

import orjson

from kubelet.pull_secrets import Proof
from machinery.linux.durable import write_durably
from machinery.structs import Struct

LOG = logging.getLogger("kubelet")
_MOST_PROOFS = 100

T = TypeVar("T")


class Access(Struct, frozen=True):
    """Who may use an image by one name: whoever has one of these, or anybody."""

    proofs: tuple[Proof, ...] = ()
    is_open: bool = False

    def admits(self, shown: Iterable[Proof]) -> bool:
        return self.is_open or any(one.is_of_same(known) for one in shown for known in self.proofs)

    def with_proof(self, proof: Proof) -> Access:
        if proof in self.proofs or len(self.proofs) >= _MOST_PROOFS:
            return self
        return Access((*self.proofs, proof), self.is_open)


Record = dict[str, Access]
"""By the image's name without tag and digest."""


class PulledImages:
    """Kept as files in `folder`. Making one reads them, and blocks."""

    def __init__(self, folder: Path) -> None:
        self._pulled, self._pulling = folder / "pulled", folder / "pulling"
        for each in (self._pulled, self._pulling):
            each.mkdir(parents=True, exist_ok=True)
        self._records: dict[str, Record] = {}
        for image_id, record in _files(self._pulled, _record):
            self._records[image_id] = record
        self._left = set(_files(self._pulling, lambda said: str(said["image"])))
        self._now: Counter[str] = Counter()
        self._written: set[str] = set()

    async def admits(self, name: str, image_id: str, shown: Sequence[Proof]) -> bool:
        """Whether a pod with these may use the image that is there under this name without asking the registry."""
        is_left = image_id not in self._records and name in self._left
        # A pull with a Secret, whose end nobody saw: that there is a record keeps the image closed.
        if is_left and await self._write(image_id, {}):
            await self._unlink(name)
        record = self._records.get(image_id)
        if record is None:
            return not self._now[name]
        access = record.get(_bare(name))
        if access is None or not access.admits(shown):
            return False
        await self._add(name, image_id, next((one for one in shown if any(map(one.is_of_same, access.proofs))), None))
        return True

    async def begin(self, name: str) -> None:
        """A pull with Secrets begins; raises OSError where that can't be written, and then it must not."""
        if not self._now[name]:
            said = orjson.dumps({"image": name})
            await asyncio.to_thread(write_durably, self._pulling / _file_name(name), said)
        self._now[name] += 1

    async def succeeded(self, name: str, image_id: str, proof: Proof | None) -> None:
        """The image came by that; by nothing, and anybody may use it."""
        if proof is not None:
            if await self._add(name, image_id, proof):
                self._left.discard(name)
            else:
                # That it was begun stays written, which keeps the image closed after a restart, too.
                self._left.add(name)
        elif image_id in self._records:
            await self._write(image_id, {**self._records[image_id], _bare(name): Access(is_open=True)})

    async def end(self, name: str) -> None:
        """The pull that began has ended, whichever way."""
        self._now[name] -= 1
        if not self._now[name]:
            del self._now[name]
            if name not in self._left:
                await self._unlink(name)

    async def keep(self, image_ids: Iterable[str]) -> None:
        """Forgets all images but these, and those that may have come after somebody looked."""
        written, self._written = self._written, set()
        for gone in self._records.keys() - set(image_ids) - written:
            del self._records[gone]
            await asyncio.to_thread((self._pulled / _file_name(gone)).unlink, missing_ok=True)

    async def _add(self, name: str, image_id: str, proof: Proof | None) -> bool:
        record = self._records.get(image_id, {})
        known = record.get(_bare(name), Access())
        access = known.with_proof(proof) if proof is not None else known
        return access == known or await self._write(image_id, {**record, _bare(name): access})

    async def _write(self, image_id: str, record: Record) -> bool:
        """Whether the disk took it; this process knows it either way."""
        self._records[image_id] = record
        self._written.add(image_id)
        names = {name: _said(access) for name, access in record.items()}
        said = orjson.dumps({"image": image_id, "names": names})
        try:
            await asyncio.to_thread(write_durably, self._pulled / _file_name(image_id), said)
        except OSError as error:
            LOG.warning("by whose Secret %s came can't be written: %s", image_id, error)
            return False
        return True

    async def _unlink(self, name: str) -> None:
        self._left.discard(name)
        await asyncio.to_thread((self._pulling / _file_name(name)).unlink, missing_ok=True)


def _files(folder: Path, decoded: Callable[[Any], T]) -> Iterator[T]:
    """What the files hold; those that can't be read are told of and left out."""
    for path in folder.iterdir():
        if path.name.startswith("."):
            continue
        try:
            yield decoded(orjson.loads(path.read_bytes()))
        except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
            LOG.warning("%s can't be read: %s", path, error)


def _record(said: Any) -> tuple[str, Record]:
    return said["image"], {name: _access(each) for name, each in said["names"].items()}


def _access(said: Any) -> Access:
    return Access(tuple(Proof(**proof) for proof in said["proofs"]), said["is_open"])


def _said(access: Access) -> Any:
    fields = ("uid", "namespace", "name", "digest")
    proofs = [{field: getattr(proof, field) for field in fields} for proof in access.proofs]
    return {"is_open": access.is_open, "proofs": proofs}


def _file_name(text: str) -> str:
    return f"sha256-{hashlib.sha256(text.encode()).hexdigest()}"


def _bare(name: str) -> str:
    """The name without tag and digest."""
    host, slash, rest = name.partition("@")[0].rpartition("/")
    return f"{host}{slash}{rest.partition(':')[0]}"
