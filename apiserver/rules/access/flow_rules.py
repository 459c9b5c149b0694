"""What upstream refuses in the requests that a FlowSchema is for: subjects, and rules of what they ask."""

from __future__ import annotations

from collections.abc import Iterator

from apiserver.rules.field_errors import all_of, duplicate, forbidden, invalid_value, not_supported, required
from machinery.api import names
from machinery.api.errors import Cause
from machinery.api.resource import Object

_VERBS = ("create", "delete", "deletecollection", "get", "list", "patch", "proxy", "update", "watch")
_SUBJECTS = {"ServiceAccount": "serviceAccount", "User": "user", "Group": "group"}
_BAD_NAMESPACE = "each member of this list must be '*' or a DNS-1123 label; "
_NO_NAMESPACE = "resource rules that are not cluster scoped must supply at least one namespace"


def requests_errors(rule: Object, path: str) -> Iterator[Cause]:
    subjects, resources, urls = rule.get("subjects"), rule.get("resourceRules"), rule.get("nonResourceRules")
    for index, subject in enumerate(subjects or ()):
        yield from _subject_errors(subject, f"{path}.subjects[{index}]")
    if not subjects:
        yield required(f"{path}.subjects", "subjects must contain at least one value")
    if not resources and not urls:
        yield required(path, "at least one of resourceRules and nonResourceRules has to be non-empty")
    for index, each in enumerate(resources or ()):
        yield from _resource_errors(each, f"{path}.resourceRules[{index}]")
    for index, each in enumerate(urls or ()):
        yield from _url_rule_errors(each, f"{path}.nonResourceRules[{index}]")


def condition_type_errors(new: Object, old: Object) -> list[Cause]:
    """Of the status of either kind."""
    errors: list[Cause] = []
    seen: set[str] = set()
    for index, condition in enumerate((new.get("status") or {}).get("conditions") or ()):
        path, kind = f"status.conditions[{index}].type", condition.get("type") or ""
        if kind in seen:
            errors.append(duplicate(path, kind))
        seen.add(kind)
        if not kind:
            errors.append(required(path))
    return errors


def _subject_errors(subject: Object, path: str) -> Iterator[Cause]:
    kind = subject.get("kind") or ""
    if kind not in _SUBJECTS:
        yield not_supported(f"{path}.kind", kind, sorted(_SUBJECTS))
        return
    field = _SUBJECTS[kind]
    named = subject.get(field)
    if named is None:
        yield required(f"{path}.{field}", f"{field} is required when subject kind is '{kind}'")
    elif kind == "ServiceAccount":
        yield from _account_errors(named, f"{path}.{field}")
    elif not named.get("name"):
        yield required(f"{path}.{field}.name")
    for other, field in _SUBJECTS.items():
        if other != kind and subject.get(field) is not None:
            yield forbidden(f"{path}.{field}", f"{field} is forbidden when subject kind is not '{other}'")


def _account_errors(account: Object, path: str) -> Iterator[Cause]:
    name, namespace = account.get("name") or "", account.get("namespace") or ""
    if not name:
        yield required(f"{path}.name")
    elif name != "*":
        yield from all_of(f"{path}.name", name, names.dns_subdomain(name))
    if namespace:
        yield from all_of(f"{path}.namespace", namespace, names.dns_label(namespace))
    else:
        yield required(f"{path}.namespace", "must specify namespace for service account")


def _verb_errors(rule: Object, path: str) -> Iterator[Cause]:
    verbs = rule.get("verbs") or []
    if not verbs:
        yield required(f"{path}.verbs")
    elif "*" in verbs:
        yield from _alone_errors(verbs, f"{path}.verbs", "verbs")
    elif not set(verbs) <= set(_VERBS):
        yield not_supported(f"{path}.verbs", verbs, _VERBS)


def _alone_errors(values: list[str], path: str, others: str) -> Iterator[Cause]:
    if len(values) > 1 and "*" in values:
        yield invalid_value(path, values, f"if '*' is present, must not specify other {others}")


def _resource_errors(rule: Object, path: str) -> Iterator[Cause]:
    yield from _verb_errors(rule, path)
    for field, others in (("apiGroups", "api groups"), ("resources", "resources")):
        values = rule.get(field) or []
        if not values:
            yield required(f"{path}.{field}")
        yield from _alone_errors(values, f"{path}.{field}", others)
    namespaces = rule.get("namespaces") or []
    if not namespaces and not rule.get("clusterScope"):
        yield required(f"{path}.namespaces", _NO_NAMESPACE)
    elif "*" in namespaces:
        yield from _alone_errors(namespaces, f"{path}.namespaces", "namespaces")
    else:
        for index, name in enumerate(namespaces):
            complaints = [_BAD_NAMESPACE + said for said in names.dns_label(name)]
            yield from all_of(f"{path}.namespaces[{index}]", name, complaints)


def _url_rule_errors(rule: Object, path: str) -> Iterator[Cause]:
    yield from _verb_errors(rule, path)
    urls, path = rule.get("nonResourceURLs") or [], f"{path}.nonResourceURLs"
    if not urls:
        yield required(path)
    elif "*" in urls:
        yield from _alone_errors(urls, path, "non-resource URLs")
    else:
        for index, url in enumerate(urls):
            if problem := _url_problem(url):
                yield invalid_value(f"{path}[{index}]", url, problem)


def _url_problem(url: str) -> str:
    checks = {
        "must not be empty": not url,
        "must start with slash": not url.startswith("/"),
        "must not contain white-space": " " in url,
        "must not contain double slash": "//" in url,
        "wildcard can only do suffix matching": url.count("*") > 1 or ("*" in url and not url.endswith("/*")),
    }
    return next((problem for problem, is_so in checks.items() if is_so), "")
