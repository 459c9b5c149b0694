"""What only HTTP shows: forms, limits, headers, unknown paths, and watches as streams of frames."""

from __future__ import annotations

import asyncio
import io
import json
import ssl
from collections.abc import AsyncIterator, Callable
from typing import Any

import aiohttp
import pytest
import pytest_asyncio

from apiserver.server import ApiServer
from machinery.api.resource import Object
from machinery.api.resources import (
    CONFIG_MAPS,
    NAMESPACES,
    POD_DISRUPTION_BUDGETS,
    PODS,
    ROLE_BINDINGS,
    SERVICE_ACCOUNTS,
)
from tests.contract.apiserver_running import running

MAPS = "/api/v1/namespaces/default/configmaps"
TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"
pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[ApiServer]:
    async with running(tmp_path_factory.mktemp("server")) as started:
        yield started


@pytest_asyncio.fixture(loop_scope="module")
async def session(server: ApiServer, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[aiohttp.ClientSession]:
    context = ssl.create_default_context(cadata=server.pki.ca_pem.decode())
    pair = tmp_path_factory.mktemp("pair") / "pair.pem"
    pair.write_bytes(b"".join(server.pki.issue_client("tester", ("system:masters",))))
    context.load_cert_chain(pair)
    connector = aiohttp.TCPConnector(ssl=context)
    base = f"https://127.0.0.1:{server.port}"
    async with aiohttp.ClientSession(base, connector=connector) as opened:
        yield opened


@pytest_asyncio.fixture(loop_scope="module")
async def maps(server: ApiServer) -> AsyncIterator[Callable[..., Any]]:
    """Makes ConfigMaps that are gone after the test."""
    client, made = server.client("tester", ("system:masters",)), []

    async def make(name: str, **labels: str) -> Object:
        made.append(name)
        return await client.create(CONFIG_MAPS, {"metadata": {"name": name, "labels": labels}}, "default")

    yield make
    for name in made:
        await client.delete(CONFIG_MAPS, name, "default")


@pytest.mark.parametrize(
    ("method", "path", "headers", "body", "code", "reason"),
    [
        ("POST", MAPS, {}, b"{", 400, "BadRequest"),
        ("POST", MAPS, {}, b'{"metadata":{"name":"x"},"data":3}', 400, "BadRequest"),
        ("POST", MAPS, {"Content-Type": "text/html"}, b"{}", 415, "UnsupportedMediaType"),
        ("POST", MAPS, {}, b" " * (3 * 1024 * 1024 + 1), 413, "RequestEntityTooLarge"),
        ("POST", MAPS, {}, b'{"kind":"Secret","apiVersion":"v1"}', 400, "BadRequest"),
        ("GET", MAPS, {"Accept": "application/vnd.kubernetes.protobuf"}, None, 406, "NotAcceptable"),
        ("GET", f"{MAPS}/ghost", {}, None, 404, "NotFound"),
        ("GET", f"{MAPS}?resourceVersion=x", {}, None, 400, "BadRequest"),
        ("PUT", MAPS, {}, b"{}", 405, "MethodNotAllowed"),
        ("PUT", f"{MAPS}/ghost", {}, b'{"data":{}}', 400, "BadRequest"),
        ("PUT", "/api/v1/namespaces/default/finalize", {}, b'{"metadata":{"name":"other"}}', 400, "BadRequest"),
        ("POST", MAPS, {}, b'{"metadata":{"name":"x","resourceVersion":"7"}}', 500, None),
        ("PATCH", f"{MAPS}/ghost", {"Content-Type": "application/json"}, b"{}", 415, "UnsupportedMediaType"),
        ("GET", "/api/v1/nothings", {}, None, 404, "NotFound"),
        ("GET", "/api/v1/namespaces/default/nodes", {}, None, 404, "NotFound"),
        ("DELETE", "/api/v1/namespaces/kube-system", {}, None, 403, "Forbidden"),
        ("POST", f"{MAPS}?dryRun=Some", {}, b"{}", 422, "Invalid"),
        ("POST", f"{MAPS}?fieldValidation=No", {}, b"{}", 422, "Invalid"),
        ("GET", MAPS, {"Authorization": "Bearer nonsense"}, None, 200, None),
    ],
)
async def test_answers_are_a_status_with_the_right_code(
    session: aiohttp.ClientSession,
    method: str,
    path: str,
    headers: dict[str, str],
    body: bytes | None,
    code: int,
    reason: str | None,
) -> None:
    sent = {"Content-Type": "application/json", **headers}
    data = io.BytesIO(body) if body is not None else None
    async with session.request(method, path, data=data, headers=sent) as answer:
        found = await answer.json()
        assert (answer.status, found.get("reason")) == (code, reason)
        assert answer.headers["Audit-Id"]
        assert answer.headers["Cache-Control"] == "no-cache, private"


async def test_a_stranger_is_told_nothing(server: ApiServer) -> None:
    context = ssl.create_default_context(cadata=server.pki.ca_pem.decode())
    connector = aiohttp.TCPConnector(ssl=context)
    async with aiohttp.ClientSession(f"https://127.0.0.1:{server.port}", connector=connector) as stranger:
        async with stranger.get(MAPS) as answer:
            assert answer.status == 403
        async with stranger.get(MAPS, headers={"Authorization": "Bearer nonsense"}) as answer:
            assert (answer.status, (await answer.json())["message"]) == (401, "Unauthorized")
        async with stranger.get("/readyz") as answer:
            assert (answer.status, await answer.text()) == (200, "ok")


async def test_unknown_paths_are_plain_text(session: aiohttp.ClientSession) -> None:
    for path in ("/nowhere", "/apis/nope/v1/things"):
        async with session.get(path) as answer:
            assert (answer.status, await answer.text()) == (404, "404 page not found\n")


async def test_lists_come_in_the_form_that_was_asked_for(session: aiohttp.ClientSession, maps: Any) -> None:
    await maps("formed", shown="yes")
    query = "?labelSelector=shown%3Dyes"
    async with session.get(MAPS + query, headers={"Accept": f"{TABLE},application/json"}) as answer:
        table = await answer.json()
    assert table["kind"] == "Table"
    assert [row["cells"][0] for row in table["rows"]] == ["formed"]
    partial = "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io"
    async with session.get(MAPS + query, headers={"Accept": partial}) as answer:
        assert [set(each) for each in (await answer.json())["items"]] == [{"kind", "apiVersion", "metadata"}]
    async with session.get(f"{MAPS}/formed", headers={"Accept": "application/yaml"}) as answer:
        assert (await answer.text()).startswith("apiVersion: v1\n")


async def test_a_long_list_comes_in_pages(session: aiohttp.ClientSession, maps: Any) -> None:
    for index in range(5):
        await maps(f"page-{index}", paged="yes")
    names: list[str] = []
    token = ""
    while True:
        query = {"labelSelector": "paged=yes", "limit": "2", "continue": token}
        async with session.get(MAPS, params=query) as answer:
            page = await answer.json()
        names += [each["metadata"]["name"] for each in page["items"]]
        token = page["metadata"].get("continue", "")
        if not token:
            break
    assert names == [f"page-{index}" for index in range(5)]


async def test_unknown_fields_are_warned_of_or_refused(session: aiohttp.ClientSession) -> None:
    body = {"metadata": {"name": "strict"}, "dta": {}}
    async with session.post(f"{MAPS}?dryRun=All", json=body) as answer:
        assert (answer.status, answer.headers["Warning"]) == (201, '299 - "unknown field \\"dta\\""')
    async with session.post(f"{MAPS}?fieldValidation=Strict", json=body) as answer:
        assert (answer.status, "strict decoding error" in (await answer.json())["message"]) == (400, True)
    async with session.get(f"{MAPS}/strict") as answer:
        assert answer.status == 404


async def test_a_status_is_warned_of(session: aiohttp.ClientSession) -> None:
    """A service's address of its load balancer in a form that is not the canonical one."""
    path = "/api/v1/namespaces/default/services"
    ports = [{"port": 80}]
    service = {"metadata": {"name": "warned"}, "spec": {"type": "LoadBalancer", "ports": ports}}
    async with session.post(path, json=service) as answer:
        made = await answer.json()
    made["status"] = {"loadBalancer": {"ingress": [{"ip": "FD00::1", "ipMode": "VIP"}]}}
    async with session.put(f"{path}/warned/status", json=made) as answer:
        assert (answer.status, answer.headers["Warning"]) == (
            200, '299 - "status.loadBalancer.ingress[0]: IPv6 address \\"FD00::1\\" should be in RFC 5952 canonical'
            ' format (\\"fd00::1\\")"',
        )  # fmt: skip
    async with session.delete(f"{path}/warned") as answer:
        assert answer.status == 200


async def frames(session: aiohttp.ClientSession, path: str, count: int, accept: str = "") -> list[Object]:
    """The first frames of a watch."""
    found: list[Object] = []
    async with asyncio.timeout(5), session.get(path, headers={"Accept": accept or "*/*"}) as answer:
        assert answer.status == 200
        async for line in answer.content:
            found.append(json.loads(line))
            if len(found) == count:
                break
    return found


async def test_a_watch_list_ends_its_beginning_with_a_bookmark(session: aiohttp.ClientSession, maps: Any) -> None:
    await maps("watched", listed="yes")
    query = "watch=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true"
    added, bookmark = await frames(session, f"{MAPS}?{query}&labelSelector=listed%3Dyes", 2)
    assert (added["type"], added["object"]["metadata"]["name"]) == ("ADDED", "watched")
    assert bookmark["type"] == "BOOKMARK"
    assert bookmark["object"]["metadata"]["annotations"] == {"k8s.io/initial-events-end": "true"}


async def test_a_bookmark_shows_what_an_empty_object_has(session: aiohttp.ClientSession) -> None:
    query = "watch=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true"
    (bookmark,) = await frames(session, f"/api/v1/namespaces/nobodys/pods?{query}", 1)
    assert set(bookmark["object"].pop("metadata")) == {"resourceVersion", "annotations"}
    assert bookmark["object"] == {"kind": "Pod", "apiVersion": "v1", "spec": {"containers": None}, "status": {}}


async def test_a_table_without_objects_tells_of_the_end_of_the_first_ones(session: aiohttp.ClientSession) -> None:
    query = "watch=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true"
    path = f"/api/v1/namespaces/nobodys/pods?{query}&includeObject=None"
    (bookmark,) = await frames(session, path, 1, "application/json;as=Table;v=v1;g=meta.k8s.io")
    (row,) = bookmark["object"]["rows"]
    assert row["object"]["metadata"]["annotations"] == {"k8s.io/initial-events-end": "true"}


async def test_an_object_that_leaves_the_selection_is_deleted_for_the_watcher(
    session: aiohttp.ClientSession, server: ApiServer, maps: Any
) -> None:
    made = await maps("leaver", here="yes")
    client = server.client("tester", ("system:masters",))
    await client.patch(CONFIG_MAPS, "leaver", {"data": {"a": "b"}}, "default")
    await client.patch(CONFIG_MAPS, "leaver", {"metadata": {"labels": {"here": "no"}}}, "default")
    await client.patch(CONFIG_MAPS, "leaver", {"metadata": {"labels": {"here": "yes"}}}, "default")
    since = made["metadata"]["resourceVersion"]
    seen = await frames(session, f"{MAPS}?watch=1&resourceVersion={since}&labelSelector=here%3Dyes", 3)
    assert [each["type"] for each in seen] == ["MODIFIED", "DELETED", "ADDED"]


async def test_a_watched_table_has_its_columns_once(session: aiohttp.ClientSession, maps: Any) -> None:
    await maps("first", tabled="yes")
    await maps("second", tabled="yes")
    seen = await frames(session, f"{MAPS}?watch=1&labelSelector=tabled%3Dyes", 2, TABLE)
    assert [bool(each["object"]["columnDefinitions"]) for each in seen] == [True, False]


async def test_watchers_of_the_same_see_the_same(session: aiohttp.ClientSession, maps: Any) -> None:
    since = (await maps("told-first"))["metadata"]["resourceVersion"]
    watches = [frames(session, f"{MAPS}?watch=1&resourceVersion={since}", 2) for _ in range(3)]
    reading = asyncio.gather(*watches)
    await maps("told-second")
    await maps("told-third")
    seen = await reading
    assert [[each["object"]["metadata"]["name"] for each in one] for one in seen] == [["told-second", "told-third"]] * 3
    assert seen[0] == seen[1] == seen[2]


async def test_a_watch_ends_when_its_time_is_over(session: aiohttp.ClientSession) -> None:
    async with asyncio.timeout(5), session.get(f"{MAPS}?watch=1&timeoutSeconds=1") as answer:
        assert await answer.read() == b""


async def test_a_future_version_is_a_timeout(session: aiohttp.ClientSession) -> None:
    async with session.get(f"{MAPS}?resourceVersion=99999999") as answer:
        found = await answer.json()
    assert (answer.status, found["details"]["causes"][0]["reason"]) == (504, "ResourceVersionTooLarge")
    assert answer.headers["Retry-After"] == "1"


async def test_appliers_share_an_object_and_conflict_over_a_field(session: aiohttp.ClientSession) -> None:
    path, kind = f"{MAPS}/shared", "application/apply-patch+yaml"

    async def apply(manager: str, data: dict[str, str], query: str = "") -> tuple[int, Object]:
        body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "shared"}, "data": data}
        url = f"{path}?fieldManager={manager}{query}"
        async with session.patch(url, json=body, headers={"Content-Type": kind}) as answer:
            return answer.status, await answer.json()

    assert (await apply("one", {"a": "1"}))[0] == 201
    assert (await apply("two", {"b": "2"}))[1]["data"] == {"a": "1", "b": "2"}
    code, refused = await apply("two", {"a": "9", "b": "2"})
    assert (code, refused["details"]["causes"][0]["field"]) == (409, ".data.a")
    assert (await apply("two", {"a": "9", "b": "2"}, "&force=true"))[1]["data"] == {"a": "9", "b": "2"}
    assert (await apply("two", {"b": "2"}))[1]["data"] == {"b": "2"}
    async with session.delete(path) as answer:
        assert (await answer.json())["details"]["name"] == "shared"


