"""The real kubectl against the API server alone: what people type first works, and says what they know."""

from __future__ import annotations

import asyncio
import base64
import json
import shutil
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from apiserver.server import ApiServer
from tests.contract.apiserver_running import running

NGINX = Path(__file__).parents[2] / "examples" / "nginx-deployment.yaml"
pytestmark = pytest.mark.e2e


class Kubectl:
    def __init__(self, home: Path) -> None:
        beside = Path(sys.executable).parent / "kubectl"
        self._program = str(beside) if beside.exists() else shutil.which("kubectl") or "kubectl"
        self._home = home

    async def __call__(self, *words: str, stdin: str = "") -> str:
        """What kubectl prints, errors included."""
        process = await asyncio.create_subprocess_exec(
            self._program,
            f"--kubeconfig={self._home / 'kubeconfig'}",
            f"--cache-dir={self._home / 'cache'}",
            *words,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            env={"HOME": str(self._home), "PATH": "/usr/bin:/bin"},
        )
        async with asyncio.timeout(30):
            out, _ = await process.communicate(stdin.encode())
        return out.decode()


@pytest.fixture
async def kubectl(tmp_path: Path) -> AsyncIterator[Kubectl]:
    async with running(tmp_path) as server:
        (tmp_path / "kubeconfig").write_text(kubeconfig(server))
        yield Kubectl(tmp_path)


def kubeconfig(server: ApiServer) -> str:
    certificate, key = server.pki.issue_client("admin", ("system:masters",))

    def text(data: bytes) -> str:
        return base64.b64encode(data).decode()

    cluster = {
        "server": f"https://127.0.0.1:{server.port}",
        "certificate-authority-data": text(server.pki.ca_pem),
    }
    user = {"client-certificate-data": text(certificate), "client-key-data": text(key)}
    return json.dumps({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "c", "cluster": cluster}],
        "users": [{"name": "u", "user": user}],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
        "current-context": "x",
    })  # fmt: skip


async def test_a_deployment_is_applied_changed_and_deleted(kubectl: Kubectl) -> None:
    assert await kubectl("apply", "-f", str(NGINX)) == "deployment.apps/nginx-deployment created\n"
    assert await kubectl("apply", "-f", str(NGINX)) == "deployment.apps/nginx-deployment unchanged\n"
    assert await kubectl("diff", "-f", str(NGINX)) == ""
    assert "nginx:latest" in await kubectl("get", "deploy", "-o", "wide")
    assert await kubectl("scale", "deploy/nginx-deployment", "--replicas=3") == (
        "deployment.apps/nginx-deployment scaled\n"
    )
    assert await kubectl("get", "deploy", "nginx-deployment", "-o", "jsonpath={.spec.replicas}") == "3"
    assert "image updated" in await kubectl("set", "image", "deploy/nginx-deployment", "nginx=nginx:2")
    assert "serverside-applied" in await kubectl("apply", "--server-side", "--force-conflicts", "-f", str(NGINX))
    assert "deleted" in await kubectl("delete", "deploy", "nginx-deployment")
    assert "No resources found" in await kubectl("get", "deploy")


async def test_what_is_wrong_is_said_in_the_words_that_people_know(kubectl: Kubectl) -> None:
    unknown = '{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"z"},"dta":{}}'
    assert 'strict decoding error: unknown field "dta"' in await kubectl("create", "-f", "-", stdin=unknown)
    assert await kubectl("get", "cm", "ghost") == 'Error from server (NotFound): configmaps "ghost" not found\n'
    assert await kubectl("--as=system:serviceaccount:default:default", "get", "secrets") == (
        'Error from server (Forbidden): secrets is forbidden: User "system:serviceaccount:default:default" cannot '
        'list resource "secrets" in API group "" in the namespace "default"\n'
    )


async def test_typed_commands_and_reviews_work(kubectl: Kubectl) -> None:
    for words in (
        ("namespace", "n"), ("configmap", "c", "--from-literal=a=b"), ("secret", "generic", "s", "--from-literal=a=b"),
        ("serviceaccount", "sa"), ("role", "r", "--verb=get", "--resource=pods"), ("quota", "q", "--hard=pods=1"),
        ("job", "j", "--image=nginx"), ("service", "clusterip", "svc", "--tcp=80"), ("priorityclass", "p", "--value=1"),
    ):  # fmt: skip
        assert "created" in await kubectl("create", *words)
    assert (await kubectl("create", "token", "sa")).startswith("eyJ")
    assert await kubectl("auth", "can-i", "create", "pods") == "yes\n"
    assert "system:masters" in await kubectl("auth", "whoami")
    assert "FIELD: replicas <integer>" in await kubectl("explain", "deploy.spec.replicas")
    assert "deployments" in await kubectl("api-resources")
    # The second question is answered by 304, and must not spoil what the client keeps.
    assert "deploy" in await kubectl("api-resources")
