"""What of a pod may change once it is there: little of the spec by an update, and containers that are put into it
(core/v1)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from apiserver.rules.defaulting import take_field
from apiserver.rules.field_errors import forbidden, in_range, invalid_value
from apiserver.rules.pods.annotation_rules import MIRROR, annotation_update_errors
from apiserver.rules.pods.internal_types import internal, internal_pod_spec
from apiserver.rules.pods.pod_rules import pod_errors
from apiserver.rules.spec_diff import unified
from machinery.api.errors import Cause
from machinery.api.resource import Object

_LARGEST_DEADLINE = 2**31 - 1
_MAY_CHANGE = ",".join((
    "`spec.containers[*].image`", "`spec.initContainers[*].image`", "`spec.activeDeadlineSeconds`",
    "`spec.tolerations` (only additions to existing tolerations)",
    "`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)",
))  # fmt: skip
_REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"


def validate_pod_update(new: Object, old: Object) -> list[Cause]:
    """All that is wrong with a changed pod, and with how it has changed."""
    return [*pod_errors(new), *_annotations_errors(new, old), *_change_errors(new["spec"], old["spec"])]


def _annotations_errors(new: Object, old: Object) -> Iterator[Cause]:
    after, before = (pod["metadata"].get("annotations") or {} for pod in (new, old))
    if after != before:
        yield from annotation_update_errors(after, before, "metadata.annotations")


def _change_errors(spec: Object, before: Object) -> Iterator[Cause]:
    for part in ("containers", "initContainers"):
        if len(spec.get(part) or ()) != len(before.get(part) or ()):
            yield forbidden(f"spec.{part}", "pod updates may not add or remove containers")
            return
    deadline = list(_deadline_errors(spec.get("activeDeadlineSeconds"), before.get("activeDeadlineSeconds")))
    yield from deadline
    if deadline and spec.get("activeDeadlineSeconds") is not None:
        return
    yield from _toleration_errors(spec.get("tolerations") or [], before.get("tolerations") or [])
    yield from _gate_errors(spec.get("schedulingGates") or [], before.get("schedulingGates") or [])
    if spec == before:
        return
    masked = _masked(spec, before)
    if before.get("schedulingGates"):
        yield from _placement_errors(masked, before)
    if masked != before:
        difference = unified(internal_pod_spec(before), internal_pod_spec(masked))
        yield forbidden("spec", f"pod updates may not change fields other than {_MAY_CHANGE}\n{difference}")


def _deadline_errors(deadline: int | None, before: int | None) -> Iterator[Cause]:
    path = "spec.activeDeadlineSeconds"
    if deadline is not None:
        out_of_range = in_range(path, deadline, 0, _LARGEST_DEADLINE)
        yield from out_of_range
        if not out_of_range and before is not None and before < deadline:
            yield invalid_value(path, deadline, "must be less than or equal to previous value")
    elif before is not None:
        yield invalid_value(path, None, "must not update from a positive integer to nil value")


def _toleration_errors(tolerations: list[Object], before: list[Object]) -> Iterator[Cause]:
    timeless = [_timeless(each) for each in tolerations]
    if any(_timeless(each) not in timeless for each in before):
        detail = "existing toleration can not be modified except its tolerationSeconds"
        yield forbidden("spec.tolerations", detail)


def _timeless(toleration: Object) -> Object:
    return {key: value for key, value in toleration.items() if key != "tolerationSeconds"}


def _gate_errors(gates: list[Object], before: list[Object]) -> Iterator[Cause]:
    known = {gate.get("name") for gate in before}
    for index, gate in enumerate(gates):
        if gate.get("name") not in known:
            detail = f"only deletion is allowed, but found new scheduling gate '{gate.get('name') or ''}'"
            yield forbidden(f"spec.schedulingGates[{index}].name", detail)


def _masked(spec: Object, before: Object) -> Object:
    """The new spec with all that may change put back as it was."""
    masked = dict(spec)
    for part in ("containers", "initContainers"):
        if part in spec:
            pairs = zip(spec[part], before[part], strict=True)
            masked[part] = [{**container, "image": was.get("image")} for container, was in pairs]
    for field in ("activeDeadlineSeconds", "schedulingGates", "tolerations"):
        take_field(masked, before, field)
    if (before.get("terminationGracePeriodSeconds") or 0) < 0 and spec.get("terminationGracePeriodSeconds") == 1:
        take_field(masked, before, "terminationGracePeriodSeconds")
    return masked


def _placement_errors(masked: Object, before: Object) -> Iterator[Cause]:
    """A gated pod's placement may become narrower; what may change of it is put back as it was."""
    selector, selected = masked.get("nodeSelector") or {}, before.get("nodeSelector") or {}
    if not selected.items() <= selector.items():
        detail = "only additions to spec.nodeSelector are allowed (no mutations or deletions)"
        yield invalid_value("spec.nodeSelector", masked.get("nodeSelector"), detail)
    take_field(masked, before, "nodeSelector")
    affinity, was = masked.get("affinity") or {}, before.get("affinity") or {}
    if affinity.get("nodeAffinity") != was.get("nodeAffinity"):
        yield from _node_affinity_errors(affinity.get("nodeAffinity") or {}, was.get("nodeAffinity") or {})
        affinity = dict(affinity)
        take_field(affinity, was, "nodeAffinity")
        if affinity or "affinity" in before:
            masked["affinity"] = affinity
        else:
            masked.pop("affinity", None)


