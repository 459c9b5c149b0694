"""A container's environment: where values come from, who wins, what is told where a source lacks."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest

from kubelet.environment import Surroundings, environment, expand, variables_of
from kubelet.fieldrefs import ConfigurationError
from machinery.api.resource import Object, Resource
from machinery.api.resources import CONFIG_MAPS, SECRETS, SERVICES
from tests.known import Known

AROUND = Surroundings(("10.244.0.5", "fd00::5"), ("192.0.2.1", "2001:db8::1"), {"cpu": "4", "memory": "8Gi"})


def put(known: Known, resource: Resource, name: str, namespace: str = "ns", **fields: object) -> None:
    known.put(resource, {"kind": resource.kind, "metadata": {"name": name, "namespace": namespace}, **fields})


def encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def known() -> Known:
    cache = Known()
    put(cache, CONFIG_MAPS, "m", data={"a": "from map", "b": "two"})
    put(cache, SECRETS, "s", data={"k": encoded("hidden")})
    return cache


def values(spec: Object, cache: Known | None = None, *, links: bool = True) -> dict[str, str]:
    container = {"name": "c", **spec}
    pod = {
        "metadata": {
            "name": "p",
            "namespace": "ns",
            "uid": "u",
            "labels": {"app": "web"},
            "annotations": {"example.com/note": "read me"},
        },
        "spec": {
            "nodeName": "n",
            "serviceAccountName": "sa",
            "enableServiceLinks": links,
            "containers": [container],
        },
    }
    return environment(pod, container, known() if cache is None else cache, AROUND)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("plain", "plain"),
        ("$(A)", "1"),
        ("x$(A)y$(B)z", "x1y2z"),
        ("$(UNKNOWN)", "$(UNKNOWN)"),
        ("$$(A)", "$(A)"),
        ("$$$(A)", "$1"),
        ("$A", "$A"),
        ("$(A", "$(A"),
        ("50$", "50$"),
        ("", ""),
    ],
)
def test_expansion(text: str, wanted: str) -> None:
    assert expand(text, {"A": "1", "B": "2"}) == wanted


def test_later_values_see_earlier_ones() -> None:
    env = [{"name": "B", "value": "$(A)"}, {"name": "A", "value": "1"}, {"name": "C", "value": "$(A)$(B)"}]
    assert values({"env": env}, Known()) == {"B": "$(A)", "A": "1", "C": "1$(A)"}


def test_env_wins_over_env_from_and_the_last_source_over_the_first() -> None:
    spec = {
        "envFrom": [{"configMapRef": {"name": "m"}}, {"prefix": "S_", "secretRef": {"name": "s"}}],
        "env": [{"name": "b", "value": "$(S_k)"}],
    }
    assert values(spec) == {"a": "from map", "b": "hidden", "S_k": "hidden"}


def test_keys_of_config_maps_and_secrets() -> None:
    env = [
        {"name": "A", "valueFrom": {"configMapKeyRef": {"name": "m", "key": "a"}}},
        {"name": "K", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}},
        {"name": "NONE", "valueFrom": {"secretKeyRef": {"name": "s", "key": "x", "optional": True}}},
        {"name": "NO_MAP", "valueFrom": {"configMapKeyRef": {"name": "x", "key": "x", "optional": True}}},
    ]
    assert values({"env": env}) == {"A": "from map", "K": "hidden"}


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        (
            {"env": [{"name": "A", "valueFrom": {"configMapKeyRef": {"name": "x", "key": "k"}}}]},
            'configmap "x" not found',
        ),
        (
            {"env": [{"name": "A", "valueFrom": {"configMapKeyRef": {"name": "m", "key": "k"}}}]},
            "couldn't find key k in ConfigMap ns/m",
        ),
        ({"env": [{"name": "A", "valueFrom": {"secretKeyRef": {"name": "x", "key": "k"}}}]}, 'secret "x" not found'),
        (
            {"env": [{"name": "A", "valueFrom": {"secretKeyRef": {"name": "s", "key": "x"}}}]},
            "couldn't find key x in Secret ns/s",
        ),
        ({"envFrom": [{"configMapRef": {"name": "x"}}]}, 'configmap "x" not found'),
        ({"envFrom": [{"secretRef": {"name": "x"}}]}, 'secret "x" not found'),
    ],
)
def test_what_lacks_is_told_in_upstream_s_words(spec: Object, words: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        values(spec)
    assert str(caught.value) == words


def test_env_from_may_be_optional() -> None:
    assert values({"envFrom": [{"configMapRef": {"name": "x", "optional": True}}]}) == {}


@pytest.mark.parametrize(
    ("path", "wanted"),
    [
        ("metadata.name", "p"),
        ("metadata.namespace", "ns"),
        ("metadata.uid", "u"),
        ("metadata.labels['app']", "web"),
        ("metadata.labels['absent']", ""),
        ("metadata.annotations['example.com/note']", "read me"),
        ("spec.nodeName", "n"),
        ("spec.serviceAccountName", "sa"),
        ("status.hostIP", "192.0.2.1"),
        ("status.hostIPs", "192.0.2.1,2001:db8::1"),
        ("status.podIP", "10.244.0.5"),
        ("status.podIPs", "10.244.0.5,fd00::5"),
    ],
)
def test_fields_of_the_pod(path: str, wanted: str) -> None:
    assert values({"env": [{"name": "F", "valueFrom": {"fieldRef": {"fieldPath": path}}}]}, Known()) == {"F": wanted}


@pytest.mark.parametrize(
    ("reference", "wanted"),
    [
        ({"resource": "limits.cpu"}, "1"),
        ({"resource": "limits.cpu", "divisor": "1m"}, "250"),
        ({"resource": "requests.cpu", "divisor": "1m"}, "100"),
        ({"resource": "limits.memory"}, str(8 << 30)),
        ({"resource": "limits.memory", "divisor": "1Gi"}, "8"),
        ({"resource": "requests.memory", "divisor": "0"}, "0"),
    ],
)
def test_resources_in_units_of_the_divisor(reference: Object, wanted: str) -> None:
    """Rounded up; a limit that is not set is what the node has."""
    resources = {"limits": {"cpu": "250m"}, "requests": {"cpu": "100m"}}
    env = [{"name": "R", "valueFrom": {"resourceFieldRef": reference}}]
    assert values({"env": env, "resources": resources}, Known()) == {"R": wanted}


def _with_services() -> Known:
    cache = Known()
    ports = [{"name": "https", "port": 443, "protocol": "TCP"}]
    put(cache, SERVICES, "kubernetes", "default", spec={"clusterIP": "10.96.0.1", "ports": ports})
    put(cache, SERVICES, "my-db", spec={"clusterIP": "10.96.0.9", "ports": [{"port": 53, "protocol": "UDP"}]})
    put(cache, SERVICES, "headless", spec={"clusterIP": "None", "ports": [{"port": 1}]})
    put(cache, SERVICES, "elsewhere", "other", spec={"clusterIP": "10.96.0.8", "ports": [{"port": 1}]})
    return cache


KUBERNETES = {
    "KUBERNETES_SERVICE_HOST": "10.96.0.1",
    "KUBERNETES_SERVICE_PORT": "443",
    "KUBERNETES_SERVICE_PORT_HTTPS": "443",
    "KUBERNETES_PORT": "tcp://10.96.0.1:443",
    "KUBERNETES_PORT_443_TCP": "tcp://10.96.0.1:443",
    "KUBERNETES_PORT_443_TCP_PROTO": "tcp",
    "KUBERNETES_PORT_443_TCP_PORT": "443",
    "KUBERNETES_PORT_443_TCP_ADDR": "10.96.0.1",
}


def test_the_api_server_is_known_even_without_links() -> None:
    assert values({}, _with_services(), links=False) == KUBERNETES


def test_services_of_the_namespace_are_linked() -> None:
    assert values({}, _with_services()) == KUBERNETES | {
        "MY_DB_SERVICE_HOST": "10.96.0.9",
        "MY_DB_SERVICE_PORT": "53",
        "MY_DB_PORT": "udp://10.96.0.9:53",
        "MY_DB_PORT_53_UDP": "udp://10.96.0.9:53",
        "MY_DB_PORT_53_UDP_PROTO": "udp",
        "MY_DB_PORT_53_UDP_PORT": "53",
        "MY_DB_PORT_53_UDP_ADDR": "10.96.0.9",
    }


def test_the_pod_s_own_values_win_over_services_and_may_name_them() -> None:
    env = [{"name": "URL", "value": "http://$(MY_DB_SERVICE_HOST)"}, {"name": "MY_DB_PORT", "value": "mine"}]
    found = values({"env": env}, _with_services())
    assert found["URL"] == "http://10.96.0.9"
    assert found["MY_DB_PORT"] == "mine"


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("A=1\nB=two words # said\n", {"A": "1", "B": "two words"}),
        ("# A=0\n\nA=1\nA=2\n", {"A": "1"}),
        ("A='one # line\nand another'\nB=2", {"A": "one # line\nand another", "B": "2"}),
        ("A=x=y\nnothing\n=z\n", {"A": "x=y"}),
    ],
)
def test_files_of_variables(text: str, found: dict[str, str]) -> None:
    assert variables_of(text) == found


def test_a_variable_may_come_from_a_file_that_an_init_container_left(tmp_path: Path) -> None:
    (tmp_path / "app.env").write_text("TOKEN=abc\n")
    around = Surroundings(volumes={"v": tmp_path})

    def told(path: str, key: str, **more: object) -> dict[str, str]:
        reference = {"volumeName": "v", "path": path, "key": key, **more}
        spec = {"name": "c", "env": [{"name": "A", "valueFrom": {"fileKeyRef": reference}}]}
        pod = {"metadata": {"name": "p", "namespace": "ns"}, "spec": {"enableServiceLinks": False}}
        return environment(pod, spec, Known(), around)

    assert told("app.env", "TOKEN") == {"A": "abc"}
    assert told("app.env", "OTHER", optional=True) == told("no.env", "TOKEN", optional=True) == {}
    with pytest.raises(ConfigurationError, match=f'variable key "OTHER" not found in file "{tmp_path}/app.env"'):
        told("app.env", "OTHER")
    with pytest.raises(ConfigurationError, match="couldn't parse env file"):
        told("no.env", "TOKEN")
