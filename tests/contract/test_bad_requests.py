"""Requests that no sane client makes: each is answered by a Status with upstream's code, and never by a failure."""

from __future__ import annotations

import asyncio
import base64
import io
import json
import re
import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import jwt
import pytest
import pytest_asyncio
import yarl
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from apiserver.server import ApiServer
from machinery.api.protobuf import MAGIC
from machinery.api.resources import CONFIG_MAPS
from machinery.api.wire_values import delimited
from machinery.contain import failures
from tests.contract.apiserver_running import running
from tests.contract.malformed_requests import (
    ACCEPTS,
    APPLY,
    BODIES,
    DEEP,
    DEPLOYMENTS,
    JSON,
    JSON_PATCH,
    MAPS,
    MERGE,
    PATCHES,
    PATHS,
    PROTOBUF,
    PROTOBUFS,
    QUERIES,
    STRATEGIC,
    TYPE,
    YAML,
    config_map,
)

pytestmark = pytest.mark.asyncio(loop_scope="module")


class Asking:
    """A client with every right, and one with none, of a running server."""

    def __init__(
        self, server: ApiServer, known: ssl.SSLContext, session: aiohttp.ClientSession, stranger: aiohttp.ClientSession
    ) -> None:
        self.server = server
        self.known = known
        self._session = session
        self._stranger = stranger

    async def ask(
        self, method: str, path: str, body: bytes | None = None, *, known: bool = True, **headers: Any
    ) -> tuple[int, str, dict[str, Any]]:
        """Code, reason ("" for what is no Status) and the Status; fails the test where the server did."""
        before = failures.get("request", 0)
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        session = self._session if known else self._stranger
        url = yarl.URL(path, encoded=True)
        data = io.BytesIO(body) if body is not None else None
        async with session.request(method, url, data=data, headers=sent) as answer:
            said = await answer.read()
            # A watch answers with a line an event.
            document = said.partition(b"\n")[0] or b"{}" if "watch=" in path else said
            found = json.loads(document) if answer.content_type == JSON else {}
            if answer.content_type == JSON and answer.status >= 400:
                assert (found["kind"], found["apiVersion"], found["status"]) == ("Status", "v1", "Failure"), said
                assert found["code"] == answer.status and found["message"], said
            assert failures.get("request", 0) == before, (method, path[:200], (body or b"")[:200])
            # To some errors upstream gives no reason, and so do we.
            assert answer.status < 500 or found.get("reason") != "InternalError", (
                method,
                path[:200],
                said[:300],
            )
            return answer.status, found.get("reason", "") if found.get("kind") == "Status" else "", found


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def asking(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Asking]:
    directory = tmp_path_factory.mktemp("server")
    async with running(directory) as server:
        known = ssl.create_default_context(cadata=server.pki.ca_pem.decode())
        pair = directory / "pair.pem"
        pair.write_bytes(b"".join(server.pki.issue_client("tester", ("system:masters",))))
        known.load_cert_chain(pair)
        strange = ssl.create_default_context(cadata=server.pki.ca_pem.decode())
        base = f"https://127.0.0.1:{server.port}"
        client = server.client("tester", ("system:masters",))
        await client.create(CONFIG_MAPS, {"metadata": {"name": "there"}, "data": {"a": "b"}}, "default")
        async with (
            aiohttp.ClientSession(base, connector=aiohttp.TCPConnector(ssl=known)) as session,
            aiohttp.ClientSession(base, connector=aiohttp.TCPConnector(ssl=strange)) as stranger,
        ):
            asking = Asking(server, known, session, stranger)
            yield asking
            # Whatever came: the server is well, and quick about it.
            assert (await asking.ask("GET", "/readyz"))[0] == 200


