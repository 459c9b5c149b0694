"""Plays cases against a cluster: each in a namespace of its own, a few at a time."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import signal
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from apiserver.server import ApiServer
from machinery.api.resource import Object, Resource
from machinery.api.resources import BY_KIND, NAMESPACES, RESOURCES, SERVICE_ACCOUNTS
from machinery.client.client import Client
from tests.clients.case import Case, Wanted, differences, misprinted, objects, placed
from tests.played_cluster import played_cluster

DEADLINE = 60.0
AT_A_TIME = 3


@dataclass(frozen=True)
class Outcome:
    """`complaints` is empty where all was as the case says."""

    case: Case
    complaints: Sequence[str] = ()


@dataclass
class Stage:
    """A running cluster, and where scripts find `kubectl` and keep what they write."""

    server: ApiServer
    client: Client
    directory: Path
    objects: dict[str, Any] = field(default_factory=objects)

    async def play(self, cases: Sequence[Case], kubectl: Path) -> list[Outcome]:
        """The outcomes in the order of the cases."""
        programs = self.directory / "bin"
        programs.mkdir()
        (programs / "kubectl").symlink_to(kubectl)
        turns = asyncio.Semaphore(AT_A_TIME)

        async def turn(index: int, case: Case) -> Outcome:
            async with turns:
                namespace = f"case-{index}"
                return Outcome(case, await self._played(case.within(namespace), namespace))

        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(turn(index, case)) for index, case in enumerate(cases)]
        return [task.result() for task in tasks]

    async def _played(self, case: Case, namespace: str) -> list[str]:
        home = self.directory / namespace
        await self._prepare(case, namespace, home)
        code, said = await self._run(case.run, home, namespace)
        found = [f"exit code {code}, not {case.exit}: {said!r}"] if code != case.exit else []
        found += misprinted(case, said)
        found += self._missed(case.then, namespace)
        if not await self._until(lambda: not list(self._missed(case.eventually, namespace))):
            found += self._missed(case.eventually, namespace)
        return found

    async def _prepare(self, case: Case, namespace: str, home: Path) -> None:
        home.mkdir()
        made = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}}
        await self.client.create(NAMESPACES, made)
        for name in case.files:
            (home / f"{name}.yaml").write_text(yaml.safe_dump_all(self._objects(name, namespace)))
        await self._until(lambda: self.server.cache.get(SERVICE_ACCOUNTS, namespace, "default"))
        for given in case.given:
            for obj in self._objects(given, namespace):
                await self._create(obj, namespace)
        await self._until(lambda: not list(self._missed(case.ready, namespace)))

    def _objects(self, named: Any, namespace: str) -> list[Object]:
        """Those of objects.yaml by that name, or the object itself."""
        found = placed(self.objects[named], namespace) if isinstance(named, str) else named
        return found if isinstance(found, list) else [found]

    async def _create(self, obj: Object, namespace: str) -> None:
        group, _, version = obj["apiVersion"].rpartition("/")
        resource = BY_KIND[group, version, obj["kind"]]
        await self.client.create(resource, obj, namespace if resource.namespaced else "")

    def _missed(self, wanted: Wanted, namespace: str) -> Iterator[str]:
        for where, value in wanted.items():
            plural, _, name = where.partition("/")
            resource = _resource(plural)
            found = self.server.cache.get(resource, namespace if resource.namespaced else "", name)
            yield from differences(found, value, where)

    async def _until(self, holds: Callable[[], Any]) -> bool:
        """Whether the cache came to show it."""
        try:
            async with asyncio.timeout(DEADLINE):
                while not holds():
                    await self.server.cache.wait_for(self.server.cache.revision + 1)
        except TimeoutError:
            return False
        return True

    async def _run(self, script: str, home: Path, namespace: str) -> tuple[int, str]:
        """(exit code, all that it printed)."""
        (home / "kubeconfig").write_text(kubeconfig(self.server, namespace))
        process = await asyncio.create_subprocess_exec(
            "bash", "-euo", "pipefail", "-c", script,
            stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
            cwd=home, start_new_session=True,
            env={
                "PATH": f"{self.directory / 'bin'}:/usr/bin:/bin", "HOME": str(self.directory),
                "KUBECONFIG": str(home / "kubeconfig"), "TMPDIR": str(home), "LC_ALL": "C.UTF-8",
            },
        )  # fmt: skip
        try:
            async with asyncio.timeout(DEADLINE):
                said, _ = await process.communicate()
        except TimeoutError:
            os.killpg(process.pid, signal.SIGKILL)
            said, _ = await process.communicate()
            return -1, f"not done within {DEADLINE} s: {said.decode(errors='replace')}"
        finally:
            # What the script has left running ends with it.
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
        assert process.returncode is not None
        return process.returncode, said.decode(errors="replace")


@asynccontextmanager
async def stage(directory: Path) -> AsyncIterator[Stage]:
    async with played_cluster(directory) as (server, client):
        yield Stage(server, client, directory)


def kubeconfig(server: ApiServer, namespace: str = "default") -> str:
    """An administrator's, with `namespace` as the one that is meant."""
    certificate, key = server.pki.issue_client("admin", ("system:masters",))

    def text(data: bytes) -> str:
        return base64.b64encode(data).decode()

    cluster = {"server": f"https://127.0.0.1:{server.port}", "certificate-authority-data": text(server.pki.ca_pem)}
    user = {"client-certificate-data": text(certificate), "client-key-data": text(key)}
    return json.dumps({
        "apiVersion": "v1", "kind": "Config", "current-context": "x",
        "clusters": [{"name": "c", "cluster": cluster}], "users": [{"name": "u", "user": user}],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u", "namespace": namespace}}],
    })  # fmt: skip


def _resource(plural: str) -> Resource:
    return next(row for row in RESOURCES if row.plural == plural)