async def test_appliers_share_a_scale(session: aiohttp.ClientSession) -> None:
    path = "/apis/apps/v1/namespaces/default/deployments"
    pod = {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
    made = {"metadata": {"name": "scaled"}, "spec": {"selector": {"matchLabels": {"a": "b"}}, "template": pod}}
    async with session.post(f"{path}?fieldManager=maker", json=made) as answer:
        assert answer.status == 201

    async def apply(manager: str, replicas: int, more: str = "", **metadata: str) -> tuple[int, Any]:
        body = {
            "apiVersion": "autoscaling/v1",
            "kind": "Scale",
            "metadata": {"name": "scaled", **metadata},
            "spec": {"replicas": replicas},
        }
        url = f"{path}/scaled/scale?fieldManager={manager}{more}"
        async with session.patch(url, json=body, headers={"Content-Type": "application/apply-patch+yaml"}) as answer:
            return answer.status, await answer.json()

    code, refused = await apply("one", 3)
    assert (code, refused["message"]) == (
        409,
        'Apply failed with 1 conflict: conflict with "maker" using autoscaling/v1: .spec.replicas',
    )
    assert (await apply("one", 3, "&force=true"))[1]["spec"] == {"replicas": 3}
    assert 'conflict with "one" with subresource "scale"' in (await apply("two", 4))[1]["message"]
    assert (await apply("one", -1))[0] == 422
    assert "Precondition failed: UID" in (await apply("one", 3, uid="u"))[1]["message"]
    async with session.get(f"{path}/scaled") as answer:
        owners = (await answer.json())["metadata"]["managedFields"]
    assert [(each["manager"], each.get("subresource")) for each in owners] == [("one", "scale"), ("maker", None)]
    async with session.delete(f"{path}/scaled") as answer:
        assert answer.status == 200


async def test_others_may_not_read_secrets(session: aiohttp.ClientSession) -> None:
    headers = {"Impersonate-User": "system:serviceaccount:default:default"}
    async with session.get("/api/v1/namespaces/default/secrets", headers=headers) as answer:
        found = await answer.json()
    assert answer.status == 403
    assert found["message"] == (
        'secrets is forbidden: User "system:serviceaccount:default:default" cannot list resource "secrets" '
        'in API group "" in the namespace "default"'
    )


async def test_a_namespace_is_read_with_the_rights_of_those_within(
    session: aiohttp.ClientSession, server: ApiServer
) -> None:
    """And who may make roles there grants what is held there, whether or not the role names its namespace."""
    client = server.client("tester", ("system:masters",))
    subject = {"kind": "User", "name": "carol", "apiGroup": "rbac.authorization.k8s.io"}
    admin = {"kind": "ClusterRole", "name": "admin", "apiGroup": "rbac.authorization.k8s.io"}
    await client.create(
        ROLE_BINDINGS,
        {"metadata": {"name": "carol", "namespace": "default"}, "subjects": [subject], "roleRef": admin},
    )
    carol = {"Impersonate-User": "carol"}
    async with session.get("/api/v1/namespaces/default", headers=carol) as answer:
        assert answer.status == 200
    async with session.get("/api/v1/namespaces/kube-system", headers=carol) as answer:
        assert (answer.status, (await answer.json())["message"]) == (
            403,
            'namespaces "kube-system" is forbidden: User "carol" cannot get resource "namespaces" in API group "" '
            'in the namespace "kube-system"',
        )
    rule = {"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get"]}
    roles = "/apis/rbac.authorization.k8s.io/v1/namespaces/default/roles"
    role = {"metadata": {"name": "carols"}, "rules": [rule]}
    async with session.post(roles, headers=carol, json=role) as answer:
        assert answer.status == 201
    async with session.get("/apis/nope/v1/foos", headers=carol) as answer:
        assert (answer.status, (await answer.json())["details"]) == (403, {"group": "nope", "kind": "foos"})


