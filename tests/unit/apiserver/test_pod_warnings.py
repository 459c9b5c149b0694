"""What new pods and templates are warned of, word by word."""

from __future__ import annotations

import pytest

from apiserver.rules.pods.pod_warnings import pod_warnings, template_warnings
from apiserver.rules.pods.template_warnings import update_warnings_of, warnings_of
from machinery.api.resource import Object
from tests.unit.apiserver.pod_examples import LABEL, claim_spec, container, pod

C = "spec.containers[0]"
REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
PREFERRED = "preferredDuringSchedulingIgnoredDuringExecution"
NO_POD = "a null labelSelector results in matching no pod"
ZONE = "failure-domain.beta.kubernetes.io/zone"
NEW_ZONE = 'deprecated since v1.17; use "topology.kubernetes.io/zone" instead'


def volume(**source: object) -> Object:
    return {"volumes": [{"name": "v", **source}]}


def node_affinity(**terms: object) -> Object:
    return {"affinity": {"nodeAffinity": terms}}


def spread(**fields: object) -> Object:
    return {"maxSkew": 1, "topologyKey": "k", "whenUnsatisfiable": "DoNotSchedule", **fields}


OLD_TERM = {"matchExpressions": [{"key": ZONE, "operator": "Exists"}]}


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({}, []),
        ({"nodeSelector": {"a": "b", "beta.kubernetes.io/os": "linux"}}, [
            'spec.nodeSelector[beta.kubernetes.io/os]: deprecated since v1.14; use "kubernetes.io/os" instead']),
        (node_affinity(**{REQUIRED: {"nodeSelectorTerms": [OLD_TERM]}}), [
            f"spec.affinity.nodeAffinity.{REQUIRED}.nodeSelectorTerms[0].matchExpressions[0].key:"
            f" {ZONE} is {NEW_ZONE}"]),
        (node_affinity(**{PREFERRED: [{"weight": 1, "preference": OLD_TERM}]}), [
            f"spec.affinity.nodeAffinity.{PREFERRED}[0].preference.matchExpressions[0].key: {ZONE} is {NEW_ZONE}"]),
        ({"topologySpreadConstraints": [spread(labelSelector={}), spread(topologyKey=ZONE)]}, [
            f"spec.topologySpreadConstraints[1].topologyKey: {ZONE} is {NEW_ZONE}",
            f"spec.topologySpreadConstraints[1].labelSelector: {NO_POD}"]),
        ({"affinity": {"podAffinity": {REQUIRED: [{"topologyKey": "k"}]},
                       "podAntiAffinity": {PREFERRED: [{"weight": 1, "podAffinityTerm": {"topologyKey": "k"}}]}}}, [
            f"spec.affinity.podAffinity.{REQUIRED}[0].labelSelector: {NO_POD}",
            f"spec.affinity.podAntiAffinity.{PREFERRED}[0].podAffinityTerm.labelSelector: {NO_POD}"]),
        ({"hostAliases": [{"ip": "1.2.3.4"}, {"ip": "::1"}, {"ip": "1.2.3.4"}]}, [
            'spec.hostAliases[2].ip: duplicate ip "1.2.3.4"']),
        ({"imagePullSecrets": [{"name": "a"}, {"name": "a"}, {}]}, [
            'spec.imagePullSecrets[1].name: duplicate name "a"',
            'spec.imagePullSecrets[2].name: invalid empty name ""']),
        ({"overhead": {"cpu": "1500m", "memory": "1500m"}}, [
            'spec.overhead[memory]: fractional byte value "1500m" is invalid, must be an integer']),
        (volume(emptyDir={}), []),
        (volume(gitRepo={"repository": "r"}), ["spec.volumes[0].gitRepo: deprecated in v1.11"]),
        (volume(storageos={}), ["spec.volumes[0].storageOS: deprecated in v1.22, non-functional in v1.25+"]),
        (volume(rbd={}), ["spec.volumes[0].rbd: deprecated in v1.28, non-functional in v1.31+"]),
        (volume(ephemeral={"volumeClaimTemplate": {"spec": {
            **claim_spec(), "resources": {"requests": {"storage": "1500m"}}}}}), [
            "spec.volumes[0].ephemeral.volumeClaimTemplate.spec.resources.requests[storage]:"
            ' fractional byte value "1500m" is invalid, must be an integer']),
    ],
)  # fmt: skip
def test_specs(spec: Object, expected: list[str]) -> None:
    assert pod_warnings(pod(spec)) == expected


def items(*paths: str) -> list[Object]:
    return [{"key": "k", "path": path} for path in paths]


FIELD = {"fieldRef": {"fieldPath": "metadata.name"}}


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ({"configMap": {"name": "c", "items": items("a", "b/c", "b/d")}}, []),
        ({"configMap": {"name": "c", "items": items("a", "a/b")}}, [
            'volume "v" (ConfigMap "c"): overlapping paths: "a/b" with "a"']),
        ({"secret": {"secretName": "s", "items": items("a", "a")}}, [
            'volume "v" (Secret "s"): overlapping paths: "a" with "a"']),
        ({"downwardAPI": {"items": [{"path": "a/b", **FIELD}, {"path": "a", **FIELD}]}}, [
            'volume "v" (DownwardAPI): overlapping paths: "a" with "a/b"']),
        ({"projected": {"sources": [{}]}}, ['volume "v" (Projected) has no sources provided']),
        ({"projected": {"sources": [{"configMap": {"name": "c", "items": items("a")}},
                                    {"secret": {"name": "s", "items": items("a/b")}}]}}, [
            'volume "v" (Projected Secret "s"): overlapping paths: "a/b" with "a"']),
        ({"projected": {"sources": [{"downwardAPI": {"items": [{"path": "t", **FIELD}]}},
                                    {"serviceAccountToken": {"path": "t"}}]}}, [
            'volume "v" (Projected ServiceAccountToken): overlapping paths: "t" with "t"']),
    ],
)  # fmt: skip
def test_files_of_volumes(source: Object, expected: list[str]) -> None:
    assert pod_warnings(pod(volume(**source))) == expected


