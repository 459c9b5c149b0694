"""The recorded exchanges with a real server, asked again: what has once been answered the same stays so.

The list beside it only grows: `python -m tests.scenario.test_exchanges` adds what is answered the same now.
"""

from __future__ import annotations

import asyncio
import importlib.util
import json
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

from apiserver.server import ApiServer
from machinery.api.resources import CLUSTER_ROLE_BINDINGS, NAMESPACES, SERVICE_ACCOUNTS
from tests.contract.apiserver_running import running

TESTS = Path(__file__).parents[1]
PASSED = TESTS / "scenario" / "testdata" / "exchanges-passed.json"


def exchange() -> ModuleType:
    """The comparing tool, loaded from its file."""
    spec = importlib.util.spec_from_file_location("exchange", TESTS / "exchange.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


async def token(server: ApiServer) -> str:
    """A bearer token that may do everything."""
    client = server.client("tester", ("system:masters",))
    await client.create(NAMESPACES, {"metadata": {"name": "asking"}})
    await client.create(SERVICE_ACCOUNTS, {"metadata": {"name": "asker"}}, "asking")
    subject = {"kind": "ServiceAccount", "namespace": "asking", "name": "asker"}
    role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"}
    binding = {"metadata": {"name": "asker"}, "roleRef": role, "subjects": [subject]}
    await client.create(CLUSTER_ROLE_BINDINGS, binding)
    request = await client.create(SERVICE_ACCOUNTS, {"metadata": {}}, "asking", name="asker", subresource="token")
    return str(request["status"]["token"])


def compared(url: str, bearer: str) -> Iterator[tuple[str, list[Any]]]:
    """Each step with what its answer differs in from the recorded one."""
    tool = exchange()
    asked = tool.Server(url, bearer)
    # Custom resources come later, and waiting for them takes long.
    for file in sorted((TESTS / "exchanges").glob("[!c]*.json")):
        for number, row in enumerate(json.loads(file.read_text())):
            answers = tool.run(asked, row["name"], row["steps"], number)
            for step, (wanted, got) in enumerate(zip(row["answers"], answers, strict=True)):
                if wanted is not None:
                    yield f"{row['name']}#{step}", list(tool.diff(wanted, got))
    if asked.c:
        asked.c.close()


async def ask(directory: Path) -> dict[str, list[Any]]:
    async with running(directory) as server:
        bearer = await token(server)
        return await asyncio.to_thread(lambda: dict(compared(f"https://127.0.0.1:{server.port}", bearer)))


async def test_what_was_answered_the_same_stays_so(tmp_path: Path) -> None:
    found = await ask(tmp_path)
    assert {step: found[step] for step in json.loads(PASSED.read_text()) if found[step]} == {}


if __name__ == "__main__":
    import tempfile

    with tempfile.TemporaryDirectory() as directory:
        answered = asyncio.run(ask(Path(directory)))
    passed = {*json.loads(PASSED.read_text()), *(step for step, differences in answered.items() if not differences)}
    PASSED.write_text(json.dumps(sorted(passed), indent=0) + "\n")
