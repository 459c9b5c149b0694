"""What both webhook configurations share: defaults, and what is refused (admissionregistration.k8s.io/v1)."""

from __future__ import annotations

from collections.abc import Iterator

from apiserver.rules.admission.match_rules import FAILURE_POLICIES, MATCH_POLICIES, condition_errors, rule_errors
from apiserver.rules.admission.webhook_client_rules import client_errors
from apiserver.rules.defaulting import default_values
from apiserver.rules.field_errors import all_of, duplicate, invalid_value, not_supported, required
from apiserver.rules.label_rules import label_selector_errors
from machinery.api import names
from machinery.api.errors import Cause
from machinery.api.resource import Object
from machinery.structs import Struct

_VERSIONS = ("v1", "v1beta1")
_NO_SIDE_EFFECTS = ("None", "NoneOnDryRun")
_ANY_SIDE_EFFECTS = ("None", "NoneOnDryRun", "Some", "Unknown")
_REINVOCATIONS = ("IfNeeded", "Never")
_LONGEST_WAIT = 30


class _Demands(Struct, frozen=True):
    """What an update need not fulfil where the old configuration did not."""

    no_side_effects: bool = True
    known_version: bool = True
    unique_names: bool = True
    conditions: bool = True


def default_webhook(webhook: Object) -> None:
    default_values(
        webhook,
        failurePolicy="Fail",
        matchPolicy="Equivalent",
        namespaceSelector={},
        objectSelector={},
        timeoutSeconds=10,
    )
    service = (webhook.get("clientConfig") or {}).get("service")
    if service is not None:
        default_values(service, port=443)
    for rule in webhook.get("rules") or []:
        default_values(rule, scope="*")


def configuration_errors(configuration: Object) -> list[Cause]:
    return _configuration_errors(configuration, _Demands())


def configuration_update_errors(new: Object, old: Object) -> list[Cause]:
    hooks, before = new.get("webhooks") or [], old.get("webhooks") or []
    given = [hook.get("name") for hook in before]
    demands = _Demands(
        no_side_effects=all(hook.get("sideEffects") in _NO_SIDE_EFFECTS for hook in before),
        known_version=all(not _versions(hook) or set(_versions(hook)) & set(_VERSIONS) for hook in before),
        unique_names=len(set(given)) == len(given),
        conditions=_conditions(hooks) != _conditions(before),
    )
    return _configuration_errors(new, demands)


def _versions(hook: Object) -> list[str]:
    return hook.get("admissionReviewVersions") or []


def _conditions(hooks: list[Object]) -> list[list[Object]]:
    return [hook.get("matchConditions") or [] for hook in hooks]


def _configuration_errors(configuration: Object, demands: _Demands) -> list[Cause]:
    errors: list[Cause] = []
    seen: set[str] = set()
    for index, webhook in enumerate(configuration.get("webhooks") or []):
        path, name = f"webhooks[{index}]", webhook.get("name") or ""
        errors += _webhook_errors(webhook, path, demands)
        errors += _version_errors(_versions(webhook), f"{path}.admissionReviewVersions", demands)
        if name in seen and demands.unique_names:
            errors.append(duplicate(f"{path}.name", name))
        if name:
            seen.add(name)
    return errors


def _webhook_errors(webhook: Object, path: str, demands: _Demands) -> Iterator[Cause]:
    yield from _name_errors(webhook.get("name") or "", f"{path}.name")
    for place, rule in enumerate(webhook.get("rules") or []):
        yield from rule_errors(rule, f"{path}.rules[{place}]")
    for field, known in (("failurePolicy", FAILURE_POLICIES), ("matchPolicy", MATCH_POLICIES)):
        if webhook.get(field) not in (None, *known):
            yield not_supported(f"{path}.{field}", webhook[field], known)
    side_effects, allowed = webhook.get("sideEffects"), _side_effects(demands)
    if side_effects is None:
        yield required(f"{path}.sideEffects", f"must specify one of {', '.join(allowed)}")
    elif side_effects not in allowed:
        yield not_supported(f"{path}.sideEffects", side_effects, allowed)
    seconds = webhook.get("timeoutSeconds")
    if seconds is not None and not 1 <= seconds <= _LONGEST_WAIT:
        yield invalid_value(f"{path}.timeoutSeconds", seconds, "the timeout value must be between 1 and 30 seconds")
    for field in ("namespaceSelector", "objectSelector"):
        yield from label_selector_errors(webhook.get(field), f"{path}.{field}")
    if webhook.get("reinvocationPolicy") not in (None, *_REINVOCATIONS):
        yield not_supported(f"{path}.reinvocationPolicy", webhook["reinvocationPolicy"], _REINVOCATIONS)
    yield from client_errors(webhook.get("clientConfig") or {}, f"{path}.clientConfig")
    if demands.conditions:
        yield from condition_errors(webhook.get("matchConditions"), f"{path}.matchConditions")


def _side_effects(demands: _Demands) -> tuple[str, ...]:
    return _NO_SIDE_EFFECTS if demands.no_side_effects else _ANY_SIDE_EFFECTS


def _name_errors(name: str, path: str) -> Iterator[Cause]:
    if not name:
        yield required(path)
    elif complaints := names.dns_subdomain(name):
        yield invalid_value(path, name, ",".join(complaints))
    elif name.count(".") < 2:
        yield invalid_value(path, name, "should be a domain with at least three segments separated by dots")


def _version_errors(versions: list[str], path: str, demands: _Demands) -> Iterator[Cause]:
    if not versions:
        yield required(path, f"must specify one of {', '.join(_VERSIONS)}")
        return
    for index, version in enumerate(versions):
        if version in versions[:index]:
            yield invalid_value(f"{path}[{index}]", version, "duplicate version")
        else:
            yield from all_of(f"{path}[{index}]", version, names.dns1035_label(version))
    if demands.known_version and not set(versions) & set(_VERSIONS):
        yield invalid_value(path, versions, f"must include at least one of {', '.join(_VERSIONS)}")
