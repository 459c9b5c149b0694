"""Each branch of the cells that `kubectl get` shows, as upstream's printers decide them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from apiserver.table import column_definitions, table
from machinery.api.resource import Object, Resource
from machinery.api.resources import PODS, RESOURCES

NOW = datetime(2026, 1, 1, 0, 10, tzinfo=UTC)
DELETED = {"deletionTimestamp": "2026-01-01T00:00:00Z"}


def of(plural: str, version: str = "") -> Resource:
    return next(r for r in RESOURCES if r.plural == plural and r.api_version.startswith(version))


def row(resource: Resource, obj: Object) -> dict[str, Any]:
    metadata = {"name": "x", "creationTimestamp": "2026-01-01T00:00:00Z", **obj.get("metadata", {})}
    (made,) = table(resource, [{**obj, "metadata": metadata}], NOW)["rows"]
    titles = [column["name"] for column in column_definitions(resource)]
    return {**dict(zip(titles, made["cells"], strict=False)), "conditions": made.get("conditions")}


def container(name: str, state: Object | None = None, restarts: int = 0, end: str = "", **more: object) -> Object:
    last = {"lastState": {"terminated": {"exitCode": 1, "finishedAt": end}}} if end else {}
    return {"name": name, "state": state or {}, "restartCount": restarts, **last, **more}


RUNNING: Object = {"running": {}}
DONE: Object = {"terminated": {"exitCode": 0, "reason": "Completed"}}
CRASHED: Object = {"waiting": {"reason": "CrashLoopBackOff"}}
INITIALIZED = [{"type": "Initialized", "status": "True"}]
READY = [{"type": "Ready", "status": "True"}]
SPEC = {
    "initContainers": [{"name": "i"}, {"name": "s", "restartPolicy": "Always"}, {"name": "j"}],
    "containers": [{"name": "a"}, {"name": "b"}],
}


def pod(phase: str, init: list[Object], main: list[Object], metadata: Object | None = None, **status: object) -> Object:
    told = {"phase": phase, "initContainerStatuses": init, "containerStatuses": main, **status}
    return {"metadata": metadata or {}, "spec": SPEC, "status": told}


def ready_and_so_on(obj: Object) -> list[Any]:
    shown = row(PODS, obj)
    return [shown[title] for title in ("Ready", "Status", "Restarts")]


I_DONE = container("i", DONE, 4, "2026-01-01T00:09:00Z")
S_RUNS = container("s", RUNNING, 1, "2026-01-01T00:08:00Z", started=True, ready=True)
J_DONE = container("j", DONE)
A_RUNS = container("a", RUNNING, 2, "2026-01-01T00:07:00Z", ready=True)
B_RUNS = container("b", RUNNING, ready=True)


@pytest.mark.parametrize(
    ("obj", "said"),
    [
        # While init containers run, they alone count, up to the first that is not done.
        (pod("Pending", [I_DONE, S_RUNS, container("j", RUNNING)], []), ["1/3", "Init:2/3", "5 (60s ago)"]),
        (
            pod("Pending", [container("i", CRASHED, 3), container("s", ready=True)], []),
            ["0/3", "Init:CrashLoopBackOff", "3"],
        ),
        (pod("Pending", [container("i", {"waiting": {"reason": "PodInitializing"}})], []), ["0/3", "Init:0/3", "0"]),
        (pod("Pending", [container("i", {"terminated": {"exitCode": 2}})], []), ["0/3", "Init:ExitCode:2", "0"]),
        (
            pod("Pending", [container("i", {"terminated": {"exitCode": 2, "signal": 9}})], []),
            ["0/3", "Init:Signal:9", "0"],
        ),
        (
            pod("Pending", [container("i", {"terminated": {"exitCode": 2, "reason": "Error"}})], []),
            ["0/3", "Init:Error", "0"],
        ),
        # Then main containers and sidecars do.
        (pod("Running", [I_DONE, S_RUNS, J_DONE], [A_RUNS, B_RUNS]), ["3/3", "Running", "3 (2m ago)"]),
        (
            pod("Running", [I_DONE, S_RUNS, J_DONE], [container("a", CRASHED, 2), B_RUNS]),
            ["2/3", "CrashLoopBackOff", "3 (2m ago)"],
        ),
        # A sidecar that crashes later is told, unless a main container has something to say.
        (
            pod("Running", [I_DONE, container("s", CRASHED)], [A_RUNS, B_RUNS], conditions=INITIALIZED),
            ["2/3", "Init:CrashLoopBackOff", "2 (3m ago)"],
        ),
        (
            pod("Running", [container("s", CRASHED)], [container("a", DONE), B_RUNS], conditions=INITIALIZED),
            ["1/3", "NotReady", "0"],
        ),
        # The first container's reason goes before later ones'.
        (
            pod("Running", [], [container("a", {"terminated": {"exitCode": 3}}), container("b", CRASHED)]),
            ["0/3", "ExitCode:3", "0"],
        ),
        (pod("Running", [], [container("a", {"terminated": {"signal": 9}})]), ["0/3", "Signal:9", "0"]),
        (pod("Running", [], [container("a", DONE), B_RUNS]), ["1/3", "NotReady", "0"]),
        (pod("Running", [], [container("a", DONE), B_RUNS], conditions=READY), ["1/3", "Running", "0"]),
        # Deletion is told until the pod has ended.
        (pod("Running", [], [A_RUNS], DELETED), ["1/3", "Terminating", "2 (3m ago)"]),
        (pod("Running", [], [A_RUNS], DELETED, reason="NodeLost"), ["1/3", "Unknown", "2 (3m ago)"]),
        (pod("Failed", [], [], DELETED, reason="Evicted"), ["0/3", "Evicted", "0"]),
        (
            pod(
                "Pending", [], [], conditions=[{"type": "PodScheduled", "status": "False", "reason": "SchedulingGated"}]
            ),
            ["0/3", "SchedulingGated", "0"],
        ),
    ],
)
def test_what_a_pods_containers_come_to(obj: Object, said: list[Any]) -> None:
    assert ready_and_so_on(obj) == said


@pytest.mark.parametrize(
    ("phase", "message"),
    [("Succeeded", "The pod has completed successfully."), ("Failed", "The pod failed."), ("Running", None)],
)
def test_the_row_of_a_pod_that_ended_is_marked(phase: str, message: str | None) -> None:
    marks = [{"type": "Completed", "status": "True", "reason": phase, "message": message}]
    assert row(PODS, {"status": {"phase": phase}})["conditions"] == (marks if message else None)


def metric(source: str, target: Object, current: Object | None) -> Object:
    name = {"name": "cpu"} if source in ("resource", "containerResource") else {"metric": {"name": "m"}}
    kind = source[0].upper() + source[1:]
    status = [] if current is None else [{"type": kind, source: {"current": current}}]
    spec = {"metrics": [{"type": kind, source: {**name, "target": target}}]}
    return {"spec": spec, "status": {"currentMetrics": status}}


def subset(ready: list[str], ports: list[int], not_ready: int = 0) -> Object:
    return {
        "addresses": [{"ip": ip} for ip in ready],
        "notReadyAddresses": [{"ip": "10.0.0.9"}] * not_ready,
        "ports": [{"port": port} for port in ports],
    }


def rules(*hosts: str) -> Object:
    return {"spec": {"rules": [{"host": host} if host else {} for host in hosts]}}


def with_conditions(*kinds: str, status: str = "True", **more: object) -> Object:
    return {"status": {"conditions": [{"type": kind, "status": status, **more} for kind in kinds]}}


def balanced(*entries: Object) -> Object:
    return {"status": {"loadBalancer": {"ingress": list(entries)}}}


def annotated(key: str, value: str = "true") -> Object:
    return {"metadata": {"annotations": {key: value}}}


def selecting(labels: Object, *expressions: Object) -> Object:
    return {"spec": {"selector": {"matchLabels": labels, "matchExpressions": list(expressions)}}}


GO_SELECTOR = (
    "&LabelSelector{MatchLabels:map[string]string{a: 1,},"
    "MatchExpressions:[]LabelSelectorRequirement{LabelSelectorRequirement{Key:b,Operator:In,Values:[y x],},},}"
)
IN = {"key": "b", "operator": "In", "values": ["y", "x"]}
NOT_THERE = {"key": "a", "operator": "DoesNotExist"}
TWO = balanced({"ip": "9.9.9.9"}, {"hostname": "a.b"}, {"ip": "9.9.9.9"}, {})
BALANCER = {"type": "LoadBalancer", "externalIPs": ["1.1.1.1"]}
SERIES = {"count": 3, "lastObservedTime": "2026-01-01T00:09:00.000000Z"}


@pytest.mark.parametrize(
    ("plural", "title", "obj", "said"),
    [
        ("endpoints", "Endpoints", {}, "<none>"),
        ("endpoints", "Endpoints", {"subsets": [subset([], [80], not_ready=1)]}, ""),
        (
            "endpoints",
            "Endpoints",
            {"subsets": [subset(["1.1.1.1", "1.1.1.2"], [80, 90])]},
            "1.1.1.1:80,1.1.1.2:80,1.1.1.1:90 + 1 more...",
        ),
        ("endpoints", "Endpoints", {"subsets": [subset(["::1"], [80]), subset(["1.1.1.1"], [])]}, "[::1]:80,1.1.1.1"),
        ("endpointslices", "Ports", {"ports": [{"port": 80}, {"name": "web"}, {}]}, "80,web,*"),
        ("endpointslices", "Ports", {"ports": [{"name": ""}]}, "<unset>"),
        (
            "endpointslices",
            "Endpoints",
            {"endpoints": [{"addresses": [f"1.1.1.{n}"]} for n in range(5)]},
            "1.1.1.0,1.1.1.1,1.1.1.2 + 2 more...",
        ),
        ("services", "External-IP", {"spec": BALANCER, **TWO}, "9.9.9.9,a.b,1.1.1.1"),
        ("services", "External-IP", {"spec": {"type": "LoadBalancer"}}, "<pending>"),
        ("services", "Selector", {"spec": {"selector": {"a": "2", "a-b": "1"}}}, "a-b=1,a=2"),
        ("ingresses", "Address", balanced({"ip": "2.2.2.2"}, {"ip": "1.1.1.1"}), "1.1.1.1,2.2.2.2"),
        ("ingresses", "Hosts", rules("a", "b", "c"), "a,b,c"),
        ("ingresses", "Hosts", rules("a", "b", "c", "d"), "a,b,c + 1 more..."),
        ("ingresses", "Hosts", rules("a", "", "b", "c", ""), "a,b,c + 2 more..."),
        ("ingresses", "Hosts", rules("", "", "", ""), "*"),
        (
            "ipaddresses",
            "ParentRef",
            {"spec": {"parentRef": {"group": "", "resource": "services", "namespace": "n", "name": "s"}}},
            "services/n/s",
        ),
        (
            "ipaddresses",
            "ParentRef",
            {"spec": {"parentRef": {"group": "g.io", "resource": "Gateways", "name": "s"}}},
            "gateways.g.io/s",
        ),
        (
            "ingressclasses",
            "Parameters",
            {"spec": {"parameters": {"kind": "K", "apiGroup": "g.io", "name": "n"}}},
            "K.g.io/n",
        ),
        ("replicasets", "Selector", selecting({"c": "1", "a-z": "2"}, IN, NOT_THERE), "!a,a-z=2,b in (x,y),c=1"),
        ("replicasets", "Selector", selecting({}), "<none>"),
        ("deployments", "Selector", selecting({}), ""),
        ("jobs", "Status", {**with_conditions("Suspended", "Complete"), "metadata": DELETED}, "Complete"),
        ("jobs", "Status", {**with_conditions("FailureTarget"), "metadata": DELETED}, "Terminating"),
        ("jobs", "Status", with_conditions("FailureTarget", "Suspended"), "Suspended"),
        ("jobs", "Status", with_conditions("SuccessCriteriaMet"), "SuccessCriteriaMet"),
        ("jobs", "Status", with_conditions("Failed", status="False"), "Running"),
        (
            "jobs",
            "Duration",
            {"status": {"startTime": "2026-01-01T00:00:00Z", "completionTime": "2026-01-01T00:00:05Z"}},
            "5s",
        ),
        (
            "horizontalpodautoscalers",
            "Targets",
            metric("resource", {"type": "Utilization"}, None),
            "cpu: <unknown>/<auto>",
        ),
        (
            "horizontalpodautoscalers",
            "Targets",
            metric("resource", {"averageUtilization": 80}, {"averageUtilization": 0}),
            "cpu: 0%/80%",
        ),
        ("horizontalpodautoscalers", "Targets", metric("resource", {"averageValue": "1"}, {}), "cpu: <nil>/1"),
        ("horizontalpodautoscalers", "Targets", metric("pods", {"averageValue": "1"}, {"averageValue": "2"}), "2/1"),
        ("horizontalpodautoscalers", "Targets", metric("object", {"value": "1"}, {}), "<nil>/1"),
        ("horizontalpodautoscalers", "Targets", metric("external", {"averageValue": "1"}, {}), "<unknown>/1 (avg)"),
        ("certificatesigningrequests", "Condition", with_conditions("Failed"), "Pending,Failed"),
        ("certificatesigningrequests", "Condition", with_conditions("Approved", "Denied"), "Denied"),
        ("certificatesigningrequests", "Condition", {"status": {"certificate": "eA=="}}, "Pending,Issued"),
        ("apiservices", "Available", with_conditions("Available", status="False"), "False"),
        ("apiservices", "Available", with_conditions("Available", status="Unknown", reason="R"), "Unknown (R)"),
        (
            "prioritylevelconfigurations",
            "NominalConcurrencyShares",
            {"spec": {"exempt": {"nominalConcurrencyShares": 5}}},
            "<none>",
        ),
        (
            "prioritylevelconfigurations",
            "NominalConcurrencyShares",
            {"spec": {"limited": {"nominalConcurrencyShares": 5}}},
            5,
        ),
        (
            "resourceclaims",
            "State",
            {"metadata": DELETED, "status": {"allocation": {}, "reservedFor": [{}]}},
            "deleted,allocated,reserved",
        ),
        ("resourceclaims", "State", {"status": {"reservedFor": [{}]}}, "pending"),
        ("validatingadmissionpolicybindings", "ParamRef", {"spec": {"paramRef": {"name": "p"}}}, "*/p"),
        ("mutatingadmissionpolicybindings", "ParamRef", {"spec": {"paramRef": {"name": "p", "namespace": "n"}}}, "n/p"),
        (
            "validatingadmissionpolicybindings",
            "ParamRef",
            {"spec": {"paramRef": selecting({"a": "1"}, IN)["spec"]}},
            GO_SELECTOR,
        ),
        ("persistentvolumeclaims", "Capacity", {"status": {"capacity": {"storage": "1Gi"}}}, ""),
        ("persistentvolumeclaims", "Capacity", {"spec": {"volumeName": "v"}}, "0"),
        (
            "persistentvolumeclaims",
            "Access Modes",
            {
                "spec": {"volumeName": "v"},
                "status": {"accessModes": ["ReadWriteOncePod", "ReadWriteMany", "ReadWriteOnce", "ReadWriteMany"]},
            },
            "RWO,RWX,RWOP",
        ),
        (
            "persistentvolumes",
            "StorageClass",
            {**annotated("volume.beta.kubernetes.io/storage-class", "b"), "spec": {"storageClassName": "a"}},
            "b",
        ),
        ("storageclasses", "Name", annotated("storageclass.beta.kubernetes.io/is-default-class"), "x (default)"),
        ("storageclasses", "Name", annotated("storageclass.kubernetes.io/is-default-class", "yes"), "x"),
        (
            "volumeattributesclasses",
            "Name",
            annotated("volumeattributesclass.alpha.kubernetes.io/is-default-class"),
            "x (default)",
        ),
        ("events", "Count", {"count": 2}, 2),
        ("events", "Count", {"count": 2, "series": SERIES}, 3),
        ("events", "Last Seen", {"lastTimestamp": "2026-01-01T00:00:00Z", "series": SERIES}, "60s"),
        ("events", "Last Seen", {"eventTime": "2026-01-01T00:08:30.000000Z"}, "90s"),
        ("events", "First Seen", {"deprecatedFirstTimestamp": "2026-01-01T00:09:30Z"}, "30s"),
        (
            "events",
            "Source",
            {"source": {"component": "c"}, "reportingController": "r", "reportingInstance": "i"},
            "c, i",
        ),
    ],
)
def test_a_cell_is_what_upstream_prints(plural: str, title: str, obj: Object, said: object) -> None:
    assert row(of(plural), obj)[title] == said


def test_an_autoscaler_of_v1_tells_its_targets_too() -> None:
    autoscaler = {"apiVersion": "autoscaling/v1", "spec": {"targetCPUUtilizationPercentage": 80}}
    assert row(of("horizontalpodautoscalers", "autoscaling/v1"), autoscaler)["Targets"] == "cpu: <unknown>/80%"


def test_flow_schemas_are_shown_in_the_order_in_which_they_match() -> None:
    schemas = [
        {"metadata": {"name": name}, "spec": {"matchingPrecedence": at}} for name, at in (("b", 9), ("c", 1), ("a", 9))
    ]
    rows = table(of("flowschemas"), schemas, NOW)["rows"]
    assert [each["cells"][0] for each in rows] == ["c", "a", "b"]


def test_a_row_of_an_old_table_has_metadata_of_its_version() -> None:
    made = table(PODS, [{"metadata": {"name": "x"}}], NOW, version="v1beta1")
    assert made["apiVersion"] == made["rows"][0]["object"]["apiVersion"] == "meta.k8s.io/v1beta1"
