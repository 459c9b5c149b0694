"""OpenAPI documents: version 3 by group version, which kubectl applies and explains by, and version 2 as a whole.

They are made from the rows of the API and the committed definitions, at the first request; nothing is kept here.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from functools import cache
from typing import Any

import orjson

from machinery.api import schema
from machinery.api.messages import META, message_of
from machinery.api.openapi_paths import BODY_MEDIA, LIST_MEDIA, PATCH_MEDIA, QUERY, Operation, Path, paths
from machinery.api.resource import Object, Resource
from machinery.api.resources import RESOURCES
from machinery.api.schema import definition_name

VERSION = "v1.36.2"
_V3_REF, _V2_REF = "#/components/schemas/", "#/definitions/"
_SECURITY = {"BearerToken": {"type": "apiKey", "description": "Bearer Token authentication", "name": "authorization",
                             "in": "header"}}  # fmt: skip
_PATH_PARAMETERS = {"name": "name of the object", "namespace": "object name and auth scope, such as for teams"}
_EVERYWHERE = ("APIResourceList", "Status", "DeleteOptions", "Patch")
_INT_OR_STRING = "io.k8s.apimachinery.pkg.util.intstr.IntOrString"
_QUANTITY = "io.k8s.apimachinery.pkg.api.resource.Quantity"


def v3_index(resources: Iterable[Resource]) -> Object:
    """`/openapi/v3`: where each group version's document stands, with a hash that changes when it does."""
    served = dict.fromkeys((row.group, row.version) for row in resources)
    found = {}
    for group, version in served:
        path = f"apis/{group}/{version}" if group else f"api/{version}"
        found[path] = {"serverRelativeURL": f"/openapi/v3/{path}?hash={document_hash(group, version)}"}
    return {"paths": dict(sorted(found.items()))}


def document_hash(group: str, version: str) -> str:
    """Names the content of a group version's document without making it: it follows from the data and the rows."""
    rows = repr([row for row in RESOURCES if (row.group, row.version) == (group, version)])
    return hashlib.sha512(_data_digest() + rows.encode()).hexdigest().upper()


def v3_document(group: str, version: str) -> bytes:
    """The document of one group version of built-in kinds, as JSON."""
    rows = [row for row in RESOURCES if (row.group, row.version) == (group, version)]
    served = [path for row in rows for path in paths(row)]
    roots = {definition_name(META + kind) for kind in _EVERYWHERE}
    for row in rows:
        for kind in (row.kind, row.list_kind):
            if message := message_of(group, version, kind):
                roots.add(definition_name(message))
    roots |= _used(served)
    said = schema.descriptions_text()
    schemas = {name: _definition(name, _V3_REF, said) for name in sorted(_reach(roots))}
    return orjson.dumps(_v3(served, schemas, group, version))


def custom_document(group: str, version: str, kinds: Sequence[tuple[Resource, Object]]) -> bytes:
    """The document of one group version of custom resources, each with its `openAPIV3Schema`."""
    served = [path for row, _ in kinds for path in paths(row)]
    metas = ("ObjectMeta", "ListMeta", *_EVERYWHERE)
    said = schema.descriptions_text()
    schemas = {
        name: _definition(name, _V3_REF, said)
        for name in sorted(_reach({definition_name(META + kind) for kind in metas}))
    }
    for row, structure in kinds:
        prefix = ".".join([*reversed(group.split(".")), version])
        schemas[f"{prefix}.{row.kind}"] = _custom(row, structure)
        schemas[f"{prefix}.{row.list_kind}"] = _custom_list(row, f"{prefix}.{row.kind}")
    return orjson.dumps(_v3(served, schemas, group, version))


def v2_document() -> Object:
    """The Swagger document of all built-in kinds."""
    served = [path for row in RESOURCES for path in paths(row)]
    said = schema.descriptions_text()
    return {
        "swagger": "2.0",
        "info": {"title": "Kubernetes", "version": VERSION},
        "paths": {path.url: _v2_path(path) for path in served},
        "definitions": {name: _definition(name, _V2_REF, said) for name in schema.names()},
        "securityDefinitions": _SECURITY,
        "security": [{"BearerToken": []}],
    }


def v2_protobuf() -> bytes:
    """The Swagger document in the protobuf form that kubectl asks for."""
    from machinery.api.openapi_wire import encode

    return encode(v2_document())


def _v3(served: list[Path], schemas: Object, group: str, version: str) -> Object:
    return {
        "openapi": "3.0.0",
        "info": {"title": "Kubernetes", "version": VERSION},
        "paths": {path.url: _v3_path(path, group, version) for path in served},
        "components": {"schemas": schemas, "securitySchemes": _SECURITY},
    }


@cache
def _data_digest() -> bytes:
    return hashlib.sha512(schema.data_bytes()).digest()


def _used(served: list[Path]) -> set[str]:
    """Definitions that operations name, as far as they are built in."""
    found = {name for path in served for one in path.operations for name in (one.body, one.answer) if name}
    return found & set(schema.names())


def _reach(names: set[str]) -> set[str]:
    seen: set[str] = set()
    waiting = set(names)
    while waiting:
        name = waiting.pop()
        seen.add(name)
        waiting |= _references(schema.structure(name)) - seen
    return seen


def _references(raw: Any) -> set[str]:
    if not isinstance(raw, dict):
        return set()
    own = {raw["$ref"]} if isinstance(raw.get("$ref"), str) else set()
    return own.union(*(_references(child) for child in raw.values()))


