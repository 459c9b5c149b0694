"""The kubelet's smaller rules: back-off, image names, resources, DNS, hosts files, relists."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from kubelet.backoff import Backoff, duration
from kubelet.config import KubeletConfig
from kubelet.dnslimits import within_limits
from kubelet.fieldrefs import ConfigurationError
from kubelet.imagenames import InvalidImageName, default_pull_policy, full_name, with_default_tag
from kubelet.pleg import diff
from kubelet.podfiles import hosts_file
from kubelet.pull_secrets import credentials
from kubelet.resources import cgroup_parent, format_quantity, linux_resources, milli, shares, unified_limits, whole
from kubelet.sandboxconfig import Dns, hostname, parse_resolv_conf, pod_dns, runtime_handler, sandbox_config
from machinery.api.resource import Object
from machinery.api.resources import RUNTIME_CLASSES
from tests.known import Known, Resource

NOW = datetime(2026, 1, 1, tzinfo=UTC)
CONFIG = KubeletConfig("node", lambda: ("192.0.2.1",))
POD: Object = {
    "metadata": {"name": "p", "namespace": "ns", "uid": "u"},
    "spec": {"containers": [{"name": "c"}]},
    "status": {"qosClass": "Burstable"},
}


def test_back_off_doubles_to_five_minutes_and_is_forgotten_when_quiet() -> None:
    backoff = Backoff()
    assert backoff.until("k", NOW) is None
    seen = []
    for _ in range(7):
        backoff.advance("k", NOW)
        seen.append(int(backoff.delay("k").total_seconds()))
    assert seen == [10, 20, 40, 80, 160, 300, 300]
    assert backoff.until("k", NOW) == NOW + timedelta(minutes=5)
    assert backoff.until("k", NOW + timedelta(minutes=11)) is None


@pytest.mark.parametrize(("seconds", "text"), [(10, "10s"), (80, "1m20s"), (300, "5m0s"), (3600, "1h0m0s")])
def test_durations_read_as_go_prints_them(seconds: int, text: str) -> None:
    assert duration(timedelta(seconds=seconds)) == text


@pytest.mark.parametrize(
    ("given", "tagged"),
    [
        ("nginx", "nginx:latest"),
        ("nginx:1", "nginx:1"),
        ("localhost:5000/a/b", "localhost:5000/a/b:latest"),
        ("a@sha256:" + "0" * 64, "a@sha256:" + "0" * 64),
    ],
)
def test_images_get_the_default_tag(given: str, tagged: str) -> None:
    assert with_default_tag(given) == tagged


def test_a_bad_image_name_is_refused_in_known_words() -> None:
    with pytest.raises(InvalidImageName) as error:
        with_default_tag("Not_A:Good:Name")
    assert str(error.value) == (
        'Failed to apply default image tag "Not_A:Good:Name": couldn\'t parse image name "Not_A:Good:Name": '
        "invalid reference format: repository name (library/Not_A) must be lowercase"
    )


def test_full_names_and_pull_policies() -> None:
    assert full_name("nginx:1") == "docker.io/library/nginx:1"
    assert full_name("ghcr.io/a/b:1") == "ghcr.io/a/b:1"
    assert default_pull_policy("nginx") == "Always"
    assert default_pull_policy("nginx:1") == "IfNotPresent"


def test_quantities() -> None:
    assert (milli("100m"), milli("1.5"), whole("20Mi"), whole("1k"), whole("1e3")) == (100, 1500, 20 << 20, 1000, 1000)
    assert format_quantity(Decimal("0.3"), "100m") == "300m"
    assert format_quantity(3 << 20, "1Mi") == "3Mi"


def test_resources_become_shares_quota_bytes_and_a_score() -> None:
    spec = {"name": "c", "resources": {"requests": {"memory": "1Gi"}, "limits": {"cpu": "500m", "memory": "2Gi"}}}
    found = linux_resources(POD, spec, 4 << 30)
    assert (found.cpu_shares, found.cpu_quota, found.memory_limit, found.oom_score_adj) == (512, 50000, 2 << 30, 750)
    assert shares(0) == 2


def test_a_limit_that_a_container_leaves_open_is_its_pods() -> None:
    pod = {**POD, "spec": {**POD["spec"], "resources": {"limits": {"cpu": "1", "memory": "1Gi"}}}}
    found = linux_resources(pod, {"name": "c", "resources": {"limits": {"memory": "5Mi"}}}, 4 << 30)
    assert (found.cpu_quota, found.cpu_shares, found.memory_limit) == (100_000, 1024, 5 << 20)


@pytest.mark.parametrize(
    ("is_unified", "counts_swap", "told"),
    [
        (False, True, {}),
        (True, False, {"memory.oom.group": "1"}),
        (True, True, {"memory.oom.group": "1", "memory.swap.max": "0"}),
    ],
)
def test_a_container_ends_as_a_whole_and_does_not_swap_on_cgroup_v2(
    is_unified: bool,  # noqa: FBT001
    counts_swap: bool,  # noqa: FBT001
    told: dict[str, str],
) -> None:
    assert unified_limits(is_unified=is_unified, counts_swap=counts_swap) == told


@pytest.mark.parametrize(
    ("qos", "path"),
    [("Guaranteed", "/k/podu"), ("Burstable", "/k/burstable/podu"), ("BestEffort", "/k/besteffort/podu")],
)
def test_a_pod_s_cgroup_stands_by_its_class(qos: str, path: str) -> None:
    assert cgroup_parent("/k", {**POD, "status": {"qosClass": qos}}) == path


def test_dns_policies() -> None:
    host = parse_resolv_conf("# x\nnameserver 1.1.1.1\nsearch a b\noptions ndots:2\n")
    assert host == Dns(("1.1.1.1",), ("a", "b"), ("ndots:2",))
    assert pod_dns(POD, host, CONFIG) == host
    with_dns = KubeletConfig("node", lambda: ("192.0.2.1",), cluster_dns=("10.96.0.10",))
    cluster = pod_dns(POD, host, with_dns)
    assert cluster.servers == ("10.96.0.10",)
    assert cluster.searches == ("ns.svc.cluster.local", "svc.cluster.local", "cluster.local", "a", "b")
    own = {"nameservers": ["9.9.9.9"], "options": [{"name": "ndots", "value": "1"}]}
    alone = pod_dns({**POD, "spec": {"dnsPolicy": "None", "dnsConfig": own}}, host, with_dns)
    assert alone == Dns(("9.9.9.9",), (), ("ndots:1",))


def test_a_resolv_conf_is_read_as_upstream_does() -> None:
    text = "options a b\nsearch x. . y\nnameserver 1.1.1.1\noptions c\nnameserver 1.1.1.1\n"
    assert parse_resolv_conf(text) == Dns(("1.1.1.1", "1.1.1.1"), ("x", "y"), ("c",))


LONG, PATHS = "x" * 254, tuple(f"d{number}" for number in range(33))
_OMITTED = "limits were exceeded, some {0} have been omitted, the applied {1} line is: {2}"


@pytest.mark.parametrize(
    ("wanted", "given", "said"),
    [
        (Dns(("1", "2", "3"), PATHS[:32]), Dns(("1", "2", "3"), PATHS[:32]), []),
        (
            Dns(("1", "2", "1", "4")),
            Dns(("1", "2", "1")),
            ["Nameserver " + _OMITTED.format("nameservers", "nameserver", "1 2 1")],
        ),
        (
            Dns(searches=PATHS),
            Dns(searches=PATHS[:32]),
            ["Search Line " + _OMITTED.format("search paths", "search", " ".join(PATHS[:32]))],
        ),
        (
            Dns(searches=("a", LONG, "b")),
            Dns(searches=("a", "b")),
            ["Search Line " + _OMITTED.format("search paths", "search", "a b")],
        ),
        (
            Dns(searches=(LONG[1:],) * 9),
            Dns(searches=(LONG[1:],) * 8),
            ["Search Line " + _OMITTED.format("search paths", "search", " ".join((LONG[1:],) * 8))],
        ),
    ],
)
def test_what_resolvers_read_is_written(wanted: Dns, given: Dns, said: list[str]) -> None:
    assert within_limits(wanted) == (given, said)


def test_host_names() -> None:
    assert hostname(POD, "node") == "p"
    assert hostname({**POD, "spec": {"hostNetwork": True}}, "node") == "node"


def test_a_hosts_file_names_the_pod_and_its_aliases() -> None:
    spec = {"containers": [], "subdomain": "s", "hostAliases": [{"ip": "1.2.3.4", "hostnames": ["a", "b"]}]}
    text = hosts_file({**POD, "spec": spec}, ("10.0.0.1",), "cluster.local", "")
    assert "10.0.0.1\tp.s.ns.svc.cluster.local\tp\n" in text
    assert text.endswith("# Entries added by HostAliases.\n1.2.3.4\ta\tb\n")


def test_a_sandbox_s_configuration() -> None:
    ports = [{"containerPort": 80, "hostPort": 8080}]
    made: dict[str, Any] = sandbox_config(
        {**POD, "spec": {"containers": [{"name": "c", "ports": ports}]}}, 2, Dns(), CONFIG
    )
    assert made["metadata"] == {"name": "p", "uid": "u", "namespace": "ns", "attempt": 2}
    assert made["log_directory"] == "/var/log/pods/ns_p_u"
    assert made["linux"]["cgroup_parent"] == "/kubepods/burstable/podu"
    assert made["port_mappings"][0]["host_port"] == 8080


def test_a_relist_names_the_pods_that_changed() -> None:
    assert diff({"a": 1, "b": 1, "c": 1}, {"a": 1, "b": 2, "d": 1}) == {"b", "c", "d"}


class _Secrets:
    """The one question that credentials ask of a cache."""

    def __init__(self, secret: Object) -> None:
        self._secret = secret

    def get(self, resource: Resource, namespace: str, name: str) -> Object | None:
        return self._secret if name == "s" else None


def test_pull_secrets_are_used_for_their_registry_alone() -> None:
    import base64
    import json

    auths = {"ghcr.io": {"auth": base64.b64encode(b"me:pass").decode()}}
    data = {".dockerconfigjson": base64.b64encode(json.dumps({"auths": auths}).encode()).decode()}
    secret = {"metadata": {"name": "s", "namespace": "default", "uid": "1"}, "data": data}
    pod = {**POD, "spec": {"imagePullSecrets": [{"name": "s"}]}}
    cache: Any = _Secrets(secret)
    (found,) = credentials(pod, "ghcr.io/a/b:1", cache)
    assert (found.auth["username"], found.auth["password"]) == ("me", "pass")
    assert (found.proof.uid, found.proof.namespace, found.proof.name) == ("1", "default", "s")
    assert "pass" not in found.proof.digest
    assert credentials(pod, "docker.io/library/nginx:1", cache) == []


def test_configuration_errors_are_one_kind() -> None:
    assert issubclass(InvalidImageName, ConfigurationError)


def test_a_pod_may_be_named_in_full_as_long_as_the_kernel_allows() -> None:
    config = KubeletConfig("node", lambda: ("192.0.2.1",))
    spec = {"containers": [], "subdomain": "s", "setHostnameAsFQDN": True}
    pod = {**POD, "spec": spec}
    full = f"p.s.{POD['metadata']['namespace']}.svc.cluster.local"
    assert sandbox_config(pod, 0, Dns(), config)["hostname"] == full
    assert sandbox_config({**pod, "spec": {**spec, "subdomain": ""}}, 0, Dns(), config)["hostname"] == "p"
    with pytest.raises(ConfigurationError, match="is too long .64 characters is the max"):
        sandbox_config({**pod, "spec": {**spec, "subdomain": "s" * 60}}, 0, Dns(), config)


def test_a_pod_that_asks_for_users_of_its_own_is_not_run_with_the_host_s() -> None:
    config = KubeletConfig("node", lambda: ("192.0.2.1",))
    pod = {**POD, "spec": {"containers": [], "hostUsers": False}}
    with pytest.raises(ConfigurationError, match="runtime does not support user namespaces"):
        sandbox_config(pod, 0, Dns(), config)


def test_a_runtime_class_names_the_runtime() -> None:
    known = Known((RUNTIME_CLASSES, {"metadata": {"name": "odd"}, "handler": "kata"}))
    assert runtime_handler({**POD, "spec": {"containers": []}}, known) == ""
    assert runtime_handler({**POD, "spec": {"containers": [], "runtimeClassName": "odd"}}, known) == "kata"
    with pytest.raises(ConfigurationError) as told:
        runtime_handler({**POD, "spec": {"containers": [], "runtimeClassName": "gone"}}, known)
    assert str(told.value) == 'runtimeclass.node.k8s.io "gone" not found'
