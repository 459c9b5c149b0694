"""Admission as a table: what a new object looks like afterwards, and what is refused in which words."""

from __future__ import annotations

import asyncio

import pytest

from apiserver.admission.chain import Admit, Review, admit
from apiserver.admission.ingresses import default_ingress_class
from apiserver.admission.namespaces import namespace_lifecycle
from apiserver.admission.pod_topology import pod_topology_labels
from apiserver.admission.pods import default_toleration_seconds, priority, service_account
from apiserver.admission.runtime_classes import runtime_class
from apiserver.admission.storage_and_nodes import protect_volumes, taint_new_nodes
from apiserver.registry.call import Call
from apiserver.request import LOOPBACK, Target
from machinery.api.errors import Forbidden, NotFound, StatusError
from machinery.api.resource import Object, Resource
from machinery.api.resources import (
    CONFIG_MAPS,
    INGRESS_CLASSES,
    INGRESSES,
    NAMESPACES,
    NODES,
    PERSISTENT_VOLUME_CLAIMS,
    PODS,
    PRIORITY_CLASSES,
    RUNTIME_CLASSES,
    SERVICE_ACCOUNTS,
)
from tests.known import Known

ACCOUNT = (
    SERVICE_ACCOUNTS,
    {"metadata": {"name": "default", "namespace": "default"}, "imagePullSecrets": [{"name": "pull"}]},
)
HIGH = (PRIORITY_CLASSES, {"metadata": {"name": "high"}, "value": 9, "preemptionPolicy": "Never"})


def pod(**spec: object) -> Object:
    return {"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c"}], **spec}}


def run(each: Admit, resource: Resource, obj: Object | None, *, operation: str = "CREATE", name: str = "") -> None:
    namespace = "default" if resource.namespaced else ""
    call = Call(LOOPBACK, operation.lower(), Target(resource, namespace))
    name = name or (obj["metadata"]["name"] if obj else "")
    asyncio.run(admit([each], Review(operation, call, resource, namespace, name, obj=obj)))  # type: ignore[arg-type]


ZONE, REGION = "topology.kubernetes.io/zone", "topology.kubernetes.io/region"


@pytest.mark.parametrize(
    ("node", "own", "labels"),
    [
        ("there", None, {ZONE: "z", REGION: "r"}),
        ("there", {ZONE: "other", "a": "b"}, {ZONE: "z", REGION: "r", "a": "b"}),
        ("gone", {"a": "b"}, {"a": "b"}),
        ("", None, None),
    ],
)
def test_a_pod_has_its_node_s_zone_and_region(node: str, own: Object | None, labels: Object | None) -> None:
    known = Known((NODES, {"metadata": {"name": "there", "labels": {ZONE: "z", REGION: "r", "x": "y"}}}))
    made = pod(**({"nodeName": node} if node else {}))
    if own is not None:
        made["metadata"]["labels"] = own
    run(pod_topology_labels(known), PODS, made)
    assert made["metadata"].get("labels") == labels


def test_a_pod_gets_its_account_token_and_pull_secrets() -> None:
    made = pod()
    run(service_account(Known(ACCOUNT)), PODS, made)
    spec = made["spec"]
    assert (spec["serviceAccountName"], spec["serviceAccount"]) == ("default", "default")
    assert spec["imagePullSecrets"] == [{"name": "pull"}]
    volume = spec["volumes"][0]
    assert volume["name"].startswith("kube-api-access-")
    assert spec["containers"][0]["volumeMounts"][0]["name"] == volume["name"]


@pytest.mark.parametrize("made", [pod(automountServiceAccountToken=False)])
def test_a_pod_may_do_without_a_token(made: Object) -> None:
    run(service_account(Known(ACCOUNT)), PODS, made)
    assert "volumes" not in made["spec"]


