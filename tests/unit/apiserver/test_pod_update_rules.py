"""What may change of a pod that is there, and what is shown of the rest, word by word."""

from __future__ import annotations

import copy
from collections.abc import Callable

import pytest

from apiserver.rules.pods.pod_update_rules import validate_ephemeral_containers, validate_pod_update
from machinery.api.resource import Object
from tests.kind_rules import lines
from tests.unit.apiserver.pod_examples import container, pod

MIRROR = "kubernetes.io/config.mirror"
REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
FIXED = (
    "spec: Forbidden: pod updates may not change fields other than `spec.containers[*].image`,"
    "`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing"
    " tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)\n"
)
TOLERATED = {"key": "a", "operator": "Exists", "effect": "NoExecute"}


def updated(before: Object, change: Callable[[Object], object], **metadata: object) -> list[str]:
    """What is said of a pod that has this spec, when its spec is changed so."""
    old = pod(before, **metadata)
    new = copy.deepcopy(old)
    change(new["spec"])
    return lines(validate_pod_update(new, old))


@pytest.mark.parametrize(
    "before, change, expected",
    [
        ({}, lambda spec: None, []),
        ({}, lambda spec: spec["containers"][0].update(image="other"), []),
        ({"initContainers": [container(name="i")]}, lambda spec: spec["initContainers"][0].update(image="other"), []),
        ({}, lambda spec: spec["containers"][0].update(image=""), ["spec.containers[0].image: Required value"]),
        ({}, lambda spec: spec["containers"].append({**spec["containers"][0], "name": "d"}), [
            "spec.containers: Forbidden: pod updates may not add or remove containers"]),
        ({}, lambda spec: spec.update(initContainers=[{**spec["containers"][0], "name": "i"}]), [
            "spec.initContainers: Forbidden: pod updates may not add or remove containers"]),
        ({}, lambda spec: spec.update(activeDeadlineSeconds=5), []),
        ({"activeDeadlineSeconds": 5}, lambda spec: spec.update(activeDeadlineSeconds=4), []),
        ({"activeDeadlineSeconds": 5}, lambda spec: spec.update(activeDeadlineSeconds=6), [
            "spec.activeDeadlineSeconds: Invalid value: 6: must be less than or equal to previous value"]),
        ({"activeDeadlineSeconds": 5}, lambda spec: spec.pop("activeDeadlineSeconds"), [
            "spec.activeDeadlineSeconds: Invalid value: null: must not update from a positive integer to nil value"]),
        ({}, lambda spec: spec.update(tolerations=[TOLERATED]), []),
        ({"tolerations": [TOLERATED]}, lambda spec: spec["tolerations"][0].update(tolerationSeconds=5), []),
        ({"tolerations": [TOLERATED]}, lambda spec: spec["tolerations"][0].update(key="b"), [
            "spec.tolerations: Forbidden: existing toleration can not be modified except its tolerationSeconds"]),
        ({"tolerations": [TOLERATED]}, lambda spec: spec["tolerations"].clear(), [
            "spec.tolerations: Forbidden: existing toleration can not be modified except its tolerationSeconds"]),
        ({"schedulingGates": [{"name": "a"}, {"name": "b"}]}, lambda spec: spec["schedulingGates"].pop(0), []),
        ({"schedulingGates": [{"name": "a"}]}, lambda spec: spec.update(schedulingGates=[{"name": "b"}]), [
            "spec.schedulingGates[0].name: Forbidden: only deletion is allowed, but found new scheduling gate 'b'"]),
    ],
)  # fmt: skip
def test_changes(before: Object, change: Callable[[Object], object], expected: list[str]) -> None:
    assert updated(before, change) == expected


GATED = {"schedulingGates": [{"name": "g"}]}
TERMS = f"spec.affinity.nodeAffinity.{REQUIRED}.nodeSelectorTerms"
IN_A = {"key": "a", "operator": "In", "values": ["1"]}


def selecting(*terms: Object) -> Object:
    return {"nodeAffinity": {REQUIRED: {"nodeSelectorTerms": [{"matchExpressions": list(term)} for term in terms]}}}


def shown(*terms: str) -> str:
    return "[" + ",".join(f'{{"MatchExpressions":{term},"MatchFields":null}}' for term in terms) + "]"


