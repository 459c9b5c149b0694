"""What the API server does by itself after its start: makes what a cluster can't be without, mends what is hurt.

A second start reads a dozen lists and writes nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress

from apiserver.bootstrap.defaults import BootstrapConfig, Wanted, namespaces, objects, service_cidr
from apiserver.bootstrap.reconcile import reconciled
from apiserver.config import ApiServerConfig
from machinery.api.errors import AlreadyExists, Conflict
from machinery.api.resource import Object, Resource
from machinery.client.client import Client
from machinery.contain import contain


async def run(client: Client, config: ApiServerConfig) -> int:
    """Returns how many objects were written, once all are there; `config.port` is the port that it listens on."""
    wanted = BootstrapConfig.of(config)
    first = await _ensure(client, [*namespaces(), service_cidr(wanted)])
    return first + await _ensure(client, objects(wanted))


async def _ensure(client: Client, wanted: Sequence[Wanted]) -> int:
    there = await _existing(client, wanted)
    # All at once: the store joins what is written together into one fsync.
    async with asyncio.TaskGroup() as tasks:
        written = [tasks.create_task(_write(client, each, there.get((each.resource, *each.key)))) for each in wanted]
    return sum(task.result() for task in written)


async def _existing(client: Client, wanted: Sequence[Wanted]) -> dict[tuple[Resource, str, str], Object]:
    scopes = dict.fromkeys((each.resource, each.key[0]) for each in wanted)
    found = {}
    for resource, namespace in scopes:
        for obj in (await client.list(resource, namespace)).items:
            found[resource, obj["metadata"].get("namespace", ""), obj["metadata"]["name"]] = obj
    return found


async def _write(client: Client, wanted: Wanted, there: Object | None) -> bool:
    namespace, name = wanted.key
    changed = wanted.object if there is None else reconciled(wanted, there)
    if changed is None:
        return False
    # Another server may be doing the same; and one odd object must not keep the cluster from starting.
    with contain("bootstrap", about=f"{wanted.resource.qualified} {name}"), suppress(AlreadyExists, Conflict):
        if there is None:
            await client.create(wanted.resource, changed, namespace)
        else:
            await client.update(wanted.resource, changed)
        return True
    return False
