"""What is refused in a pod's own fields: names, policies, DNS, claims of resources, annotations."""

from __future__ import annotations

import pytest

from apiserver.rules.pods.pod_rules import template_errors
from apiserver.rules.pods.pod_spec import default_template
from machinery.api.resource import Object
from tests.kind_rules import lines
from tests.unit.apiserver.pod_examples import (
    BAD_IP,
    LABEL,
    LABEL_VALUE,
    QUALIFIED,
    SUBDOMAIN,
    container,
    pod,
    refusals,
)

SEARCH = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '_', '-' or '.', and must start"
    " and end with an alphanumeric character (e.g. 'example.com', regex used for validation is"
    " '_?[a-z0-9]([-_a-z0-9]*[a-z0-9])?(\\._?[a-z0-9]([-_a-z0-9]*[a-z0-9])?)*')"
)


def test_a_sound_pod_is_taken() -> None:
    assert refusals(pod()) == []


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({"containers": []}, ["spec.containers: Required value"]),
        ({"restartPolicy": "Sometimes"}, [
            'spec.restartPolicy: Unsupported value: "Sometimes": supported values: "Always", "OnFailure", "Never"']),
        ({"dnsPolicy": "Magic"}, [
            'spec.dnsPolicy: Unsupported value: "Magic": supported values: "ClusterFirstWithHostNet", "ClusterFirst",'
            ' "Default", "None"']),
        ({"nodeSelector": {"a b": "c"}}, [f'spec.nodeSelector: Invalid value: "a b": {QUALIFIED}']),
        ({"nodeSelector": {"a": "c d"}}, [f'spec.nodeSelector: Invalid value: "c d": {LABEL_VALUE}']),
        ({"serviceAccountName": "A"}, [f'spec.serviceAccountName: Invalid value: "A": {SUBDOMAIN}']),
        ({"nodeName": "A"}, [f'spec.nodeName: Invalid value: "A": {SUBDOMAIN}']),
        ({"priorityClassName": "A"}, [f'spec.priorityClassName: Invalid value: "A": {SUBDOMAIN}']),
        ({"runtimeClassName": "A"}, [f'spec.runtimeClassName: Invalid value: "A": {SUBDOMAIN}']),
        ({"runtimeClassName": ""}, [f'spec.runtimeClassName: Invalid value: "": {SUBDOMAIN}']),
        ({"hostname": "a.b"}, ['spec.hostname: Invalid value: "a.b": must not contain dots']),
        ({"hostname": "A"}, [f'spec.hostname: Invalid value: "A": {LABEL}']),
        ({"subdomain": "x" * 64}, [
            f'spec.subdomain: Invalid value: "{"x" * 64}": must be no more than 63 characters']),
        ({"activeDeadlineSeconds": 0}, [
            "spec.activeDeadlineSeconds: Invalid value: 0: must be between 1 and 2147483647, inclusive"]),
        ({"activeDeadlineSeconds": 2147483648}, [
            "spec.activeDeadlineSeconds: Invalid value: 2147483648: must be between 1 and 2147483647, inclusive"]),
        ({"preemptionPolicy": "Maybe"}, [
            'spec.preemptionPolicy: Unsupported value: "Maybe": supported values: "PreemptLowerPriority", "Never"']),
        ({"preemptionPolicy": ""}, ["spec.preemptionPolicy: Required value"]),
        ({"overhead": {"cpu": "-1"}}, [
            'spec.overhead.limits[cpu]: Invalid value: "-1": must be greater than or equal to 0']),
        ({"os": {"name": "beos"}}, ['spec.os: Unsupported value: "beos": supported values: "linux", "windows"']),
        ({"os": {"name": ""}}, ["spec.os.name: Required value"]),
        ({"hostnameOverride": "A"}, [f'spec.hostnameOverride: Invalid value: "A": {SUBDOMAIN}']),
        ({"hostnameOverride": "a" * 65}, ["spec.hostnameOverride: Too long: may not be more than 64 bytes"]),
        ({"hostnameOverride": "a", "setHostnameAsFQDN": True, "hostNetwork": True}, [
            "spec.hostnameOverride: Forbidden: may not be specified when setHostnameAsFQDN is true",
            "spec.hostnameOverride: Forbidden: may not be specified when hostNetwork is true"]),
        ({"ephemeralContainers": [container(name="d", terminationMessagePolicy="File")]}, [
            "spec.ephemeralContainers: Forbidden: cannot be set on create"]),
        ({"nodeName": "n", "schedulingGates": [{"name": "a"}]}, [
            "spec.nodeName: Forbidden: cannot be set until all schedulingGates have been cleared"]),
        ({"schedulingGates": [{"name": "a b"}, {"name": "c"}, {"name": "c"}]}, [
            f'spec.schedulingGates[0]: Invalid value: "a b": {QUALIFIED}',
            'spec.schedulingGates[2]: Duplicate value: "c"']),
        ({"readinessGates": [{"conditionType": "a b"}]}, [
            f'spec.readinessGates[0].conditionType: Invalid value: "a b": {QUALIFIED}']),
        ({"hostAliases": [{"ip": "300.1.1.1", "hostnames": ["ok", "Not_ok"]}]}, [
            f'spec.hostAliases[0].ip: Invalid value: "300.1.1.1": {BAD_IP}',
            f'spec.hostAliases[0].hostnames[1]: Invalid value: "Not_ok": {SUBDOMAIN}']),
        ({"hostAliases": [{"ip": "010.1.1.1"}, {"ip": "::ffff:1.2.3.4"}]}, [
            'spec.hostAliases[0].ip: Invalid value: "010.1.1.1": must not have leading 0s',
            'spec.hostAliases[1].ip: Invalid value: "::ffff:1.2.3.4": must not be an IPv4-mapped IPv6 address']),
    ],
)  # fmt: skip
def test_fields_of_their_own(spec: Object, expected: list[str]) -> None:
    assert refusals(pod(spec)) == expected


