"""The Pod Security Standards as tables: what labels ask for, what each check says, who is refused or only warned."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from apiserver.admission.chain import Review, admit
from apiserver.admission.pod_security import pod_security
from apiserver.registry.call import Call
from apiserver.request import LOOPBACK, Target
from apiserver.rules.security.levels import Level, findings, policy_of
from machinery.api.errors import Forbidden, Invalid
from machinery.api.resource import Object, Resource
from machinery.api.resources import CRON_JOBS, DEPLOYMENTS, NAMESPACES, PODS
from tests.known import Known

PREFIX = "pod-security.kubernetes.io/"
APPARMOR = "container.apparmor.security.beta.kubernetes.io/a"
SECCOMP = "seccomp.security.alpha.kubernetes.io/pod"
SAFE = {
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "runAsNonRoot": True,
    "seccompProfile": {"type": "RuntimeDefault"},
}


def labelled(**modes: str) -> dict[str, str]:
    return {f"{PREFIX}{mode.replace('_', '-')}": value for mode, value in modes.items()}


def one(**container: Any) -> Object:
    return {"containers": [{"name": "a", **container}]}


def context(**securityContext: Any) -> Object:
    return one(securityContext=securityContext)


def safe(**spec: Any) -> Object:
    return {"containers": [{"name": "a", "securityContext": SAFE}], **spec}


def told(level: Level, spec: Object, annotations: Object | None = None) -> str:
    return ", ".join(map(str, findings(level, {"annotations": annotations or {}}, spec)))


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        (one(), ""),
        (
            {"hostNetwork": True, "hostPID": True, "hostIPC": True, **one()},
            "host namespaces (hostNetwork=true, hostPID=true, hostIPC=true)",
        ),
        (
            {"volumes": [{"name": "v", "hostPath": {"path": "/"}}, {"name": "w", "hostPath": {"path": "/"}}], **one()},
            'hostPath volumes (volumes "v", "w")',
        ),
        (one(ports=[{"hostPort": 80}, {"containerPort": 1}]), 'hostPort (container "a" uses hostPort 80)'),
        (
            {
                "containers": [{"name": "b", "ports": [{"hostPort": 9}]}],
                "initContainers": [{"name": "a", "ports": [{"hostPort": 10}]}],
            },
            'hostPort (containers "a", "b" use hostPorts 10, 9)',
        ),
        (
            one(livenessProbe={"httpGet": {"host": "h"}}, lifecycle={"preStop": {"tcpSocket": {"host": "g"}}}),
            'probe or lifecycle host (container "a" uses probe or lifecycle hosts "g", "h")',
        ),
        (context(privileged=True), 'privileged (container "a" must not set securityContext.privileged=true)'),
        (
            context(capabilities={"add": ["SYS_ADMIN", "CHOWN", "NET_RAW"]}),
            'non-default capabilities (container "a" must not include "NET_RAW", "SYS_ADMIN" in '
            "securityContext.capabilities.add)",
        ),
        (
            context(procMount="Unmasked"),
            'procMount (container "a" must not set securityContext.procMount to "Unmasked")',
        ),
        (
            {"securityContext": {"seLinuxOptions": {"user": "u"}}, **context(seLinuxOptions={"type": "t"})},
            'seLinuxOptions (pod and container "a" set forbidden securityContext.seLinuxOptions: type "t"; '
            "user may not be set)",
        ),
        (context(seLinuxOptions={"type": "container_engine_t"}), ""),
        (
            {"securityContext": {"seccompProfile": {"type": "Unconfined"}}, **one()},
            'seccompProfile (pod must not set securityContext.seccompProfile.type to "Unconfined")',
        ),
        (
            {"securityContext": {"sysctls": [{"name": "a"}, {"name": "net.ipv4.tcp_rmem"}, {"name": "b"}]}, **one()},
            "forbidden sysctls (a, b)",
        ),
        (
            context(appArmorProfile={"type": "Unconfined"}),
            'forbidden AppArmor profile (container "a" must not set AppArmor profile type to "Unconfined")',
        ),
        (
            context(windowsOptions={"hostProcess": True}),
            'hostProcess (container "a" must not set securityContext.windowsOptions.hostProcess=true)',
        ),
        (
            {"hostPID": True, **context(privileged=True)},
            'host namespaces (hostPID=true), privileged (container "a" must not set securityContext.privileged=true)',
        ),
    ],
)  # fmt: skip
def test_what_baseline_finds(spec: Object, said: str) -> None:
    assert told(Level("baseline"), spec) == said


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        (safe(), ""),
        (
            one(),
            'allowPrivilegeEscalation != false (container "a" must set securityContext.allowPrivilegeEscalation=false)'
            ', unrestricted capabilities (container "a" must set securityContext.capabilities.drop=["ALL"])'
            ', runAsNonRoot != true (pod or container "a" must set securityContext.runAsNonRoot=true)'
            ', seccompProfile (pod or container "a" must set securityContext.seccompProfile.type to "RuntimeDefault" '
            'or "Localhost")',
        ),
        (safe(volumes=[{"name": "e", "emptyDir": {}}]), ""),
        (
            safe(volumes=[{"name": "v", "hostPath": {"path": "/"}}, {"name": "n", "nfs": {}}]),
            'restricted volume types (volumes "v", "n" use restricted volume types "hostPath", "nfs")',
        ),
        (safe(securityContext={"runAsUser": 0}), "runAsUser=0 (pod must not set runAsUser=0)"),
        (safe(securityContext={"runAsUser": 0}, hostUsers=False), ""),
        (
            safe(securityContext={"runAsNonRoot": False}),
            "runAsNonRoot != true (pod must not set securityContext.runAsNonRoot=false)",
        ),
        (
            context(**{**SAFE, "capabilities": {"add": ["CHOWN"]}}),
            'unrestricted capabilities (container "a" must set securityContext.capabilities.drop=["ALL"]; container '
            '"a" must not include "CHOWN" in securityContext.capabilities.add)',
        ),
        ({"os": {"name": "windows"}, **context(runAsNonRoot=True)}, ""),
    ],
)  # fmt: skip
def test_what_restricted_finds_besides(spec: Object, said: str) -> None:
    assert told(Level("restricted"), spec) == said


@pytest.mark.parametrize(
    ("annotations", "minor", "said"),
    [
        ({APPARMOR: "runtime/default"}, None, ""),
        (
            {APPARMOR: "unconfined"},
            None,
            f'forbidden AppArmor profile (annotation must not set AppArmor profile type to "{APPARMOR}="unconfined"")',
        ),
        ({SECCOMP: "unconfined"}, None, ""),
        ({SECCOMP: "unconfined"}, 18, f'seccompProfile (forbidden annotation {SECCOMP}="unconfined")'),
    ],
)
def test_what_annotations_say(annotations: Object, minor: int | None, said: str) -> None:
    assert told(Level("baseline", minor), one(), annotations) == said


@pytest.mark.parametrize(
    ("level", "spec", "is_allowed"),
    [
        (Level("baseline", 33), one(startupProbe={"tcpSocket": {"host": "h"}}), True),
        (Level("baseline", 34), one(startupProbe={"tcpSocket": {"host": "h"}}), False),
        (Level("baseline", 99), one(startupProbe={"tcpSocket": {"host": "h"}}), False),
        (Level("baseline", 30), context(seLinuxOptions={"type": "container_engine_t"}), False),
        (Level("restricted", 7), context(runAsNonRoot=True), True),
        (Level("restricted", 8), context(runAsNonRoot=True), False),
        (Level("baseline", 35), {"hostUsers": False, **context(procMount="Unmasked")}, True),
        (Level("baseline", 34), {"hostUsers": False, **context(procMount="Unmasked")}, False),
        (Level("restricted", 35), {**safe(), "hostUsers": False, **context(**SAFE, procMount="Unmasked")}, False),
    ],
)
def test_checks_are_those_of_the_version(level: Level, spec: Object, is_allowed: bool) -> None:
    assert (told(level, spec) == "") is is_allowed


@pytest.mark.parametrize(
    ("labels", "levels", "errors"),
    [
        ({}, ("privileged:latest", "privileged:latest"), []),
        (labelled(enforce="baseline"), ("baseline:latest", "baseline:latest"), []),
        (labelled(enforce="baseline", enforce_version="v1.30"), ("baseline:v1.30", "baseline:v1.30"), []),
        (labelled(enforce="restricted", warn="baseline"), ("restricted:latest", "baseline:latest"), []),
        (labelled(enforce="baseline", warn_version="v1.9"), ("baseline:latest", "baseline:v1.9"), []),
        (
            labelled(enforce="strict"),
            ("restricted:latest", "privileged:latest"),
            ['Invalid value: "strict": must be one of privileged, baseline, restricted'],
        ),
        (
            labelled(warn="baseline", warn_version="1.3"),
            ("privileged:latest", "baseline:latest"),
            ['Invalid value: "1.3": must be "latest" or "v1.x"'],
        ),
    ],
)
def test_what_labels_ask_for(labels: dict[str, str], levels: tuple[str, str], errors: list[str]) -> None:
    policy, found = policy_of(labels)
    assert (str(policy.enforce), str(policy.warn)) == levels
    assert [each.message for each in found] == errors


def space(**modes: str) -> Object:
    return {"metadata": {"name": "n", "labels": labelled(**modes)}}


def pod(spec: Object, name: str = "p") -> Object:
    return {"metadata": {"name": name, "namespace": "n"}, "spec": spec}


def run(known: Known, resource: Resource, obj: Object, old: Object | None = None, subresource: str = "") -> list[str]:
    """The warnings."""
    namespace = "n" if resource.namespaced else ""
    operation = "CREATE" if old is None else "UPDATE"
    call = Call(LOOPBACK, operation.lower(), Target(resource, namespace, subresource=subresource))
    review = Review(operation, call, resource, namespace, obj["metadata"]["name"], obj=obj, old=old)  # type: ignore[arg-type]
    asyncio.run(admit([pod_security(known)], review))
    return list(call.warnings)


BAD = 'host namespaces (hostPID=true), hostPort (container "a" uses hostPort 1)'
WILD = {"hostPID": True, **one(image="i", ports=[{"hostPort": 1}])}


def test_a_pod_that_violates_what_is_enforced_is_refused() -> None:
    with pytest.raises(Forbidden) as refused:
        run(Known((NAMESPACES, space(enforce="baseline"))), PODS, pod(WILD))
    assert str(refused.value) == f'pods "p" is forbidden: violates PodSecurity "baseline:latest": {BAD}'


@pytest.mark.parametrize(
    ("resource", "made"),
    [
        (PODS, pod(WILD)),
        (DEPLOYMENTS, pod({"template": {"spec": WILD}})),
        (CRON_JOBS, pod({"jobTemplate": {"spec": {"template": {"spec": WILD}}}})),
    ],
)
def test_what_would_violate_is_warned_of(resource: Resource, made: Object) -> None:
    known = Known((NAMESPACES, space(warn="baseline", warn_version="v1.30")))
    assert run(known, resource, made) == [f'would violate PodSecurity "baseline:v1.30": {BAD}']
    assert not run(Known((NAMESPACES, space())), resource, made)


def test_a_template_that_violates_what_is_enforced_is_warned_of_only() -> None:
    known = Known((NAMESPACES, space(enforce="baseline")))
    made = pod({"template": {"spec": WILD}})
    assert run(known, DEPLOYMENTS, made) == [f'would violate PodSecurity "baseline:latest": {BAD}']


@pytest.mark.parametrize("spec", [{"containers": [{}], "volumes": [{}]}, {"securityContext": {"sysctls": [{}]}}, None])
def test_what_nobody_has_checked_yet_harms_nothing(spec: Object) -> None:
    bare = {"metadata": {"name": "p"}, "spec": spec}
    with pytest.raises(Forbidden):
        run(Known((NAMESPACES, space(enforce="restricted"))), PODS, {**bare, "spec": {"hostPID": True, **(spec or {})}})
    run(Known((NAMESPACES, space(warn="restricted"))), PODS, bare)


def test_a_pod_that_is_there_is_judged_again_only_for_other_images() -> None:
    known = Known((NAMESPACES, space(enforce="baseline")))
    assert not run(known, PODS, pod({**WILD, "activeDeadlineSeconds": 5}), pod(WILD))
    assert not run(known, PODS, pod({**WILD, **one(image="j")}), pod(WILD), subresource="status")
    with pytest.raises(Forbidden):
        run(known, PODS, pod({**WILD, **one(image="j")}), pod(WILD))
    with pytest.raises(Forbidden):
        run(known, PODS, pod({**WILD, "ephemeralContainers": [{"name": "e", "image": "i"}]}), pod(WILD))


def test_labels_that_say_nothing_are_refused_where_they_are_new() -> None:
    with pytest.raises(Invalid):
        run(Known(), NAMESPACES, space(enforce="strict"))
    with pytest.raises(Invalid):
        run(Known(), NAMESPACES, space(enforce="strict"), space())
    run(Known(), NAMESPACES, space(enforce="strict"), space(enforce="strict"))


def test_a_stricter_level_tells_of_pods_it_would_not_take() -> None:
    wild = [(PODS, pod(WILD, name)) for name in ("p2", "p1")]
    known = Known(*wild, (PODS, pod(context(privileged=True), "q")), (PODS, pod(safe(), "fine")))
    said = [
        'existing pods in namespace "n" violate the new PodSecurity enforce level "baseline:latest"',
        "p1 (and 1 other pod): host namespaces, hostPort",
        "q: privileged",
    ]
    assert run(known, NAMESPACES, space(enforce="baseline"), space()) == said
    assert not run(known, NAMESPACES, space(enforce="baseline"), space(enforce="restricted"))
    assert not run(known, NAMESPACES, space(warn="baseline"), space())