@pytest.mark.parametrize(
    "before, after, expected",
    [
        ({}, {"nodeSelector": {"a": "b"}, "affinity": selecting((IN_A,))}, []),
        ({"nodeSelector": {"a": "b"}}, {"nodeSelector": {"a": "b", "c": "d"}}, []),
        ({"nodeSelector": {"a": "b"}}, {"nodeSelector": {"a": "c"}}, [
            'spec.nodeSelector: Invalid value: {"a":"c"}:'
            " only additions to spec.nodeSelector are allowed (no mutations or deletions)"]),
        ({"affinity": selecting((IN_A,))}, {"affinity": selecting((IN_A, {"key": "b", "operator": "Exists"}))}, []),
        ({"affinity": selecting((IN_A,))}, {"affinity": selecting((IN_A,), (IN_A,))}, [
            f"{TERMS}: Invalid value: "
            + shown(*['[{"Key":"a","Operator":"In","Values":["1"]}]'] * 2)
            + ": no additions/deletions to non-empty NodeSelectorTerms list are allowed"]),
        ({"affinity": selecting((IN_A,))}, {"affinity": selecting(({**IN_A, "key": "b"},))}, [
            f'{TERMS}[0]: Invalid value: {{"MatchExpressions":[{{"Key":"b","Operator":"In","Values":["1"]}}],'
            '"MatchFields":null}: only additions are allowed (no mutations or deletions)']),
        ({"affinity": selecting(())}, {"affinity": selecting((IN_A,))}, [
            f'{TERMS}[0]: Invalid value: {{"MatchExpressions":[{{"Key":"a","Operator":"In","Values":["1"]}}],'
            '"MatchFields":null}: only additions are allowed (no mutations or deletions)']),
    ],
)  # fmt: skip
def test_a_gated_pods_placement_may_become_narrower(before: Object, after: Object, expected: list[str]) -> None:
    assert updated({**GATED, **before}, lambda spec: spec.update(after)) == expected


def test_what_may_not_change_is_shown_by_the_names_of_upstreams_own_types() -> None:
    [said] = updated({}, lambda spec: spec.update(hostNetwork=False, nodeSelector={"a": "b"}, restartPolicy="Never"))
    assert said == FIXED + "".join(f"{line}\n" for line in DIFFERENCE)
    [said] = updated({}, lambda spec: spec["containers"][0].update(args=["a && b"]))
    assert said.startswith(FIXED)
    assert '+    "a \\u0026\\u0026 b"\n' in said


DIFFERENCE = [
    "@@ -35,11 +35,13 @@",
    "   }",
    "  ],",
    '  "EphemeralContainers": null,',
    '- "RestartPolicy": "Always",',
    '+ "RestartPolicy": "Never",',
    '  "TerminationGracePeriodSeconds": 30,',
    '  "ActiveDeadlineSeconds": null,',
    '  "DNSPolicy": "ClusterFirst",',
    '- "NodeSelector": null,',
    '+ "NodeSelector": {',
    '+  "a": "b"',
    "+ },",
    '  "ServiceAccountName": "default",',
    '  "AutomountServiceAccountToken": null,',
    '  "NodeName": "",',
]


def annotated(before: dict[str, str], after: dict[str, str]) -> list[str]:
    old, new = pod(annotations=before), pod(annotations=after)
    new["spec"] = old["spec"]
    return lines(validate_pod_update(new, old))


PROFILE = "container.apparmor.security.beta.kubernetes.io/c"


@pytest.mark.parametrize(
    "before, after, expected",
    [
        ({"a": "b"}, {"a": "c", "d": "e"}, []),
        ({PROFILE: "unconfined"}, {PROFILE: "unconfined", "d": "e"}, []),
        ({}, {PROFILE: "unconfined"}, [
            f"metadata.annotations[{PROFILE}]: Forbidden: may not add AppArmor annotations"]),
        ({PROFILE: "unconfined"}, {PROFILE: "runtime/default"}, [
            f"metadata.annotations[{PROFILE}]: Forbidden: may not remove or update AppArmor annotations"]),
        ({MIRROR: "x"}, {}, [
            f"metadata.annotations[{MIRROR}]: Forbidden: may not remove or update mirror pod annotation"]),
        ({}, {MIRROR: "x"}, [
            f'metadata.annotations[{MIRROR}]: Invalid value: "x": must set spec.nodeName if mirror pod annotation is'
            " set",
            f"metadata.annotations[{MIRROR}]: Forbidden: may not add mirror pod annotation"]),
    ],
)  # fmt: skip
def test_annotations(before: dict[str, str], after: dict[str, str], expected: list[str]) -> None:
    assert annotated(before, after) == expected


