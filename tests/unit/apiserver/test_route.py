"""Paths and what they mean."""

from __future__ import annotations

import pytest

from apiserver.http.negotiation import JSON, Media, is_pretty, negotiate, negotiate_discovery
from apiserver.http.route import resource_path
from machinery.api.errors import NotAcceptable


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("/api/v1/pods", ("", "pods", "", "", "")),
        ("/api/v1/namespaces/a/pods/b", ("", "pods", "a", "b", "")),
        ("/api/v1/namespaces/a/pods/b/log", ("", "pods", "a", "b", "log")),
        ("/api/v1/namespaces/a", ("", "namespaces", "", "a", "")),
        ("/api/v1/namespaces/a/status", ("", "namespaces", "", "a", "status")),
        ("/api/v1/namespaces/a/finalize", ("", "namespaces", "", "a", "finalize")),
        ("/apis/apps/v1/namespaces/a/deployments/b/scale", ("apps", "deployments", "a", "b", "scale")),
        ("/apis/rbac.authorization.k8s.io/v1/clusterroles/system%3Anode", (
            "rbac.authorization.k8s.io", "clusterroles", "", "system:node", "")),
    ],
)  # fmt: skip
def test_a_path_names_a_resource(path: str, words: tuple[str, ...]) -> None:
    found = resource_path(path)
    assert found is not None
    assert (found.group, found.plural, found.namespace, found.name, found.subresource) == words
    assert found.target is not None


@pytest.mark.parametrize("path", ["/", "/api", "/api/v1", "/apis/apps/v1", "/apis/nope/v1/x", "/healthz", "/version"])
def test_other_paths_are_no_resources(path: str) -> None:
    assert resource_path(path) is None


def test_a_path_that_nobody_serves_is_authorized_as_a_resource() -> None:
    found = resource_path("/apis/nope/v1/namespaces/a/x/b", is_served=False)
    assert found is not None
    assert (found.group, found.version, found.plural, found.namespace, found.name) == ("nope", "v1", "x", "a", "b")
    assert resource_path("/apis/nope/v1", is_served=False) is None


@pytest.mark.parametrize(
    "path",
    ["/api/v1/namespaces/a/nodes", "/api/v1/pods/b", "/api/v1/nothings", "/api/v1/namespaces/a/pods/b/nothing"],
)
def test_a_row_does_not_answer_to_every_path(path: str) -> None:
    found = resource_path(path)
    assert found is not None and found.target is None


@pytest.mark.parametrize(
    ("path", "method", "is_watch", "verb", "is_allowed"),
    [
        ("/api/v1/pods", "GET", True, "watch", True),
        ("/api/v1/pods", "POST", False, "create", False),
        ("/api/v1/pods", "DELETE", False, "deletecollection", False),
        ("/api/v1/namespaces/a/pods", "DELETE", False, "deletecollection", True),
        ("/api/v1/namespaces/a/pods", "PUT", False, "update", False),
        ("/api/v1/namespaces/a/pods/b", "POST", False, "create", False),
        ("/api/v1/namespaces/a/pods/b/eviction", "POST", False, "create", True),
        ("/api/v1/namespaces/a/pods/b/eviction", "GET", False, "get", False),
        ("/api/v1/watch/pods", "GET", False, "watch", True),
    ],
)
def test_methods_become_verbs(path: str, method: str, is_watch: bool, verb: str, is_allowed: bool) -> None:
    found = resource_path(path)
    assert found is not None
    assert found.verb(method, is_watch=is_watch) == verb
    assert found.is_allowed(verb) is is_allowed


TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"


@pytest.mark.parametrize(
    ("accept", "media"),
    [
        ("", Media()),
        ("*/*", Media()),
        ("application/vnd.kubernetes.protobuf,application/json", Media()),
        (f"{TABLE},application/json", Media("table", "v1")),
        ("application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io", Media("partial", "v1")),
        ("application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io", Media("partial", "v1", is_list=True)),
        ("application/json;stream=watch", Media()),
        ("application/json;as=Table;v=v9;g=meta.k8s.io,application/json", Media()),
        ("application/yaml", Media(is_yaml=True)),
        ("application/yaml;q=0.1,application/json", Media()),
    ],
)
def test_the_client_gets_the_form_it_prefers(accept: str, media: Media) -> None:
    assert negotiate(accept) == media


@pytest.mark.parametrize(
    "accept",
    [
        "application/vnd.kubernetes.protobuf",
        "application/json;as=Foo;v=v1;g=meta.k8s.io",
        "application/json;v=v1",
        "application/json;stream=foo",
        "application/json;sv=v2",
        "application/yaml;stream=watch",
    ],
)
def test_a_form_that_is_not_written_is_refused(accept: str) -> None:
    with pytest.raises(NotAcceptable, match="only the following media types are accepted"):
        negotiate(accept)


@pytest.mark.parametrize("accept", ["text/html", "application/*", "garbage"])
def test_what_no_route_produces_is_refused_with_what_it_does(accept: str) -> None:
    with pytest.raises(NotAcceptable) as refused:
        negotiate(accept)
    assert refused.value.message == (
        "406: Not Acceptable\n\nAvailable representations: "
        "application/json, application/yaml, application/vnd.kubernetes.protobuf"
    )
    assert refused.value.status()["details"] == {}
    with pytest.raises(NotAcceptable, match="application/json;stream=watch"):
        negotiate(accept, of_list=True)


AGGREGATED = "application/json;as=APIGroupDiscoveryList;v=v2;g=apidiscovery.k8s.io"
BETA = AGGREGATED.replace("v2", "v2beta1")


@pytest.mark.parametrize(
    ("accept", "path", "media"),
    [
        ("", "/apis", JSON),
        ("*/*", "/apis", JSON),
        ("application/vnd.kubernetes.protobuf, */*", "/api/v1", JSON),
        ("a/b,application/*;q=0.1", "/apis", JSON),
        ("application/yaml", "/apis/apps", Media(is_yaml=True)),
        (f"{AGGREGATED},{BETA},application/json", "/api", Media("aggregated", "v2")),
        (f"application/json,{AGGREGATED};q=0.1", "/apis", Media("aggregated", "v2")),
        (f"{AGGREGATED};profile=nopeer", "/apis", Media("aggregated", "v2")),
        (AGGREGATED.replace("json", "yaml"), "/apis", Media("aggregated", "v2", is_yaml=True)),
        (f"{BETA},application/json", "/apis", JSON),
        (f"{AGGREGATED},application/json", "/apis/apps/v1", JSON),
    ],
)
def test_who_knows_the_aggregated_form_of_discovery_gets_it(accept: str, path: str, media: Media) -> None:
    assert negotiate_discovery(accept, path) == media


@pytest.mark.parametrize(
    ("accept", "path", "words"),
    [
        ("text/html", "/api/v1", "406: Not Acceptable"),
        ("text/html", "/apis/apps/v1", "406: Not Acceptable"),
        ("text/html", "/apis", "only the following"),
        ("text/html", "/apis/apps", "only the following"),
        (BETA, "/apis", "only the following"),
        (AGGREGATED, "/api/v1", "only the following"),
        ("application/vnd.kubernetes.protobuf", "/api", "only the following"),
    ],
)
def test_other_forms_of_discovery_are_refused(accept: str, path: str, words: str) -> None:
    with pytest.raises(NotAcceptable, match=words):
        negotiate_discovery(accept, path)


def test_humans_get_indented_json() -> None:
    assert is_pretty(None, "curl/8")
    assert not is_pretty("false", "curl/8")
    assert is_pretty("1", "kubectl")