async def test_nothing_is_made_in_a_namespace_that_ends(session: aiohttp.ClientSession, server: ApiServer) -> None:
    client = server.client("tester", ("system:masters",))
    await client.create(NAMESPACES, {"metadata": {"name": "ending"}})
    async with session.delete("/api/v1/namespaces/ending") as answer:
        assert (await answer.json())["status"]["phase"] == "Terminating"
    async with session.post("/api/v1/namespaces", json={"metadata": {"name": "ending"}}) as answer:
        said = (await answer.json())["message"]
    assert (answer.status, said) == (409, 'object is being deleted: namespaces "ending" already exists')
    async with session.post("/api/v1/namespaces/ending/configmaps", json={"metadata": {"name": "late"}}) as answer:
        found = await answer.json()
    assert (answer.status, found["details"]["causes"][0]["reason"]) == (403, "NamespaceTerminating")
    current = await client.get(NAMESPACES, "ending")
    await client.update(NAMESPACES, {**current, "spec": {}}, subresource="finalize")
    async with session.get("/api/v1/namespaces/ending") as answer:
        assert answer.status == 404


async def test_an_eviction_spends_the_server_s_own_write_of_a_budget(
    session: aiohttp.ClientSession, server: ApiServer
) -> None:
    client = server.client("tester", ("system:masters",))
    await client.create(SERVICE_ACCOUNTS, {"metadata": {"name": "default"}}, "default")
    labels = {"evicted": "yes"}
    spec = {"containers": [{"name": "c", "image": "i"}], "nodeName": "n"}
    await client.create(PODS, {"metadata": {"name": "p", "labels": labels}, "spec": spec}, "default")
    conditions = [{"type": "Ready", "status": "True"}]
    status = {"status": {"phase": "Running", "conditions": conditions}}
    await client.patch(PODS, "p", status, "default", subresource="status")
    budget = {"spec": {"minAvailable": 0, "selector": {"matchLabels": labels}}}
    counted = {"observedGeneration": 1, "disruptionsAllowed": 1, "currentHealthy": 1, "desiredHealthy": 0}
    for name in ("one", "two"):
        await client.create(POD_DISRUPTION_BUDGETS, {"metadata": {"name": name}, **budget}, "default")
        counts = {"status": {**counted, "expectedPods": 1}}
        await client.patch(POD_DISRUPTION_BUDGETS, name, counts, "default", subresource="status")
    path, eviction = "/api/v1/namespaces/default/pods/p/eviction", {"metadata": {"name": "p"}}
    async with session.post(path, json=eviction) as answer:
        told = await answer.json()
        # As upstream: not the HTTP status but the Status tells.
        assert (answer.status, told["status"], told["code"], "reason" in told) == (201, "Failure", 500, False)
    await client.delete(POD_DISRUPTION_BUDGETS, "two", "default")
    async with session.post(path, json=eviction) as answer:
        assert (answer.status, (await answer.json())["status"]) == (201, "Success")
    left = await client.get(POD_DISRUPTION_BUDGETS, "one", "default")
    assert left["status"]["disruptionsAllowed"] == 0
    written = {entry["manager"]: entry["fieldsV1"].get("f:status") for entry in left["metadata"]["managedFields"]}
    assert written["kube-apiserver"].keys() == {"f:disruptedPods", "f:disruptionsAllowed"}
    await client.delete(POD_DISRUPTION_BUDGETS, "one", "default")