def memory(key: str = "VmRSS") -> int:
    """Of this process, in bytes."""
    found = re.search(rf"{key}:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found is not None
    return int(found[1]) * 1024


@pytest.mark.parametrize(("kind", "body", "code"), BODIES, ids=range(len(BODIES)))
async def test_bodies_are_answered_as_upstream_does(asking: Asking, kind: str, body: bytes, code: int) -> None:
    headers: dict[str, Any] = {"Content_Type": kind}
    found = await asking.ask("POST", MAPS, body, **headers)
    assert found[0] == code, found
    if code == 201:
        assert (await asking.ask("DELETE", f"{MAPS}/{found[2]['metadata']['name']}"))[0] == 200


def bomb(levels: int = 12, width: int = 10) -> bytes:
    """Each level holds the one before many times: small as a text, huge as an object."""
    lines = [f"a0: &a0 [{','.join('x' * width)}]"]
    lines += [f"a{n}: &a{n} [{','.join([f'*a{n - 1}'] * width)}]" for n in range(1, levels)]
    return "\n".join(lines).encode()


async def test_a_yaml_bomb_is_refused_while_it_is_small(asking: Asking) -> None:
    before = memory("VmHWM")
    for kind, method, path in (
        (YAML, "POST", MAPS),
        (YAML, "PUT", f"{MAPS}/there"),
        (APPLY, "PATCH", f"{MAPS}/there?fieldManager=x"),
    ):
        code, reason, said = await asking.ask(method, path, bomb(), Content_Type=kind)
        assert (code, reason) == (400, "BadRequest"), said
    assert memory("VmHWM") - before < 200 * 1024 * 1024


async def test_many_huge_requests_leave_no_memory_behind(asking: Asking) -> None:
    huge = [
        b"[" * 3_000_000,
        b'{"a":' * 600_000,
        b'{"data":{"a":"' + b"x" * 3_000_000 + b'"}}',
        b"[" + b"1," * 1_400_000 + b"1]",
        b"{" + b",".join(b'"%d":{}' % number for number in range(250_000)) + b"}",
    ]
    for body in huge:
        await asking.ask("POST", MAPS, body, Content_Type=JSON)
    before = memory()
    for _ in range(2):
        for body in huge:
            assert (await asking.ask("POST", MAPS, body, Content_Type=JSON))[0] in (400, 422)
    assert memory() - before < 150 * 1024 * 1024


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
async def test_bodies_beyond_the_limit_are_too_large(asking: Asking, method: str) -> None:
    path = MAPS if method == "POST" else f"{MAPS}/there"
    code, reason, _ = await asking.ask(
        method, path, b" " * (3 * 1024 * 1024 + 1), Content_Type=MERGE if method == "PATCH" else JSON
    )
    assert (code, reason) == (413, "RequestEntityTooLarge")


@pytest.mark.parametrize("body", PROTOBUFS, ids=range(len(PROTOBUFS)))
async def test_malformed_protobuf_is_a_bad_request(asking: Asking, body: bytes) -> None:
    for method, path in (("POST", MAPS), ("PUT", f"{MAPS}/there")):
        code, reason, said = await asking.ask(method, f"{path}?dryRun=All", body, Content_Type=PROTOBUF)
        # An empty message is an object without a name, a good one is taken.
        assert code in (400, 422) and reason in ("BadRequest", "Invalid"), said


def deep_schema(depth: int) -> bytes:
    """Properties within properties: the one message that holds itself."""
    inner = b""
    for _ in range(depth):
        inner = delimited(29, delimited(1, b"a") + delimited(2, inner))
    schema = delimited(1, inner)
    spec = delimited(1, b"example.com") + delimited(7, delimited(1, b"v1") + delimited(4, schema))
    kind = delimited(1, delimited(1, b"apiextensions.k8s.io/v1") + delimited(2, b"CustomResourceDefinition"))
    return MAGIC + kind + delimited(2, delimited(2, spec))


@pytest.mark.parametrize("depth", [100, 1000, DEEP])
async def test_deep_protobuf_is_refused(asking: Asking, depth: int) -> None:
    path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
    code, _, _ = await asking.ask("POST", path, deep_schema(depth), Content_Type=PROTOBUF)
    assert code in (400, 422)


@pytest.mark.parametrize(("kind", "body", "code"), PATCHES, ids=range(len(PATCHES)))
async def test_patches_are_answered_as_upstream_does(asking: Asking, kind: str, body: bytes, code: int) -> None:
    headers: dict[str, Any] = {"Content_Type": kind}
    query = "?dryRun=All" + ("&fieldManager=tester" if kind == APPLY else "")
    found = await asking.ask("PATCH", f"{MAPS}/there{query}", body, **headers)
    assert found[0] == code, found


async def test_owners_that_make_no_sense_change_nothing_and_an_empty_one_resets(asking: Asking) -> None:
    path = f"{MAPS}/there?dryRun=All"
    recorded = (await asking.ask("GET", f"{MAPS}/there"))[2]["metadata"]["managedFields"]
    sound = recorded[0]
    for odd in ([7], [{"manager": "m"}], [{**sound, "operation": "Fly"}], [{**sound, "fieldsV1": {"x": {}}}]):
        body = json.dumps({"metadata": {"managedFields": odd}}).encode()
        code, _, said = await asking.ask("PATCH", path, body, Content_Type=MERGE)
        assert code == 422 or said["metadata"]["managedFields"] == recorded, said
    body = json.dumps({"metadata": {"managedFields": [{}]}}).encode()
    assert "managedFields" not in (await asking.ask("PATCH", path, body, Content_Type=MERGE))[2]["metadata"]


async def test_lists_in_patches_are_walked_with_care(asking: Asking) -> None:
    labels = {"a": "b"}
    containers = [{"name": "c", "image": "i", "ports": [{"containerPort": 1}]}]
    spec = {
        "selector": {"matchLabels": labels},
        "template": {"metadata": {"labels": labels}, "spec": {"containers": containers}},
    }
    body = json.dumps({"metadata": {"name": "d"}, "spec": spec}).encode()
    assert (await asking.ask("POST", DEPLOYMENTS, body, Content_Type=JSON))[0] == 201
    odds: tuple[Any, ...] = (
        None,
        7,
        "x",
        [],
        [None],
        [[]],
        [7],
        [{}],
        [{"name": None}],
        [{"name": 7}],
        [{"name": {}}],
        {"a": 1},
        [{"name": "c", "ports": [{"containerPort": "x"}]}],
        [{"name": "c", "ports": 7}],
        [{"name": "c", "env": [None]}],
        [{"$patch": "delete"}],
        [{"$patch": "replace"}, 7],
        [{"name": "c", "$patch": "fly"}],
    )
    for odd in odds:
        patch = {"apiVersion": "apps/v1", "kind": "Deployment", "spec": {"template": {"spec": {"containers": odd}}}}
        ordered = {"spec": {"template": {"spec": {"$setElementOrder/containers": odd, "containers": odd}}}}
        for kind in (MERGE, STRATEGIC, APPLY):
            for each in (patch, ordered if kind == STRATEGIC else patch):
                query = "?dryRun=All&fieldManager=tester&force=true" if kind == APPLY else "?dryRun=All"
                code, _, said = await asking.ask(
                    "PATCH", f"{DEPLOYMENTS}/d{query}", json.dumps(each).encode(), Content_Type=kind
                )
                assert code in (200, 400, 422, 500), said
    assert (await asking.ask("DELETE", f"{DEPLOYMENTS}/d"))[0] == 200


@pytest.mark.parametrize(("method", "path", "code"), QUERIES, ids=range(len(QUERIES)))
async def test_queries_are_answered_as_upstream_does(asking: Asking, method: str, path: str, code: int) -> None:
    body = config_map() if method in ("POST", "PUT") else None
    found = await asking.ask(method, path, body, Content_Type=JSON)
    assert found[0] == code, found


@pytest.mark.parametrize("path", PATHS, ids=range(len(PATHS)))
@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "BREW"])
async def test_odd_paths_are_not_found_or_refused(asking: Asking, method: str, path: str) -> None:
    before = failures.get("request", 0)
    # Clients would tidy such paths up before they send them.
    reader, writer = await asyncio.open_connection("127.0.0.1", asking.server.port, ssl=asking.known)
    head = f"{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
    try:
        async with asyncio.timeout(20):
            writer.write(head.encode())
            answer = await reader.read()
    finally:
        writer.close()
    expected = (b"400",) if "%zz" in path else (b"400", b"403", b"404", b"405", b"415")
    if path.endswith("/watch"):
        # Upstream can't say what such a path is of.
        expected = (b"500", b"400")
    assert answer.split()[1] in expected, answer
    assert failures.get("request", 0) == before