def variables(*pairs: tuple[str, str]) -> Object:
    return {"env": [{"name": name, "value": value} for name, value in pairs]}


def port(number: int, **fields: object) -> Object:
    return {"containerPort": number, **fields}


HIDES = 'hides previous definition of "A", which may be dropped when using apply'


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        (variables(("A", "1"), ("B", "2")), []),
        (variables(("A", "1"), ("A", "2"), ("A", "3")), [f"env[1]: {HIDES}", f"env[2]: {HIDES}"]),
        (variables(("A", "/bin"), ("A", "$(A):/sbin")), []),
        (variables(("A", "1"), ("A", "$(A)")), [f"env[1]: {HIDES}"]),
        ({"resources": {"limits": {"memory": "1500m", "cpu": "1500m"}, "requests": {"ephemeral-storage": "1m"}}}, [
            'resources.limits[memory]: fractional byte value "1500m" is invalid, must be an integer',
            'resources.requests[memory]: fractional byte value "1500m" is invalid, must be an integer',
            'resources.requests[ephemeral-storage]: fractional byte value "1m" is invalid, must be an integer']),
        ({"ports": [port(80), port(80, protocol="UDP"), port(81)]}, []),
        ({"ports": [port(80, name="a"), port(80, name="b")]}, [
            "ports[1]: duplicate port definition with spec.containers[0].ports[0]"]),
        ({"ports": [port(80), port(80, hostPort=80)]}, [
            "ports[1]: overlapping port definition with spec.containers[0].ports[0]"]),
        ({"ports": [port(80, hostPort=80), port(80, hostPort=81)]}, []),
        ({"ports": [port(80, hostPort=80), port(80, hostPort=80, hostIP="1.2.3.4")]}, [
            "ports[1]: dangerously ambiguous port definition with spec.containers[0].ports[0]"]),
        ({"ports": [port(80, name="a", hostIP="1.2.3.4")]}, [
            "ports[0]: hostIP set without hostPort:"
            " {Name:a HostPort:0 ContainerPort:80 Protocol:TCP HostIP:1.2.3.4}"]),
    ],
)  # fmt: skip
def test_containers(fields: Object, expected: list[str]) -> None:
    assert pod_warnings(pod({"containers": [container(**fields)]})) == [f"{C}.{line}" for line in expected]


def test_ports_of_other_containers() -> None:
    sidecar = container(name="s", restartPolicy="Always", ports=[port(80)])
    spec = {"initContainers": [sidecar], "containers": [container(ports=[port(80)])]}
    assert pod_warnings(pod(spec)) == [f"{C}.ports[0]: duplicate port definition with spec.initContainers[0].ports[0]"]


SECCOMP = "seccomp.security.alpha.kubernetes.io/pod"
SECCOMP_C = "container.seccomp.security.alpha.kubernetes.io/c"
APP_ARMOR = "container.apparmor.security.beta.kubernetes.io/c"
OLD_SECCOMP = 'non-functional in v1.27+; use the "seccompProfile" field instead'
OLD_APP_ARMOR = 'deprecated since v1.30; use the "appArmorProfile" field instead'
CRITICAL = "scheduler.alpha.kubernetes.io/critical-pod"


@pytest.mark.parametrize(
    ("annotations", "expected"),
    [
        ({"a": "b"}, []),
        ({CRITICAL: ""}, [
            f'metadata.annotations[{CRITICAL}]: non-functional in v1.16+; use the "priorityClassName" field instead']),
        ({SECCOMP: "unconfined", SECCOMP_C: "unconfined"}, [
            f"metadata.annotations[{SECCOMP}]: {OLD_SECCOMP}", f"metadata.annotations[{SECCOMP_C}]: {OLD_SECCOMP}"]),
        ({APP_ARMOR: "unconfined"}, [f"metadata.annotations[{APP_ARMOR}]: {OLD_APP_ARMOR}"]),
    ],
)  # fmt: skip
def test_annotations(annotations: Object, expected: list[str]) -> None:
    found = pod(annotations=annotations)
    assert pod_warnings(found) == expected
    template = {"metadata": {"annotations": annotations}, "spec": {"containers": [container()]}}
    assert template_warnings(template, "spec.template") == [f"spec.template.{line}" for line in expected]


def test_a_name_that_makes_no_hostname() -> None:
    found = pod()
    found["metadata"]["name"] = "a_b"
    assert pod_warnings(found) == [
        "metadata.name: this is used in the Pod's hostname, which can result in surprising behavior;"
        f" a DNS label is recommended: [{LABEL}]"
    ]
    found["metadata"]["name"] = "a.b"
    assert pod_warnings(found)[0].endswith("a DNS label is recommended: [must not contain dots]")


def test_templates_are_warned_of_when_their_generation_moves() -> None:
    def deployment(generation: int) -> Object:
        spec = {"containers": [container()], "nodeSelector": {ZONE: "z"}}
        return {"metadata": {"generation": generation}, "spec": {"template": {"spec": spec}}}

    warning = f"spec.template.spec.nodeSelector[{ZONE}]: {NEW_ZONE}"
    assert warnings_of("spec.template")(deployment(1)) == [warning]
    assert update_warnings_of("spec.template")(deployment(2), deployment(1)) == [warning]
    assert update_warnings_of("spec.template")(deployment(1), deployment(1)) == []