@pytest.mark.parametrize(
    ("path", "agent", "start", "end"),
    [
        ("/version", "kubectl", b'{\n  "major"', b'"\n}'),
        ("/", "kubectl", b'{\n  "paths"', b"]\n}"),
        ("/index.html", "kubectl", b'{\n  "paths"', b"]\n}"),
        ("/apis", "kubectl", b'{"kind":"APIGroupList"', b"}\n"),
        ("/apis", "curl/8", b'{\n  "kind": "APIGroupList"', b"]\n}"),
        ("/api/v1/namespaces", "kubectl", b'{"kind":"NamespaceList"', b"}\n"),
        ("/api/v1/namespaces/default", "kubectl", b'{"kind":"Namespace"', b"}\n"),
        ("/api/v1/namespaces/default", "curl/8", b'{\n  "kind": "Namespace"', b"\n}"),
        ("/api/v1/namespaces/nope", "kubectl", b'{"kind":"Status"', b"}\n"),
    ],
)
async def test_a_body_is_a_line_or_indented(
    session: aiohttp.ClientSession, path: str, agent: str, start: bytes, end: bytes
) -> None:
    async with session.get(path, headers={"User-Agent": agent}) as response:
        body = await response.read()
    assert (body[: len(start)], body[-len(end) :]) == (start, end)