def test_a_priority_class_becomes_a_number() -> None:
    made, plain = pod(priorityClassName="high"), pod()
    run(priority(Known(HIGH)), PODS, made)
    run(priority(Known(HIGH)), PODS, plain)
    assert (made["spec"]["priority"], made["spec"]["preemptionPolicy"]) == (9, "Never")
    assert (plain["spec"]["priority"], plain["spec"]["preemptionPolicy"]) == (0, "PreemptLowerPriority")


def test_one_priority_class_is_the_default() -> None:
    def default(name: str) -> Object:
        return {"metadata": {"name": name}, "value": 1, "globalDefault": True}

    judge = priority(Known((PRIORITY_CLASSES, default("one"))))
    with pytest.raises(Forbidden) as refused:
        run(judge, PRIORITY_CLASSES, default("two"))
    assert str(refused.value) == (
        'priorityclasses.scheduling.k8s.io "two" is forbidden: PriorityClass one is already marked as default. '
        "Only one default can exist"
    )
    run(judge, PRIORITY_CLASSES, {**default("two"), "globalDefault": False})
    run(priority(Known()), PRIORITY_CLASSES, default("one"))


BOXED = (
    RUNTIME_CLASSES,
    {
        "metadata": {"name": "boxed"},
        "handler": "h",
        "overhead": {"podFixed": {"cpu": "250m"}},
        "scheduling": {
            "nodeSelector": {"box": "yes"},
            "tolerations": [{"key": "box", "operator": "Exists"}, {"key": "a", "operator": "Equal", "value": "1"}],
        },
    },
)
PLAIN = (RUNTIME_CLASSES, {"metadata": {"name": "plain"}, "handler": "h"})


@pytest.mark.parametrize(
    ("given", "added"),
    [
        (
            {},
            {
                "overhead": {"cpu": "250m"},
                "nodeSelector": {"box": "yes"},
                "tolerations": BOXED[1]["scheduling"]["tolerations"],
            },
        ),
        (
            {
                "overhead": {"cpu": "0.25"},
                "nodeSelector": {"disk": "fast", "box": "yes"},
                "tolerations": [
                    {"key": "box", "operator": "Equal", "value": "b", "effect": "NoSchedule"},
                    {"key": "a", "operator": "Equal", "value": "1"},
                    {"key": "a", "operator": "Equal", "value": "2"},
                ],
            },
            {
                "overhead": {"cpu": "250m"},
                "nodeSelector": {"disk": "fast", "box": "yes"},
                "tolerations": [
                    {"key": "a", "operator": "Equal", "value": "1"},
                    {"key": "a", "operator": "Equal", "value": "2"},
                    {"key": "box", "operator": "Exists"},
                ],
            },
        ),
    ],
)
def test_a_runtime_class_says_what_its_pods_cost_and_where_they_run(given: Object, added: Object) -> None:
    made = pod(runtimeClassName="boxed", **given)
    run(runtime_class(Known(BOXED)), PODS, made)
    assert {key: made["spec"][key] for key in added} == added


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ({"runtimeClassName": "other"}, 'pod rejected: RuntimeClass "other" not found'),
        (
            {"runtimeClassName": "boxed", "overhead": {"cpu": "1"}},
            "pod rejected: Pod's Overhead doesn't match RuntimeClass's defined Overhead",
        ),
        (
            {"runtimeClassName": "plain", "overhead": {"cpu": "1"}},
            "pod rejected: Pod Overhead set without corresponding RuntimeClass defined Overhead",
        ),
        (
            {"overhead": {"cpu": "1"}},
            "pod rejected: Pod Overhead set without corresponding RuntimeClass defined Overhead",
        ),
        (
            {"runtimeClassName": "boxed", "nodeSelector": {"box": "no"}},
            "conflict: runtimeClass.scheduling.nodeSelector[box] = yes; pod.spec.nodeSelector[box] = no",
        ),
    ],
)
def test_a_pod_that_its_runtime_class_does_not_fit_is_refused(spec: Object, said: str) -> None:
    with pytest.raises(Forbidden) as refused:
        run(runtime_class(Known(BOXED, PLAIN)), PODS, pod(**spec))
    assert str(refused.value) == f'pods "p" is forbidden: {said}'


