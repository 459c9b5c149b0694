"""Cells of RBAC, disruption budgets, admission, certificates, flow control and the API's own kinds."""

from __future__ import annotations

from datetime import datetime

from apiserver.columns.cell import NONE, UNSET, Cell, at, condition, count
from machinery.api.resource import Object


def _role(binding: Object, now: datetime) -> str:
    role = binding.get("roleRef") or {}
    return f"{role.get('kind', '')}/{role.get('name', '')}"


def _subjects(kind: str) -> Cell:
    def cell(binding: Object, now: datetime) -> str:
        found = [subject for subject in binding.get("subjects") or [] if subject.get("kind") == kind]
        if kind == "ServiceAccount":
            return ", ".join(f"{subject.get('namespace', '')}/{subject['name']}" for subject in found)
        return ", ".join(subject["name"] for subject in found)

    return cell


_BINDING: dict[str, Cell] = {
    "Role": _role,
    "Users": _subjects("User"),
    "Groups": _subjects("Group"),
    "ServiceAccounts": _subjects("ServiceAccount"),
}


def _param_kind(policy: Object, now: datetime) -> str:
    kind = (policy.get("spec") or {}).get("paramKind")
    return f"{kind['apiVersion']}/{kind['kind']}" if kind else UNSET


def _param_ref(binding: Object, now: datetime) -> str:
    """`*` where the namespace is that of the request, or there is none."""
    ref = (binding.get("spec") or {}).get("paramRef") or {}
    if ref.get("name"):
        return f"{ref.get('namespace') or '*'}/{ref['name']}"
    return UNSET if ref.get("selector") is None else _as_go_prints(ref["selector"])


def _as_go_prints(selector: Object) -> str:
    """The LabelSelector as upstream's generated code writes it: the column shows its bare `String()`."""
    labels = "".join(f"{key}: {value}," for key, value in sorted((selector.get("matchLabels") or {}).items()))
    requirements = "".join(
        f"LabelSelectorRequirement{{Key:{entry['key']},Operator:{entry['operator']},"
        f"Values:[{' '.join(entry.get('values') or [])}],}},"
        for entry in selector.get("matchExpressions") or []
    )
    matched = f"MatchLabels:map[string]string{{{labels}}}"
    return f"&LabelSelector{{{matched},MatchExpressions:[]LabelSelectorRequirement{{{requirements}}},}}"


def _csr_condition(request: Object, now: datetime) -> str:
    verdict = next((kind for kind in ("Denied", "Approved") if condition(request, kind)), "Pending")
    failed = ",Failed" if condition(request, "Failed") else ""
    issued = ",Issued" if (request.get("status") or {}).get("certificate") else ""
    return f"{verdict}{failed}{issued}"


def _csr_duration(request: Object, now: datetime) -> str:
    from datetime import timedelta

    from machinery.api import timestamps

    seconds = (request.get("spec") or {}).get("expirationSeconds")
    return NONE if seconds is None else timestamps.age(now - timedelta(seconds=seconds), now)


def _service(api_service: Object, now: datetime) -> str:
    service = (api_service.get("spec") or {}).get("service")
    return f"{service['namespace']}/{service['name']}" if service else "Local"


def _available(api_service: Object, now: datetime) -> str:
    found = condition(api_service, "Available")
    if not found:
        return "Unknown"
    is_plain = found["status"] == "True" or not found.get("reason")
    return str(found["status"]) if is_plain else f"{found['status']} ({found['reason']})"


def _missing_level(schema: Object, now: datetime) -> str:
    found = condition(schema, "Dangling")
    return "?" if found is None else str(found["status"])


def _level(*path: str) -> Cell:
    return at("spec", "limited", *path, default=NONE)


def _claim_state(claim: Object, now: datetime) -> str:
    status = claim.get("status") or {}
    states = ["deleted"] if claim["metadata"].get("deletionTimestamp") else []
    if status.get("allocation") is not None:
        states += ["allocated", "reserved"] if status.get("reservedFor") else ["allocated"]
    return ",".join(states) or "pending"


def _budget(field: str) -> Cell:
    found = at("spec", field, default="N/A")
    return lambda budget, now: str(found(budget, now))


CELLS: dict[str, dict[str, Cell]] = {
    "rolebindings": _BINDING,
    "clusterrolebindings": _BINDING,
    "poddisruptionbudgets": {
        "Min Available": _budget("minAvailable"),
        "Max Unavailable": _budget("maxUnavailable"),
        "Allowed Disruptions": at("status", "disruptionsAllowed", default=0),
    },
    "mutatingadmissionpolicies": {"Mutations": count("spec", "mutations"), "ParamKind": _param_kind},
    "validatingadmissionpolicies": {"Validations": count("spec", "validations"), "ParamKind": _param_kind},
    "mutatingadmissionpolicybindings": {"PolicyName": at("spec", "policyName"), "ParamRef": _param_ref},
    "validatingadmissionpolicybindings": {"PolicyName": at("spec", "policyName"), "ParamRef": _param_ref},
    "mutatingwebhookconfigurations": {"Webhooks": count("webhooks")},
    "validatingwebhookconfigurations": {"Webhooks": count("webhooks")},
    "certificatesigningrequests": {
        "SignerName": at("spec", "signerName", default=NONE),
        "Requestor": at("spec", "username"),
        "RequestedDuration": _csr_duration,
        "Condition": _csr_condition,
    },
    "apiservices": {"Service": _service, "Available": _available},
    "flowschemas": {
        "PriorityLevel": at("spec", "priorityLevelConfiguration", "name"),
        "MatchingPrecedence": at("spec", "matchingPrecedence", default=0),
        "DistinguisherMethod": at("spec", "distinguisherMethod", "type", default=NONE),
        "MissingPL": _missing_level,
    },
    "prioritylevelconfigurations": {
        "Type": at("spec", "type"),
        "NominalConcurrencyShares": _level("nominalConcurrencyShares"),
        "Queues": _level("limitResponse", "queuing", "queues"),
        "HandSize": _level("limitResponse", "queuing", "handSize"),
        "QueueLengthLimit": _level("limitResponse", "queuing", "queueLengthLimit"),
    },
    "resourceclaims": {"State": _claim_state},
    "resourceslices": {
        "Node": at("spec", "nodeName"),
        "Driver": at("spec", "driver"),
        "Pool": at("spec", "pool", "name"),
    },
}
