"""What both webhook configurations share (admissionregistration.k8s.io/v1 defaulting)."""

from __future__ import annotations

from collections.abc import Iterator

from apiserver.kinds.defaulting import default_values
from apiserver.kinds.field_errors import duplicate, invalid_value, not_supported, required
from apiserver.kinds.label_rules import label_selector_errors
from machinery.api import names
from machinery.api.errors import Cause
from machinery.api.resource import Object

_OPERATIONS = ("*", "CONNECT", "CREATE", "DELETE", "UPDATE")
_SCOPES = ("*", "Cluster", "Namespaced")
_VERSIONS = ("v1", "v1beta1")
_LONGEST_WAIT = 30


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
    errors: list[Cause] = []
    seen: set[str] = set()
    for index, webhook in enumerate(configuration.get("webhooks") or []):
        path, name = f"webhooks[{index}]", webhook.get("name") or ""
        errors += _webhook_errors(webhook, path)
        if name in seen:
            errors.append(duplicate(f"{path}.name", name))
        seen.add(name)
    return errors


def _webhook_errors(webhook: Object, path: str) -> Iterator[Cause]:
    yield from _name_errors(webhook.get("name") or "", f"{path}.name")
    for place, rule in enumerate(webhook.get("rules") or []):
        yield from _rule_errors(rule, f"{path}.rules[{place}]")
    for field, known in (("failurePolicy", ("Fail", "Ignore")), ("matchPolicy", ("Equivalent", "Exact"))):
        if webhook.get(field) not in (None, *known):
            yield not_supported(f"{path}.{field}", webhook[field], known)
    side_effects, known = webhook.get("sideEffects"), ("None", "NoneOnDryRun")
    if side_effects is None:
        yield required(f"{path}.sideEffects", "must specify one of None, NoneOnDryRun")
    elif side_effects not in known:
        yield not_supported(f"{path}.sideEffects", side_effects, known)
    seconds = webhook.get("timeoutSeconds")
    if seconds is not None and not 1 <= seconds <= _LONGEST_WAIT:
        yield invalid_value(f"{path}.timeoutSeconds", seconds, "the timeout value must be between 1 and 30 seconds")
    for field in ("namespaceSelector", "objectSelector"):
        yield from label_selector_errors(webhook.get(field) or {}, f"{path}.{field}")
    yield from _client_errors(webhook.get("clientConfig") or {}, f"{path}.clientConfig")
    yield from _review_version_errors(webhook.get("admissionReviewVersions") or [], f"{path}.admissionReviewVersions")


def _name_errors(name: str, path: str) -> Iterator[Cause]:
    if not name:
        yield required(path)
    elif complaints := names.dns_subdomain(name):
        yield from (invalid_value(path, name, complaint) for complaint in complaints)
    elif name.count(".") < 2:
        yield invalid_value(path, name, "should be a domain with at least three segments separated by dots")


def _rule_errors(rule: Object, path: str) -> Iterator[Cause]:
    operations = rule.get("operations") or []
    for field in ("operations", "apiGroups", "apiVersions", "resources"):
        values = rule.get(field) or []
        if not values:
            yield required(f"{path}.{field}")
        if field != "resources" and len(values) > 1 and "*" in values:
            yield invalid_value(f"{path}.{field}", values, f"if '*' is present, must not specify other {_said(field)}")
    for index, operation in enumerate(operations):
        if operation not in _OPERATIONS:
            yield not_supported(f"{path}.operations[{index}]", operation, _OPERATIONS)
    if rule.get("scope") not in (None, *_SCOPES):
        yield not_supported(f"{path}.scope", rule["scope"], _SCOPES)


def _said(field: str) -> str:
    return {"apiGroups": "API groups", "apiVersions": "API versions"}.get(field, field)


def _client_errors(client: Object, path: str) -> Iterator[Cause]:
    url, service = client.get("url"), client.get("service")
    if (url is None) == (service is None):
        yield required(path, "exactly one of url or service is required")
        return
    if url is not None and not url.startswith("https://"):
        scheme = url.partition("://")[0] if "://" in url else ""
        yield invalid_value(
            f"{path}.url", scheme, "'https' is the only allowed URL scheme; desired format: https://host[/path]"
        )
    for field in ("name", "namespace") if service is not None else ():
        if not (service or {}).get(field):
            yield required(f"{path}.service.{field}", f"service {field} is required")


def _review_version_errors(versions: list[str], path: str) -> Iterator[Cause]:
    if not versions:
        yield required(path, "must specify one of v1, v1beta1")
    elif not set(versions) & set(_VERSIONS):
        yield invalid_value(path, versions, "must include at least one of v1, v1beta1")