def test_lost_nodes_are_tolerated_for_a_while_unless_the_pod_says_how_long() -> None:
    own = {"key": "node.kubernetes.io/not-ready", "operator": "Exists", "effect": "NoExecute"}
    made = pod(tolerations=[own])
    run(default_toleration_seconds, PODS, made)
    assert [each["key"] for each in made["spec"]["tolerations"]] == [
        "node.kubernetes.io/not-ready",
        "node.kubernetes.io/unreachable",
    ]
    assert made["spec"]["tolerations"][0] == own


def ingress_class(name: str, created: str, marked: str) -> tuple[Resource, Object]:
    annotations = {"ingressclass.kubernetes.io/is-default-class": marked}
    return INGRESS_CLASSES, {"metadata": {"name": name, "creationTimestamp": created, "annotations": annotations}}


@pytest.mark.parametrize(
    ("spec", "annotations", "named"),
    [
        ({}, {}, "young"),
        ({"ingressClassName": "other"}, {}, "other"),
        ({}, {"kubernetes.io/ingress.class": "other"}, None),
    ],
)
def test_an_ingress_without_a_class_gets_the_newest_default(
    spec: Object, annotations: Object, named: str | None
) -> None:
    classes = [
        ingress_class("old", "2026-01-01T00:00:00Z", "true"),
        ingress_class("young", "2026-01-02T00:00:00Z", "true"),
        ingress_class("youngest", "2026-01-03T00:00:00Z", "false"),
    ]
    made: Object = {"metadata": {"name": "i", "annotations": annotations}, "spec": dict(spec)}
    run(default_ingress_class(Known(*classes)), INGRESSES, made)
    assert made["spec"].get("ingressClassName") == named
    run(default_ingress_class(Known()), INGRESSES, bare := {"metadata": {"name": "i"}, "spec": {}})
    assert bare["spec"] == {}


def test_new_nodes_are_tainted_and_claims_protected() -> None:
    node: Object = {"metadata": {"name": "n"}}
    claim: Object = {"metadata": {"name": "c"}}
    run(taint_new_nodes, NODES, node)
    run(protect_volumes, PERSISTENT_VOLUME_CLAIMS, claim)
    assert node["spec"]["taints"] == [{"key": "node.kubernetes.io/not-ready", "effect": "NoSchedule"}]
    assert claim["metadata"]["finalizers"] == ["kubernetes.io/pvc-protection"]


ENDING = (NAMESPACES, {"metadata": {"name": "default", "deletionTimestamp": "2026-01-01T00:00:00Z"}})


@pytest.mark.parametrize(
    ("each", "resource", "obj", "error", "said"),
    [
        (service_account(Known()), PODS, pod(), Forbidden,
         'pods "p" is forbidden: error looking up service account default/default: serviceaccount "default" not found'),
        (priority(Known()), PODS, pod(priorityClassName="none"), Forbidden,
         'pods "p" is forbidden: no PriorityClass with name none was found'),
        (namespace_lifecycle(Known()), CONFIG_MAPS, {"metadata": {"name": "c"}}, NotFound,
         'namespaces "default" not found'),
        (namespace_lifecycle(Known(ENDING)), CONFIG_MAPS, {"metadata": {"name": "c"}}, Forbidden,
         'configmaps "c" is forbidden: unable to create new content in namespace default because it is being '
         "terminated"),
    ],
)  # fmt: skip
def test_what_may_not_be_is_refused(
    each: Admit, resource: Resource, obj: Object, error: type[StatusError], said: str
) -> None:
    with pytest.raises(error) as caught:
        run(each, resource, obj)
    assert caught.value.message == said


def test_the_first_namespaces_never_end() -> None:
    with pytest.raises(Forbidden, match="this namespace may not be deleted"):
        run(namespace_lifecycle(Known()), NAMESPACES, None, operation="DELETE", name="kube-system")
