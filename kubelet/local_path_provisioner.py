"""Makes and removes the directories of volumes on this node, as a provisioner of its own beside the binder.

A directory is there before its volume is told, and gone before the volume goes: after a crash either is done again.
"""

from __future__ import annotations

import asyncio
import logging
import shutil
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path

from kubelet.local_path import (
    FINALIZER,
    HOSTNAME,
    PROVISIONER,
    Node,
    Refused,
    directory_of,
    is_done_with,
    is_ours,
    is_wanted,
    volume_of,
)
from machinery.api.errors import AlreadyExists, NotFound, StatusError
from machinery.api.resource import Object, Resource
from machinery.api.resources import NODES, PERSISTENT_VOLUME_CLAIMS, PERSISTENT_VOLUMES, STORAGE_CLASSES
from machinery.api.volumes import PersistentVolume, PersistentVolumeClaim
from machinery.client.cache import Cache, Change
from machinery.client.client import Client
from machinery.client.clock import Clock
from machinery.client.recorder import EventRecorder
from machinery.client.work_queue import WorkQueue
from machinery.contain import contain

LOG = logging.getLogger("kubelet")
_Key = tuple[Resource, str, str]


class LocalPathProvisioner:
    """`storage` is the directory below which volumes are made."""

    def __init__(self, client: Client, cache: Cache, clock: Clock, node_name: str, storage: Path) -> None:
        self._client, self._cache, self._node_name, self._storage = client, cache, node_name, storage
        self._recorder = EventRecorder(client, f"{PROVISIONER}_{node_name}", clock=clock)
        self._queue: WorkQueue[_Key] = WorkQueue(clock, base_delay=1.0, max_delay=120.0)

    async def run(self) -> None:
        """Works until cancelled."""
        await self._sweep()
        for resource in (PERSISTENT_VOLUME_CLAIMS, PERSISTENT_VOLUMES):
            self._cache.subscribe(resource, self._on_change)
        self._cache.subscribe(STORAGE_CLASSES, self._on_class)
        while True:
            key = await self._queue.get()
            is_done = False
            with contain("local volume", about="/".join(key[1:])):
                is_done = await self._look_at(key)
            if is_done:
                self._queue.forget(key)
            else:
                self._queue.back_off(key)
            self._queue.done(key)

    async def _sweep(self) -> None:
        """Takes away what a crash has left of claims that are gone before their volume was told; data never."""
        uids = [each["metadata"]["uid"] for each in self._cache.list(PERSISTENT_VOLUME_CLAIMS)]
        kept = {f"pvc-{uid}" for uid in uids} | {
            each["metadata"]["name"] for each in self._cache.list(PERSISTENT_VOLUMES)
        }
        with contain("left directories", about=str(self._storage)):
            await asyncio.to_thread(_sweep, self._storage, kept)

    def _on_change(self, change: Change) -> None:
        if change.after is not None:
            metadata = change.after["metadata"]
            self._queue.add((change.resource, metadata.get("namespace", ""), metadata["name"]))

    def _on_class(self, change: Change) -> None:
        """A class that comes after its claims."""
        for claim in self._cache.list(PERSISTENT_VOLUME_CLAIMS) if change.before is None else ():
            metadata = claim["metadata"]
            self._queue.add((PERSISTENT_VOLUME_CLAIMS, metadata["namespace"], metadata["name"]))

    def _node(self) -> Node:
        """Where a node has no label yet, its name is what the label will say."""
        found = self._cache.get(NODES, "", self._node_name) or {"metadata": {}}
        hostname = (found["metadata"].get("labels") or {}).get(HOSTNAME) or self._node_name
        return Node(self._node_name, hostname, self._storage)

    async def _look_at(self, key: _Key) -> bool:
        """False where it is to be tried again after a while."""
        found = self._cache.get(*key)
        if found is None:
            return True
        try:
            if key[0] == PERSISTENT_VOLUMES:
                return await self._reclaim(PersistentVolume(found))
            return await self._provision(PersistentVolumeClaim(found))
        except StatusError as error:
            LOG.info("volume of %s: %s", "/".join(key[1:]), error.message)
            return False

    async def _provision(self, claim: PersistentVolumeClaim) -> bool:
        node = self._node()
        storage_class = self._cache.get(STORAGE_CLASSES, "", claim.storage_class) if claim.storage_class else None
        if storage_class is None or not is_wanted(claim, storage_class, node):
            return True
        if self._cache.get(PERSISTENT_VOLUMES, "", f"pvc-{claim.uid}") is not None:
            return True
        said = f'External provisioner is provisioning volume for claim "{claim.namespace}/{claim.name}"'
        await self._recorder.record(claim.obj, "Normal", "Provisioning", said)
        try:
            volume = volume_of(claim, storage_class, node)
            await asyncio.to_thread(_make, Path(volume["spec"]["local"]["path"]))
        except (Refused, OSError) as error:
            name = storage_class["metadata"]["name"]
            why = error.why if isinstance(error, Refused) else str(error)
            said = f'failed to provision volume with StorageClass "{name}": {why}'
            await self._recorder.record(claim.obj, "Warning", "ProvisioningFailed", said)
            return False
        await self._tell(claim.obj, volume)
        return True

    async def _tell(self, claim: Object, volume: Object) -> None:
        name = volume["metadata"]["name"]
        try:
            await self._client.create(PERSISTENT_VOLUMES, volume)
        except AlreadyExists:
            # Told before a crash, or another node was faster, where no node was selected.
            return
        await self._recorder.record(claim, "Normal", "ProvisioningSucceeded", f"Successfully provisioned volume {name}")

    async def _reclaim(self, volume: PersistentVolume) -> bool:
        node = self._node()
        if not is_done_with(volume) or not is_ours(volume, node):
            return True
        directory = directory_of(volume, node)
        if volume.reclaim_policy == "Delete" and directory is not None:
            try:
                await asyncio.to_thread(_remove, directory)
            except OSError as error:
                await self._recorder.record(volume.obj, "Warning", "VolumeFailedDelete", str(error))
                return False
        try:
            if not volume.deleted:
                await self._client.delete(PERSISTENT_VOLUMES, volume.name, uid=volume.uid)
            await self._let_go(volume)
        except NotFound:
            return True
        return True

    async def _let_go(self, volume: PersistentVolume) -> None:
        now = await self._client.get(PERSISTENT_VOLUMES, volume.name)
        kept = [each for each in now["metadata"].get("finalizers") or () if each != FINALIZER]
        if now["metadata"]["uid"] == volume.uid and kept != now["metadata"].get("finalizers"):
            await self._client.update(
                PERSISTENT_VOLUMES, {**now, "metadata": {**now["metadata"], "finalizers": kept or None}}
            )


def _make(directory: Path) -> None:
    """Open to whoever the pod runs as, like an emptyDir; only root gets as far as the directories above it."""
    directory.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    directory.mkdir(exist_ok=True)
    directory.chmod(0o777)


def _sweep(storage: Path, kept: Collection[str]) -> None:
    for directory in storage.iterdir() if storage.exists() else ():
        if directory.name.partition("_")[0] not in kept:
            with suppress(OSError):
                directory.rmdir()


def _remove(directory: Path) -> None:
    if directory.is_symlink():
        directory.unlink()
    elif directory.exists():
        shutil.rmtree(directory)