@pytest.mark.parametrize(("accept", "code"), ACCEPTS, ids=range(len(ACCEPTS)))
async def test_accept_is_read_with_care(asking: Asking, accept: str, code: int) -> None:
    for path in (MAPS, f"{MAPS}/there"):
        found = await asking.ask("GET", path, Accept=accept)
        assert found[0] == code, found


def token(
    key: Any,
    private: dict[str, Any] | None = None,
    *,
    algorithm: str = "ES256",
    headers: dict[str, Any] | None = None,
    **claims: Any,
) -> str:
    issuer = "https://kubernetes.default.svc.cluster.local"
    account = {"namespace": "default", "serviceaccount": {"name": "x", "uid": "u"}}
    whole = {
        "iss": issuer,
        "aud": [issuer],
        "exp": 9_999_999_999,
        "iat": 1,
        "nbf": 1,
        "sub": "system:serviceaccount:default:x",
        "kubernetes.io": account,
        **(private or {}),
        **claims,
    }
    return jwt.encode(whole, key, algorithm=algorithm, headers=headers)


async def test_malformed_tokens_are_unauthorized(asking: Asking) -> None:
    own, other = asking.server.pki.service_account_key, ec.generate_private_key(ec.SECP256R1())
    good = token(own)
    tokens = [
        "x",
        "a.b.c",
        "..",
        ".",
        good[:-5],
        good[: len(good) // 2],
        good.partition(".")[2],
        good + "x",
        good.replace(".", ".."),
        token(other),
        token(None, algorithm="none"),
        token("x" * 64, algorithm="HS256"),
        token(own, headers={"kid": "nobody"}),
        token(own, headers={"crit": ["x"]}),
        token(own, exp=1),
        token(own, exp="soon"),
        token(own, nbf=9_999_999_998),
        token(own, iss="nobody"),
        token(own, aud=[]),
        token(own, aud={}),
        token(own, exp=10**40),
        token(own, sub="system:serviceaccount:default:other"),
        token(own, {"kubernetes.io": 7}),
        token(own, {"kubernetes.io": {}}),
        token(own, {"kubernetes.io": {"namespace": [], "serviceaccount": "x"}}),
        token(own, {"kubernetes.io": {"namespace": "default", "serviceaccount": {"name": {}, "uid": []}, "pod": 7}}),
        base64.urlsafe_b64encode(b"[" * 3000).decode() + ".e30.x",
        "e30.e30.e30",
        "A" * 60_000,
        good + "." * 30_000,
        "\u00e9\u00e9",
    ]
    for each in tokens:
        code, reason, said = await asking.ask("GET", MAPS, known=False, Authorization=f"Bearer {each}")
        assert (code, reason, said["message"]) == (401, "Unauthorized", "Unauthorized"), each[:200]
    for odd in ("Bearer", "Bearer ", "Basic x", "Basic OjpbOg==", "Bearer\tx", "Negotiate", ""):
        assert (await asking.ask("GET", MAPS, known=False, Authorization=odd))[0] in (401, 403)
    body = json.dumps({"spec": {"token": "a.b.c", "audiences": [""]}}).encode()
    code, _, said = await asking.ask("POST", "/apis/authentication.k8s.io/v1/tokenreviews", body, Content_Type=JSON)
    assert (code, said["status"].get("authenticated", False)) == (201, False)


async def test_odd_impersonation_is_refused(asking: Asking) -> None:
    for headers in (
        {"Impersonate_Group": "x"},
        {"Impersonate_Extra_%ff": "x"},
        {"Impersonate_Uid": "u"},
        {"Impersonate_User": ""},
    ):
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        async with asking._session.get(MAPS, headers=sent) as answer:
            assert (await answer.json())["kind"] in ("Status", "ConfigMapList")


junk = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**20), 10**20) | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(["metadata", "name", "data", "spec", "$patch", "a"]), inner, max_size=5)
    ),
    max_leaves=20,
)
KINDS = st.sampled_from(
    [JSON, YAML, PROTOBUF, JSON_PATCH, MERGE, STRATEGIC, APPLY, "", "text/plain", "application/cbor"]
)
TARGETS = st.sampled_from(
    [
        MAPS,
        f"{MAPS}/there",
        DEPLOYMENTS,
        f"{DEPLOYMENTS}/none",
        "/api/v1/namespaces",
        "/api/v1/namespaces/default/pods/x/binding",
        "/api/v1/namespaces/default/pods/x/eviction",
        "/api/v1/namespaces/default/serviceaccounts/default/token",
        "/api/v1/nodes/x/status",
        "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews",
        "/apis/authentication.k8s.io/v1/tokenreviews",
        f"{DEPLOYMENTS}/none/scale",
        "/apis/rbac.authorization.k8s.io/v1/clusterroles",
        "/apis/apiextensions.k8s.io/v1/customresourcedefinitions",
    ]
)
BYTES = (
    st.binary(max_size=60)
    | junk.map(lambda value: json.dumps(value).encode())
    | st.binary(max_size=40).map(lambda tail: MAGIC + TYPE + tail)
)