@pytest.mark.parametrize(
    ("config", "policy", "expected"),
    [
        (None, "None", ["spec.dnsConfig: Required value: must provide `dnsConfig` when `dnsPolicy` is None"]),
        ({"searches": ["a"]}, "None", [
            "spec.dnsConfig.nameservers: Required value: must provide at least one DNS nameserver when `dnsPolicy` is"
            " None"]),
        ({"nameservers": ["1.1.1.1", "x"]}, "None", [f'spec.dnsConfig.nameservers[1]: Invalid value: "x": {BAD_IP}']),
        ({"nameservers": ["1.1.1.1", "1.1.1.2", "1.1.1.3", "1.1.1.4"]}, "Default", [
            'spec.dnsConfig.nameservers: Invalid value: ["1.1.1.1","1.1.1.2","1.1.1.3","1.1.1.4"]: must not have more'
            " than 3 nameservers"]),
        ({"searches": ["ok", "_srv.ok", ".", "dotted.", "No"]}, "Default", [
            f'spec.dnsConfig.searches[4]: Invalid value: "No": {SEARCH}']),
        ({"options": [{"name": "ndots", "value": "2"}, {"value": "x"}]}, "Default", [
            "spec.dnsConfig.options[1]: Required value: must not be empty"]),
    ],
)  # fmt: skip
def test_dns(config: Object | None, policy: str, expected: list[str]) -> None:
    spec: Object = {"dnsPolicy": policy} | ({"dnsConfig": config} if config is not None else {})
    assert refusals(pod(spec)) == expected


def test_search_lists_have_an_end() -> None:
    many = refusals(pod({"dnsConfig": {"searches": ["a"] * 33}}))
    assert [line.rpartition(": ")[2] for line in many] == ["must not have more than 32 search paths"]
    long = refusals(pod({"dnsConfig": {"searches": ["a" * 250] * 9}}))
    assert [line.rpartition(": ")[2] for line in long] == [
        "must not have more than 2048 characters (including spaces) in the search list"
    ]


