"""What upstream refuses in StatefulSets (apps/v1 validation), and warns of."""

from __future__ import annotations

from collections.abc import Iterator

from apiserver.rules.field_errors import all_of, forbidden, invalid_value, not_negative, not_supported, required
from apiserver.rules.label_rules import label_selector_errors
from apiserver.rules.pods.pod_rules import template_errors
from apiserver.rules.storage.claim_rules import claim_spec_errors, claim_spec_warnings
from apiserver.rules.workloads.selected_template import fit_errors, labels_of, restart_errors, selects_all
from apiserver.rules.workloads.share_rules import more_than_all_errors, share, share_errors
from machinery.api import names
from machinery.api.errors import Cause
from machinery.api.resource import Object

_RETENTION = ("Retain", "Delete")
_MUTABLE = (
    "replicas", "ordinals", "template", "updateStrategy", "revisionHistoryLimit",
    "persistentVolumeClaimRetentionPolicy", "minReadySeconds",
)  # fmt: skip


def stateful_set_errors(stateful_set: Object, *, is_new: bool = True) -> list[Cause]:
    spec = stateful_set.get("spec") or {}
    errors = [*_policy_errors(spec), *_strategy_errors(spec.get("updateStrategy") or {})]
    if retention := spec.get("persistentVolumeClaimRetentionPolicy"):
        for field in ("whenDeleted", "whenScaled"):
            if retention.get(field) not in _RETENTION:
                path = f"spec.persistentVolumeClaimRetentionPolicy.{field}"
                errors.append(not_supported(path, retention.get(field) or "", _RETENTION))
    errors += not_negative("spec.replicas", spec.get("replicas"))
    errors += not_negative("spec.minReadySeconds", spec.get("minReadySeconds"))
    if spec.get("ordinals"):
        errors += not_negative("spec.ordinals.start", spec["ordinals"].get("start"))
    if is_new and spec.get("serviceName"):
        errors += all_of("spec.serviceName", spec["serviceName"], names.dns_label(spec["serviceName"]))
    for index, claim in enumerate(spec.get("volumeClaimTemplates") or () if is_new else ()):
        errors += claim_spec_errors(claim.get("spec") or {}, f"spec.volumeClaimTemplates[{index}].spec")
    return [*errors, *_template_errors(spec)]


def _policy_errors(spec: Object) -> Iterator[Cause]:
    policy = spec.get("podManagementPolicy") or ""
    if not policy:
        yield required("spec.podManagementPolicy")
    elif policy not in ("OrderedReady", "Parallel"):
        yield invalid_value("spec.podManagementPolicy", policy, "must be 'OrderedReady' or 'Parallel'")


def _strategy_errors(strategy: Object) -> Iterator[Cause]:
    kind, rolling, path = strategy.get("type") or "", strategy.get("rollingUpdate"), "spec.updateStrategy"
    if not kind:
        yield required(path)
    elif kind == "OnDelete":
        if rolling is not None:
            detail = "only allowed for updateStrategy 'RollingUpdate'"
            yield invalid_value(f"{path}.rollingUpdate", _internal_rolling(rolling), detail)
    elif kind != "RollingUpdate":
        shown = {"Type": kind, "RollingUpdate": None if rolling is None else _internal_rolling(rolling)}
        yield invalid_value(path, shown, "must be 'RollingUpdate' or 'OnDelete'")
    elif rolling is not None:
        yield from not_negative(f"{path}.rollingUpdate.partition", rolling.get("partition"))
        if (missing := rolling.get("maxUnavailable")) is not None:
            where = f"{path}.rollingUpdate.maxUnavailable"
            yield from share_errors(missing, where)
            if share(missing) == 0:
                yield invalid_value(where, missing, "cannot be 0")
            yield from more_than_all_errors(missing, where)


def _internal_rolling(rolling: Object) -> Object:
    return {"Partition": rolling.get("partition") or 0, "MaxUnavailable": rolling.get("maxUnavailable")}


def _template_errors(spec: Object) -> Iterator[Cause]:
    selector, template = spec.get("selector"), spec.get("template") or {}
    wrong = list(label_selector_errors(selector, "spec.selector"))
    if selector is None:
        yield required("spec.selector")
    yield from wrong
    if selects_all(selector):
        yield invalid_value("spec.selector", selector, "empty selector is invalid for statefulset")
    if not wrong:
        yield from fit_errors(selector, labels_of(template))
        yield from template_errors(_with_claims(template, spec.get("volumeClaimTemplates") or []), "spec.template")
    yield from restart_errors(template, "StatefulSet")


def _with_claims(template: Object, claims: list[Object]) -> Object:
    """The template with what each pod will have: a volume for each claim, in place of one of the same name."""
    if not claims:
        return template
    pod = template.get("spec") or {}
    names_of_claims = [(claim.get("metadata") or {}).get("name") or "" for claim in claims]
    volumes = [volume for volume in pod.get("volumes") or () if volume.get("name") not in names_of_claims]
    volumes += [{"name": name, "persistentVolumeClaim": {"claimName": name}} for name in names_of_claims]
    return {**template, "spec": {**pod, "volumes": volumes}}


def stateful_set_update_errors(new: Object, old: Object) -> list[Cause]:
    """All of an update: what would have been refused of a new one alone is let through."""
    kept = [{k: v for k, v in (obj.get("spec") or {}).items() if k not in _MUTABLE} for obj in (new, old)]
    errors = stateful_set_errors(new, is_new=False)
    if kept[0] == kept[1]:
        return errors
    listed = ", ".join(f"'{name}'" for name in _MUTABLE[:-1])
    detail = f"updates to statefulset spec for fields other than {listed} and '{_MUTABLE[-1]}' are forbidden"
    return [*errors, forbidden("spec", detail)]


def stateful_set_warnings(stateful_set: Object) -> list[str]:
    spec = stateful_set.get("spec") or {}
    warnings: list[str] = []
    for index, claim in enumerate(spec.get("volumeClaimTemplates") or ()):
        warnings += claim_spec_warnings(claim.get("spec") or {}, f"spec.volumeClaimTemplates[{index}].Spec")
    if (spec.get("revisionHistoryLimit") or 0) < 0:
        warnings.append(
            "spec.revisionHistoryLimit: a negative value retains all historical revisions; a value >= 0 is recommended"
        )
    return warnings