def debugger(**fields: object) -> Object:
    made = {"terminationMessagePolicy": "File", "terminationMessagePath": "/dev/log", "imagePullPolicy": "Always"}
    return {"name": "d", "image": "busybox", **made, **fields}


def joined(before: list[Object], after: list[Object], **metadata: object) -> list[str]:
    """What is said when the containers that were put into a pod become those."""
    old = pod(**metadata)
    new = copy.deepcopy(old)
    old["spec"]["ephemeralContainers"], new["spec"]["ephemeralContainers"] = before, after
    return lines(validate_ephemeral_containers(new, old))


LIMITED = {"limits": {"cpu": "1"}}
PROBE = {"exec": {"command": ["true"]}}
FORBIDDEN = "Forbidden: cannot be set for an Ephemeral Container"


@pytest.mark.parametrize(
    "before, after, expected",
    [
        ([], [debugger()], []),
        ([debugger()], [debugger(), debugger(name="e", targetContainerName="c", stdin=True)], []),
        ([], [debugger(name="")], ["spec.ephemeralContainers[0].name: Required value"]),
        ([], [debugger(name="c")], ['spec.ephemeralContainers[0].name: Duplicate value: "c"']),
        ([], [debugger(), debugger()], ['spec.ephemeralContainers[1].name: Duplicate value: "d"']),
        ([], [debugger(targetContainerName="x")], [
            'spec.ephemeralContainers[0].targetContainerName: Not found: "x"']),
        ([], [debugger(image="")], ["spec.ephemeralContainers[0].image: Required value"]),
        ([], [debugger(ports=[{"containerPort": 1, "protocol": "TCP"}], lifecycle={},
                       livenessProbe=PROBE, readinessProbe=PROBE, startupProbe=PROBE, resources=LIMITED,
                       resizePolicy=[{"resourceName": "cpu", "restartPolicy": "NotRequired"}])], [
            f"spec.ephemeralContainers[0].ports: {FORBIDDEN}",
            f"spec.ephemeralContainers[0].resources: {FORBIDDEN}",
            f"spec.ephemeralContainers[0].resizePolicy: {FORBIDDEN}",
            f"spec.ephemeralContainers[0].livenessProbe: {FORBIDDEN}",
            f"spec.ephemeralContainers[0].readinessProbe: {FORBIDDEN}",
            f"spec.ephemeralContainers[0].startupProbe: {FORBIDDEN}",
            f"spec.ephemeralContainers[0].lifecycle: {FORBIDDEN}"]),
        ([], [debugger(volumeMounts=[{"name": "v", "mountPath": "/v", "subPath": "a"}])], [
            'spec.ephemeralContainers[0].volumeMounts[0].name: Not found: "v"',
            f"spec.ephemeralContainers[0].volumeMounts[0].subPath: {FORBIDDEN}"]),
        ([debugger()], [], [
            'spec.ephemeralContainers: Forbidden: existing ephemeral containers "d" may not be removed\n']),
    ],
)  # fmt: skip
def test_containers_put_into_a_pod(before: list[Object], after: list[Object], expected: list[str]) -> None:
    assert joined(before, after) == expected


def test_a_container_that_was_put_into_a_pod_stays_as_it_is() -> None:
    [said] = joined([debugger()], [debugger(image="other")])
    assert said.startswith(
        'spec.ephemeralContainers: Forbidden: existing ephemeral containers "d" may not be changed\n'
        '@@ -1,6 +1,6 @@\n {\n  "Name": "d",\n- "Image": "busybox",\n+ "Image": "other",\n'
    )


def test_a_static_pods_mirror_takes_none() -> None:
    said = joined([], [debugger()], annotations={MIRROR: "x"})
    assert said == [": Forbidden: static pods do not support ephemeral containers"]
