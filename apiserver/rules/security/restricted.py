"""The further checks of the level restricted: what a pod has to renounce by its own words."""

from __future__ import annotations

from apiserver.rules.security.baseline import (
    CAPABILITIES,
    HOST_PATHS,
    PROC_MOUNT,
    SECCOMP,
    proc_mount,
    seccomp,
    seccomp_type,
)
from apiserver.rules.security.findings import (
    Check,
    Finding,
    Judge,
    containers,
    has_own_users,
    is_for_windows,
    name_of,
    named,
    names,
    security,
    setters,
    uses,
)
from machinery.api.resource import Object

_VOLUMES = (
    "configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "image", "persistentVolumeClaim", "projected",
    "secret",
)  # fmt: skip
_OTHER_VOLUMES = (
    "hostPath", "gcePersistentDisk", "awsElasticBlockStore", "gitRepo", "nfs", "iscsi", "glusterfs", "rbd",
    "flexVolume", "cinder", "cephfs", "flocker", "fc", "azureFile", "vsphereVolume", "quobyte", "azureDisk",
    "photonPersistentDisk", "portworxVolume", "scaleIO", "storageos",
)  # fmt: skip


def _escalation(metadata: Object, spec: Object) -> Finding | None:
    bad = names(each for each in containers(spec) if security(each).get("allowPrivilegeEscalation") is not False)
    detail = f"{named('container', bad)} must set securityContext.allowPrivilegeEscalation=false"
    return Finding("allowPrivilegeEscalation != false", detail) if bad else None


def _capabilities(metadata: Object, spec: Object) -> Finding | None:
    keeping: list[str] = []
    adding: dict[str, set[str]] = {}
    for container in containers(spec):
        asked = security(container).get("capabilities") or {}
        if "ALL" not in (asked.get("drop") or ()):
            keeping.append(name_of(container))
        if extra := set(asked.get("add") or ()) - {"NET_BIND_SERVICE"}:
            adding[name_of(container)] = extra
    details = []
    if keeping:
        details.append(f'{named("container", keeping)} must set securityContext.capabilities.drop=["ALL"]')
    if adding:
        whole = ", ".join(f'"{name}"' for name in sorted(set().union(*adding.values())))
        details.append(
            f"{named('container', list(adding))} must not include {whole} in securityContext.capabilities.add"
        )
    return Finding("unrestricted capabilities", "; ".join(details)) if details else None


def _volumes(metadata: Object, spec: Object) -> Finding | None:
    bad = [each for each in spec.get("volumes") or () if all(each.get(kind) is None for kind in _VOLUMES)]
    if not bad:
        return None
    kinds = {next((kind for kind in _OTHER_VOLUMES if each.get(kind) is not None), "unknown") for each in bad}
    what = named("restricted volume type", sorted(kinds))
    return Finding("restricted volume types", f"{uses('volume', names(bad))} {what}")


def _non_root(metadata: Object, spec: Object) -> Finding | None:
    reason, of_pod = "runAsNonRoot != true", security(spec).get("runAsNonRoot")
    every = [(name_of(each), security(each).get("runAsNonRoot")) for each in containers(spec)]
    if who := setters([name for name, said in every if said is False], is_pod=of_pod is False):
        return Finding(reason, f"{who} must not set securityContext.runAsNonRoot=false")
    silent = [name for name, said in every if said is None and not of_pod]
    detail = f"pod or {named('container', silent)} must set securityContext.runAsNonRoot=true"
    return Finding(reason, detail) if silent else None


def _user(metadata: Object, spec: Object) -> Finding | None:
    bad = names(each for each in containers(spec) if security(each).get("runAsUser") == 0)
    who = setters(bad, is_pod=security(spec).get("runAsUser") == 0)
    return Finding("runAsUser=0", f"{who} must not set runAsUser=0") if who else None


def _seccomp(metadata: Object, spec: Object) -> Finding | None:
    if found := seccomp(metadata, spec):
        return found
    silent = names(each for each in containers(spec) if seccomp_type(each) is None)
    if not silent or seccomp_type(spec) is not None:
        return None
    wanted = 'securityContext.seccompProfile.type to "RuntimeDefault" or "Localhost"'
    return Finding("seccompProfile", f"pod or {named('container', silent)} must set {wanted}")


def _but_for_windows(judge: Judge) -> Judge:
    return lambda metadata, spec: None if is_for_windows(spec) else judge(metadata, spec)


def _but_for_own_users(judge: Judge) -> Judge:
    return lambda metadata, spec: None if has_own_users(spec) else judge(metadata, spec)


RESTRICTED = (
    Check("allowPrivilegeEscalation", ((8, _escalation), (25, _but_for_windows(_escalation)))),
    Check(
        "capabilities_restricted", ((22, _capabilities), (25, _but_for_windows(_capabilities))), replaces=CAPABILITIES
    ),
    Check("procMount_restricted", ((35, proc_mount),), replaces=PROC_MOUNT),
    Check("restrictedVolumes", ((0, _volumes),), replaces=HOST_PATHS),
    Check("runAsNonRoot", ((0, _non_root), (35, _but_for_own_users(_non_root)))),
    Check("runAsUser", ((23, _user), (35, _but_for_own_users(_user)))),
    Check("seccompProfile_restricted", ((19, _seccomp), (25, _but_for_windows(_seccomp))), replaces=SECCOMP),
)
"""In the order in which findings are told, after those of baseline."""