async def test_discovery_answers_in_yaml(session: aiohttp.ClientSession) -> None:
    async with session.get("/apis/apps", headers={"Accept": "application/yaml"}) as response:
        assert response.content_type == "application/yaml"
        assert (await response.text()).startswith("apiVersion: v1\nkind: APIGroup\nname: apps\n")


@pytest.mark.parametrize("path", ["/openid/v1/jwks", "/.well-known/openid-configuration"])
async def test_who_checks_tokens_may_keep_the_keys_for_an_hour(session: aiohttp.ClientSession, path: str) -> None:
    async with session.get(path) as response:
        assert (response.status, response.headers["Cache-Control"]) == (200, "public, max-age=3600")
    async with session.post(path) as response:
        assert response.status == 405


REVIEWS = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"


@pytest.mark.parametrize(
    ("path", "body", "cells"),
    [
        (f"{MAPS}?dryRun=All", {"metadata": {"name": "dry"}}, ["dry", 0, "0s"]),
        (REVIEWS, {"spec": {"resourceAttributes": {"verb": "get"}}}, ["", "0001-01-01T00:00:00Z"]),
    ],
)
async def test_what_is_not_stored_is_shown_in_a_table(
    session: aiohttp.ClientSession, path: str, body: Object, cells: list[Any]
) -> None:
    async with session.post(path, json=body, headers={"Accept": TABLE}) as answer:
        shown = await answer.json()
    assert (answer.status, shown["metadata"], shown["rows"][0]["cells"]) == (201, {}, cells)