@given(method=st.sampled_from(["POST", "PUT", "PATCH", "DELETE"]), path=TARGETS, kind=KINDS, body=BYTES)
@settings(max_examples=600, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
async def test_any_body_in_any_form_gets_an_answer(
    asking: Asking, method: str, path: str, kind: str, body: bytes
) -> None:
    headers: dict[str, Any] = {"Content_Type": kind}
    code, _, said = await asking.ask(method, f"{path}?dryRun=All&fieldManager=x", body, **headers)
    assert code < 500, said


@given(
    query=st.dictionaries(
        st.sampled_from(
            [
                "limit",
                "continue",
                "resourceVersion",
                "resourceVersionMatch",
                "fieldSelector",
                "labelSelector",
                "sendInitialEvents",
                "pretty",
                "includeObject",
                "allowWatchBookmarks",
            ]
        ),
        st.text(max_size=12) | st.sampled_from(["0", "1", "-1", "true", "Exact", "a=b", "a in (b)", "metadata.name=x"]),
        max_size=4,
    )
)
@settings(max_examples=300, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
async def test_any_query_gets_an_answer(asking: Asking, query: dict[str, str]) -> None:
    url = yarl.URL(MAPS).with_query({name: value.encode("utf-8", "replace").decode() for name, value in query.items()})
    code, _, said = await asking.ask("GET", str(url))
    assert code < 500 or code == 504, said