@pytest.mark.parametrize(
    ("claims", "expected"),
    [
        ([{"name": "a", "resourceClaimName": "x"}, {"name": "b", "resourceClaimTemplateName": "y"}], []),
        ([{"name": "a", "resourceClaimName": "x"}, {"name": "a", "resourceClaimName": "x"}], [
            'spec.resourceClaims[1].name: Duplicate value: "a"']),
        ([{"resourceClaimName": "x"}], ["spec.resourceClaims[0].name: Required value"]),
        ([{"name": "A", "resourceClaimName": "X"}], [
            f'spec.resourceClaims[0].name: Invalid value: "A": {LABEL}',
            f'spec.resourceClaims[0].resourceClaimName: Invalid value: "X": {SUBDOMAIN}']),
        ([{"name": "a"}], [
            'spec.resourceClaims[0]: Invalid value: {"Name":"a","ResourceClaimName":null,'
            '"ResourceClaimTemplateName":null}: must specify one of: `resourceClaimName`,'
            " `resourceClaimTemplateName`"]),
        ([{"name": "a", "resourceClaimName": "x", "resourceClaimTemplateName": "y"}], [
            'spec.resourceClaims[0]: Invalid value: {"Name":"a","ResourceClaimName":"x",'
            '"ResourceClaimTemplateName":"y"}: at most one of `resourceClaimName` or `resourceClaimTemplateName` may be'
            " specified"]),
    ],
)  # fmt: skip
def test_claims_of_devices(claims: list[Object], expected: list[str]) -> None:
    assert refusals(pod({"resourceClaims": claims})) == expected


MIRROR = "kubernetes.io/config.mirror"
COST = "controller.kubernetes.io/pod-deletion-cost"
TOLERATIONS = "scheduler.alpha.kubernetes.io/tolerations"
SECCOMP = "seccomp.security.alpha.kubernetes.io/pod"
ARMOR = "container.apparmor.security.beta.kubernetes.io/"
IN_FIELDS = {"containers": [container(securityContext={"appArmorProfile": {"type": "Unconfined"}})]}


@pytest.mark.parametrize(
    ("annotations", "spec", "expected"),
    [
        ({MIRROR: "x"}, {}, [
            f'metadata.annotations[{MIRROR}]: Invalid value: "x": must set spec.nodeName if mirror pod annotation is'
            " set"]),
        ({MIRROR: "x"}, {"nodeName": "n"}, []),
        ({MIRROR: "x"}, {"nodeName": "n", "resourceClaims": [{"name": "a", "resourceClaimName": "x"}]}, [
            ": Forbidden: static pods do not support resource claims"]),
        ({COST: "-10"}, {}, []),
        ({COST: "+10"}, {}, [f'metadata.annotations[{COST}]: Invalid value: "+10": must be a 32bit integer']),
        ({COST: "008"}, {}, [f'metadata.annotations[{COST}]: Invalid value: "008": must be a 32bit integer']),
        ({COST: "2147483648"}, {}, [
            f'metadata.annotations[{COST}]: Invalid value: "2147483648": must be a 32bit integer']),
        ({TOLERATIONS: '[{"operator": "Sometimes", "key": "a"}]'}, {}, [
            f'metadata.annotations.{TOLERATIONS}[0].operator: Unsupported value: "Sometimes": supported values:'
            ' "Equal", "Exists"']),
        ({TOLERATIONS: "5"}, {}, [
            f'metadata.annotations: Invalid value: "{TOLERATIONS}": json: cannot unmarshal number into Go value of type'
            " []core.Toleration"]),
        ({TOLERATIONS: '[{"key": 5}]'}, {}, [
            f'metadata.annotations: Invalid value: "{TOLERATIONS}": json: cannot unmarshal number into Go struct field'
            " Toleration.Key of type string"]),
        ({SECCOMP: "runtime/default"}, {}, []),
        ({SECCOMP: "mine"}, {}, [
            f'metadata.annotations.{SECCOMP}: Invalid value: "mine": must be a valid seccomp profile']),
        ({SECCOMP: "localhost//x"}, {}, [
            f'metadata.annotations.{SECCOMP}: Invalid value: "/x": must be a relative path']),
        ({SECCOMP: "unconfined"}, {"securityContext": {"seccompProfile": {"type": "RuntimeDefault"}}}, [
            "spec.securityContext.seccompProfile.type: Forbidden: seccomp type in annotation and field must match"]),
        ({f"{ARMOR}c": "runtime/default"}, {}, []),
        ({f"{ARMOR}d": "runtime/default"}, {}, [
            f'metadata.annotations[{ARMOR}d]: Invalid value: "d": container not found']),
        ({f"{ARMOR}c": "bad"}, {}, [
            f'metadata.annotations[{ARMOR}c]: Invalid value: "bad": invalid AppArmor profile name: "bad"']),
        ({f"{ARMOR}c": "localhost/x"}, IN_FIELDS, [
            "spec.containers[0].securityContext.appArmorProfile.type: Forbidden: apparmor type in annotation and field"
            " must match"]),
    ],
)  # fmt: skip
def test_annotations(annotations: dict[str, str], spec: Object, expected: list[str]) -> None:
    assert refusals(pod(spec, annotations=annotations)) == expected