def _node_affinity_errors(affinity: Object, before: Object) -> Iterator[Cause]:
    old_terms, terms = (_terms(each) for each in (before, affinity))
    path = f"spec.affinity.nodeAffinity.{_REQUIRED}.nodeSelectorTerms"
    if not old_terms:
        return
    if len(terms) != len(old_terms):
        shown = [internal("NodeSelectorTerm", term) for term in terms] or None
        yield invalid_value(path, shown, "no additions/deletions to non-empty NodeSelectorTerms list are allowed")
        return
    for index, (term, old) in enumerate(zip(terms, old_terms, strict=True)):
        if not _is_narrower(term, old):
            shown_term = internal("NodeSelectorTerm", term)
            detail = "only additions are allowed (no mutations or deletions)"
            yield invalid_value(f"{path}[{index}]", shown_term, detail)


def _terms(affinity: Object) -> list[Object]:
    return (affinity.get(_REQUIRED) or {}).get("nodeSelectorTerms") or []


def _is_narrower(term: Object, old: Object) -> bool:
    parts = [(term.get(part) or [], old.get(part) or []) for part in ("matchExpressions", "matchFields")]
    if not any(was for _, was in parts):
        # An empty term selects nothing: whatever is added makes it select something.
        return not any(now for now, _ in parts)
    return all(now[: len(was)] == was for now, was in parts)


def validate_ephemeral_containers(new: Object, old: Object) -> list[Cause]:
    """All that is wrong with a pod into which containers were put: those that were there may neither go nor change."""
    if MIRROR in (old["metadata"].get("annotations") or {}):
        return [forbidden("", "static pods do not support ephemeral containers")]
    errors = [*pod_errors(new), *_annotations_errors(new, old)]
    now = {container.get("name"): container for container in new["spec"].get("ephemeralContainers") or ()}
    for container in old["spec"].get("ephemeralContainers") or ():
        errors += _kept_errors(container, now.get(container.get("name")))
    return errors


def _kept_errors(was: Object, now: Any) -> Iterator[Cause]:
    path, said = "spec.ephemeralContainers", f'existing ephemeral containers "{was.get("name")}" may not be'
    if now is None:
        yield forbidden(path, f"{said} removed\n")
    elif now != was:
        difference = unified(*(internal("EphemeralContainer", each) for each in (was, now)))
        yield forbidden(path, f"{said} changed\n{difference}")
