"""What upstream refuses in a CustomResourceDefinition: its names, its versions, and schemas that aren't structural."""

from __future__ import annotations

from collections.abc import Iterator

from apiserver.rules.field_errors import all_of, duplicate, forbidden, invalid_value, not_supported, required
from apiserver.rules.immutability import immutable
from machinery.api import names as name_checks
from machinery.api.errors import Cause
from machinery.api.resource import Object

_SCOPES = ("Cluster", "Namespaced")
_TYPES = ("array", "boolean", "integer", "number", "object", "string")
_LIST_TYPES = ("atomic", "map", "set")
_AT_ROOT, _IN_FIELD, _IN_ITEMS = "at the root", "for specified object fields", "for specified array items"


def definition_errors(definition: Object) -> list[Cause]:
    spec = definition.get("spec") or {}
    named = spec.get("names") or {}
    errors: list[Cause] = []
    name = definition["metadata"].get("name", "")
    if name != f"{named.get('plural', '')}.{spec.get('group', '')}":
        errors.append(invalid_value("metadata.name", name, 'must be spec.names.plural+"."+spec.group'))
    errors += _group_errors(spec.get("group") or "")
    if not spec.get("scope"):
        errors.append(required("spec.scope"))
    elif spec["scope"] not in _SCOPES:
        errors.append(not_supported("spec.scope", spec["scope"], _SCOPES))
    errors += _version_errors(spec.get("versions") or [])
    errors += _name_errors(named, "spec.names")
    return [*errors, *_schemas_errors(spec.get("versions") or [])]


def definition_update_errors(new: Object, old: Object) -> list[Cause]:
    """Once its names are accepted, a definition's identity stays."""
    conditions = (old.get("status") or {}).get("conditions") or []
    if not any(entry.get("type") == "Established" and entry.get("status") == "True" for entry in conditions):
        return []
    return immutable("spec.group", "spec.scope", "spec.names.plural", "spec.names.kind")(new, old)


def _group_errors(group: str) -> Iterator[Cause]:
    if not group:
        yield required("spec.group")
        return
    complaints = name_checks.dns_subdomain(group)
    yield from all_of("spec.group", group, complaints)
    if not complaints and "." not in group:
        yield invalid_value("spec.group", group, "should be a domain with at least one dot")


def _version_errors(versions: list[Object]) -> Iterator[Cause]:
    seen: set[str] = set()
    for index, version in enumerate(versions):
        name = version.get("name") or ""
        yield from all_of(f"spec.versions[{index}].name", name, name_checks.dns1035_label(name))
        if name in seen:
            yield duplicate(f"spec.versions[{index}].name", name)
        seen.add(name)
    if sum(bool(version.get("storage")) for version in versions) != 1:
        yield invalid_value("spec.versions", versions, "must have exactly one version marked as storage version")


def _name_errors(named: Object, path: str) -> Iterator[Cause]:
    for field in ("plural", "singular", "kind", "listKind"):
        value = named.get(field) or ""
        if not value:
            yield required(f"{path}.{field}")
        else:
            yield from all_of(f"{path}.{field}", value, name_checks.dns1035_label(value.lower()))
    for field in ("shortNames", "categories"):
        for index, value in enumerate(named.get(field) or []):
            yield from all_of(f"{path}.{field}[{index}]", value, name_checks.dns1035_label(value))
    if named.get("kind") and named.get("kind") == named.get("listKind"):
        yield invalid_value(f"{path}.listKind", named["listKind"], "kind and listKind may not be the same")


def _schemas_errors(versions: list[Object]) -> Iterator[Cause]:
    schemas = [(version.get("schema") or {}).get("openAPIV3Schema") for version in versions]
    # Upstream has one schema of all versions where they're the same, and names it so.
    is_shared = bool(schemas) and all(schema == schemas[0] for schema in schemas)
    for index, schema in enumerate(schemas[:1] if is_shared else schemas):
        path = "spec.validation" if is_shared else f"spec.versions[{index}].schema"
        if schema is None:
            where = f"spec.versions[{index}].schema.openAPIV3Schema"
            yield required(where, "schemas are required")
            continue
        if schema.get("type") not in (None, "", "object"):
            detail = "must be object at the root"
            yield invalid_value(f"{path}.openAPIV3Schema.type", schema["type"], detail)
        yield from schema_errors(schema, f"{path}.openAPIV3Schema", _AT_ROOT)


def schema_errors(schema: Object, path: str, place: str) -> Iterator[Cause]:
    """What keeps a schema from being structural, here and below."""
    kind = schema.get("type") or ""
    is_free = schema.get("x-kubernetes-int-or-string") or schema.get("x-kubernetes-preserve-unknown-fields")
    if not kind and (not is_free or place == _AT_ROOT):
        yield required(f"{path}.type", f"must not be empty {place}")
    elif kind and kind not in _TYPES:
        yield not_supported(f"{path}.type", kind, _TYPES)
    if kind and schema.get("x-kubernetes-int-or-string"):
        detail = "must be empty if x-kubernetes-int-or-string is true"
        yield invalid_value(f"{path}.type", kind, detail)
    if schema.get("$ref"):
        yield forbidden(f"{path}.$ref", "$ref is not supported")
    if schema.get("uniqueItems"):
        detail = "uniqueItems cannot be set to true since the runtime complexity becomes quadratic"
        yield forbidden(f"{path}.uniqueItems", detail)
    yield from _list_errors(schema, kind, path)
    additional = schema.get("additionalProperties")
    if schema.get("properties") and additional not in (None, False):
        detail = "additionalProperties and properties are mutual exclusive"
        yield forbidden(f"{path}.additionalProperties", detail)
    for name, inner in sorted((schema.get("properties") or {}).items()):
        yield from schema_errors(inner, f"{path}.properties[{name}]", _IN_FIELD)
    if isinstance(additional, dict):
        yield from schema_errors(additional, f"{path}.additionalProperties", _IN_FIELD)
    if isinstance(schema.get("items"), dict):
        yield from schema_errors(schema["items"], f"{path}.items", _IN_ITEMS)


def _list_errors(schema: Object, kind: str, path: str) -> Iterator[Cause]:
    if kind == "array" and schema.get("items") is None:
        yield required(f"{path}.items", "must be specified")
    list_type, keys = schema.get("x-kubernetes-list-type"), schema.get("x-kubernetes-list-map-keys") or []
    if list_type is None:
        if keys:
            yield required(f"{path}.x-kubernetes-list-type", "must be map if x-kubernetes-list-map-keys is non-empty")
        return
    if list_type not in _LIST_TYPES:
        yield not_supported(f"{path}.x-kubernetes-list-type", list_type, _LIST_TYPES)
    if kind != "array":
        yield invalid_value(f"{path}.type", kind, "must be array if x-kubernetes-list-type is specified")
    if list_type == "map" and not keys:
        detail = "must not be empty if x-kubernetes-list-type is map"
        yield required(f"{path}.x-kubernetes-list-map-keys", detail)
