"""What an upgrade or a hurt default object needs: missing permissions come back, what users added stays. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from apiserver.authz.rules import rules, uncovered
from apiserver.bootstrap.defaults import Wanted
from apiserver.bootstrap.local_services import MANAGED
from machinery.api.resource import Object

_AUTOUPDATE = "rbac.authorization.kubernetes.io/autoupdate"
_AUTOUPDATE_SPEC = "apf.kubernetes.io/autoupdate-spec"


def reconciled(wanted: Wanted, there: Object) -> Object | None:
    """The object to write instead of `there`, None where nothing is missing."""
    reconcile = _RECONCILE.get(wanted.resource.plural)
    changes = reconcile(wanted.object, there) if reconcile else {}
    return {**there, **changes} if changes else None


def _role(wanted: Object, there: Object) -> Object:
    if _opted_out(there):
        return {}
    changes = _metadata(wanted, there)
    if "aggregationRule" in wanted:
        # Its rules are the aggregation's to fill in.
        if not _holds(there.get("aggregationRule"), wanted["aggregationRule"]):
            changes["aggregationRule"] = wanted["aggregationRule"]
        return changes
    if there.get("rules") == wanted.get("rules"):
        return changes
    missing = uncovered(rules(there), rules(wanted))
    if missing:
        changes["rules"] = [*(there.get("rules") or ()), *(_atom(atom) for atom in missing)]
    return changes


def _atom(atom: Any) -> Object:
    if atom.urls:
        return {"verbs": sorted(atom.verbs), "nonResourceURLs": list(atom.urls)}
    wire = {"verbs": sorted(atom.verbs), "apiGroups": sorted(atom.groups), "resources": sorted(atom.resources)}
    return {**wire, "resourceNames": sorted(atom.names)} if atom.names else wire


def _binding(wanted: Object, there: Object) -> Object:
    if _opted_out(there):
        return {}
    changes = _metadata(wanted, there)
    subjects = there.get("subjects") or []
    missing = [each for each in wanted.get("subjects") or () if not any(_holds(had, each) for had in subjects)]
    if missing:
        changes["subjects"] = [*subjects, *missing]
    return changes


def _priority(wanted: Object, there: Object) -> Object:
    annotations = there["metadata"].get("annotations") or {}
    if annotations.get(_AUTOUPDATE_SPEC) != "true" or _holds(there.get("spec"), wanted["spec"]):
        return {}
    return {"spec": wanted["spec"]}


def _registered(wanted: Object, there: Object) -> Object:
    """Who takes the label away answers for the object."""
    is_managed = MANAGED in (there["metadata"].get("labels") or {})
    return {"spec": wanted["spec"]} if is_managed and there.get("spec") != wanted["spec"] else {}


def _service(wanted: Object, there: Object) -> Object:
    changes = _metadata(wanted, there)
    spec = there.get("spec") or {}
    if not _holds(spec.get("ports"), wanted["spec"]["ports"]) or spec.get("type") != "ClusterIP":
        changes["spec"] = {**spec, "type": "ClusterIP", "ports": wanted["spec"]["ports"]}
    return changes


def _ranges(wanted: Object, there: Object) -> Object:
    """A cluster of one family that is started with both gets the second range; others are somebody's own."""
    has, wants = (there.get("spec") or {}).get("cidrs") or [], wanted["spec"]["cidrs"]
    is_second = len(has) == 1 and len(wants) == 2 and has == wants[:1]
    return {"spec": {**there["spec"], "cidrs": wants}} if is_second else {}


def _whole(*fields: str) -> Callable[[Object, Object], Object]:
    def reconcile(wanted: Object, there: Object) -> Object:
        changes = _metadata(wanted, there)
        for name in fields:
            if not _holds(there.get(name), wanted[name]):
                changes[name] = wanted[name]
        return changes

    return reconcile


def _authentication(wanted: Object, there: Object) -> Object:
    data = there.get("data") or {}
    return {} if _holds(data, wanted["data"]) else {"data": {**data, **wanted["data"]}}


_RECONCILE: Mapping[str, Callable[[Object, Object], Object]] = {
    "clusterroles": _role,
    "roles": _role,
    "clusterrolebindings": _binding,
    "rolebindings": _binding,
    "flowschemas": _priority,
    "prioritylevelconfigurations": _priority,
    "apiservices": _registered,
    "services": _service,
    "servicecidrs": _ranges,
    "endpoints": _whole("subsets"),
    "endpointslices": _whole("endpoints", "ports"),
    "configmaps": _authentication,
}


def _opted_out(there: Object) -> bool:
    return (there["metadata"].get("annotations") or {}).get(_AUTOUPDATE) == "false"


def _metadata(wanted: Object, there: Object) -> Object:
    changed = {}
    for name in ("labels", "annotations"):
        has, wants = there["metadata"].get(name) or {}, wanted["metadata"].get(name) or {}
        if not _holds(has, wants):
            changed[name] = {**has, **wants}
    return {"metadata": {**there["metadata"], **changed}} if changed else {}


def _holds(there: Any, wanted: Any) -> bool:
    """Whether `there` says all that `wanted` says; defaults that the server filled in may come on top."""
    if isinstance(wanted, dict):
        return isinstance(there, dict) and all(key in there and _holds(there[key], wanted[key]) for key in wanted)
    if isinstance(wanted, list):
        if not isinstance(there, list) or len(there) != len(wanted):
            return False
        return all(_holds(has, wants) for has, wants in zip(there, wanted, strict=True))
    return bool(there == wanted)