def _definition(name: str, prefix: str, said: bytes) -> Object:
    raw, texts = schema.structure(name), schema.descriptions_in(said, name)
    out = {**raw, **({"description": texts[""]} if "" in texts else {})}
    if prefix == _V3_REF and name == _INT_OR_STRING:
        out["oneOf"] = [{"type": "integer"}, {"type": "string"}]
        del out["type"]
    elif prefix == _V3_REF and name == _QUANTITY:
        out["oneOf"] = [{"type": "string"}, {"type": "number"}]
        del out["type"]
    if "properties" in raw:
        out["properties"] = {
            field: _referring({**child, **({"description": texts[field]} if field in texts else {})}, prefix)
            for field, child in raw["properties"].items()
        }
    return _referring(out, prefix) if "properties" not in raw else out


def _referring(raw: Object, prefix: str) -> Object:
    """The schema with full references. In version 3 nothing may stand beside one, so it is wrapped."""
    out = {key: value for key, value in raw.items() if key != "$ref"}
    for key in ("items", "additionalProperties"):
        if isinstance(out.get(key), dict):
            out[key] = _referring(out[key], prefix)
    if "$ref" not in raw:
        return out
    reference = {"$ref": prefix + raw["$ref"]}
    return {**out, "allOf": [reference]} if out and prefix == _V3_REF else {**out, **reference}


def _kind_extension(kind: tuple[str, str, str]) -> Object:
    return dict(zip(("group", "version", "kind"), kind, strict=True))


def _tag(group: str, version: str) -> str:
    return f"{group.removesuffix('.k8s.io').replace('.', '') or 'core'}_{version}"


def _described(operation: Operation) -> Object:
    group, version, _ = operation.kind
    return {
        "tags": [_tag(group, version)],
        "description": operation.description,
        "operationId": operation.id,
        "x-kubernetes-action": operation.action,
        "x-kubernetes-group-version-kind": _kind_extension(operation.kind),
    }


def _v3_path(path: Path, group: str, version: str) -> Object:
    item: Object = {one.method: _v3_operation(one) for one in path.operations}
    item["parameters"] = [
        {"name": name, "in": "path", "description": _PATH_PARAMETERS[name], "required": True,
         "schema": {"type": "string", "uniqueItems": True}}
        for name in path.parameters
    ]  # fmt: skip
    return item


def _v3_operation(operation: Operation) -> Object:
    out = _described(operation)
    out["parameters"] = [
        {"name": name, "in": "query", "description": QUERY[name][1],
         "schema": {"type": QUERY[name][0], "uniqueItems": True}}
        for name in operation.query
    ]  # fmt: skip
    if operation.body:
        accepted = PATCH_MEDIA if operation.method == "patch" else ("*/*",)
        body = {"schema": {"$ref": _V3_REF + operation.body}}
        out["requestBody"] = {"content": dict.fromkeys(accepted, body), "required": operation.method != "delete"}
    answer = {"$ref": _V3_REF + operation.answer} if operation.answer else {"type": "string"}
    media = LIST_MEDIA if operation.is_list else BODY_MEDIA if operation.answer else ("*/*",)
    content = dict.fromkeys(media, {"schema": answer})
    out["responses"] = {code: {"description": _said(code), "content": content} for code in operation.codes}
    out["responses"]["401"] = {"description": "Unauthorized"}
    return out


def _v2_path(path: Path) -> Object:
    item: Object = {one.method: _v2_operation(one) for one in path.operations}
    item["parameters"] = [
        {"name": name, "in": "path", "description": _PATH_PARAMETERS[name], "required": True, "type": "string",
         "uniqueItems": True}
        for name in path.parameters
    ]  # fmt: skip
    return item


def _v2_operation(operation: Operation) -> Object:
    out = _described(operation)
    out["consumes"] = list(PATCH_MEDIA) if operation.method == "patch" else ["*/*"]
    out["produces"] = list(LIST_MEDIA if operation.is_list else BODY_MEDIA if operation.answer else ("*/*",))
    out["schemes"] = ["https"]
    out["parameters"] = [
        {"name": name, "in": "query", "description": QUERY[name][1], "type": QUERY[name][0], "uniqueItems": True}
        for name in operation.query
    ]
    if operation.body:
        body = {"name": "body", "in": "body", "schema": {"$ref": _V2_REF + operation.body}}
        out["parameters"].append({**body, **({"required": True} if operation.method != "delete" else {})})
    answer = {"$ref": _V2_REF + operation.answer} if operation.answer else {"type": "string"}
    out["responses"] = {code: {"description": _said(code), "schema": answer} for code in operation.codes}
    out["responses"]["401"] = {"description": "Unauthorized"}
    return out


def _said(code: str) -> str:
    return {"200": "OK", "201": "Created", "202": "Accepted"}[code]


def _custom(row: Resource, structure: Object) -> Object:
    properties = {
        **_type_meta(),
        **structure.get("properties", {}),
        "metadata": {"allOf": [{"$ref": _V3_REF + definition_name(META + "ObjectMeta")}]},
    }
    return {
        **structure,
        "type": "object",
        "properties": properties,
        "x-kubernetes-group-version-kind": [_kind_extension((row.group, row.version, row.kind))],
    }


def _custom_list(row: Resource, item: str) -> Object:
    return {
        "description": f"{row.list_kind} is a list of {row.kind}",
        "type": "object",
        "required": ["items"],
        "properties": {
            **_type_meta(),
            "metadata": {"allOf": [{"$ref": _V3_REF + definition_name(META + "ListMeta")}]},
            "items": {"type": "array", "items": {"$ref": _V3_REF + item}},
        },
        "x-kubernetes-group-version-kind": [_kind_extension((row.group, row.version, row.list_kind))],
    }


def _type_meta() -> Object:
    texts = schema.descriptions(definition_name(META + "Status"))
    return {name: {"type": "string", "description": texts[name]} for name in ("apiVersion", "kind")}