def test_an_old_annotation_becomes_the_field() -> None:
    found = pod(annotations={f"{ARMOR}c": "localhost/mine"})
    assert found["spec"]["containers"][0]["securityContext"] == {
        "appArmorProfile": {"type": "Localhost", "localhostProfile": "mine"}
    }


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ({"metadata": {"labels": {"a b": "c"}}}, [f't.labels: Invalid value: "a b": {QUALIFIED}']),
        ({"metadata": {"annotations": {"a b": "c"}}}, [f't.annotations: Invalid value: "a b": {QUALIFIED}']),
        ({"metadata": {"annotations": {"a": "c" * 262144}}}, [
            "t.annotations: Too long: may not be more than 262144 bytes"]),
        ({"spec": {"ephemeralContainers": [container(name="d")]}}, [
            "t.spec.ephemeralContainers: Forbidden: ephemeral containers not allowed in pod template"]),
        ({"spec": {"containers": [container(image=" nginx")]}}, []),
        ({"spec": {"hostNetwork": True, "containers": [container(ports=[{"containerPort": 80}])]}}, []),
        ({"spec": {"hostNetwork": True, "containers": [container(ports=[{"containerPort": 80, "hostPort": 81}])]}}, [
            "t.spec.containers[0].ports[0].hostPort: Invalid value: 81: must match `containerPort` when `hostNetwork`"
            " is true"]),
    ],
)  # fmt: skip
def test_templates(template: Object, expected: list[str]) -> None:
    whole = {"metadata": {}, **template, "spec": {"containers": [container()], **template.get("spec", {})}}
    default_template(whole)
    assert lines(template_errors(whole, "t")) == expected


def test_what_stands_behind_gates_that_are_off_is_dropped() -> None:
    sources = [{"podCertificate": {"signerName": "a/b"}}, {"clusterTrustBundle": {"path": "x"}}]
    spec = {
        "schedulingGroup": {"podGroupName": "g"},
        "containers": [container(lifecycle={"stopSignal": "SIGUSR1"})],
        "volumes": [{"name": "v", "projected": {"sources": sources}}],
    }
    found = pod(spec)
    assert refusals(found) == []
    assert "schedulingGroup" not in found["spec"]
    assert "lifecycle" not in found["spec"]["containers"][0]
    assert found["spec"]["volumes"][0]["projected"]["sources"] == [{}, {}]
