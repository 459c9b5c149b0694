"""The Swagger document in protobuf: the only form in which kubectl asks for version 2."""

from __future__ import annotations

from functools import cache
from typing import Any

import orjson

from machinery.api.resource import Object

_PREFIX = "openapi.v2."
_PLAIN = ("description", "format", "title", "pattern", "required")
_METHODS = ("get", "put", "post", "delete", "patch")


def encode(document: Object) -> bytes:
    """The wire form of a Swagger document as `openapi.v2_document` makes it."""
    message = _new(
        "Document",
        swagger=document["swagger"],
        info=_new("Info", **document["info"]),
        paths=_new(
            "Paths", path=[_named("NamedPathItem", name, _path(item)) for name, item in document["paths"].items()]
        ),
        definitions=_new(
            "Definitions",
            additional_properties=[
                _named("NamedSchema", name, _schema(raw)) for name, raw in document["definitions"].items()
            ],
        ),
        security=[_security(requirement) for requirement in document["security"]],
        security_definitions=_security_definitions(document["securityDefinitions"]),
    )
    encoded: bytes = message.SerializeToString()
    return encoded


@cache
def _class(name: str) -> Any:
    return _wire().message(_PREFIX + name)


@cache
def _wire() -> Any:
    from machinery.rpc.wire import Wire

    return Wire("openapi-v2")


def _new(message: str, /, **fields: Any) -> Any:
    return _class(message)(**fields)


def _named(kind: str, name: str, value: Any) -> Any:
    return _new(kind, name=name, value=value)


def _any(value: Any) -> Any:
    # JSON is YAML, so it needs no writer of its own.
    return _new("Any", yaml=orjson.dumps(value).decode())


def _extensions(raw: Object) -> list[Any]:
    return [_named("NamedAny", key, _any(value)) for key, value in raw.items() if key.startswith("x-")]


def _schema(raw: Object) -> Any:
    fields: dict[str, Any] = {key: raw[key] for key in _PLAIN if key in raw}
    if "$ref" in raw:
        fields["_ref"] = raw["$ref"]
    if "type" in raw:
        fields["type"] = _new("TypeItem", value=[raw["type"]])
    if "default" in raw:
        fields["default"] = _any(raw["default"])
    if "items" in raw:
        fields["items"] = _new("ItemsItem", schema=[_schema(raw["items"])])
    if "properties" in raw:
        properties = [_named("NamedSchema", name, _schema(child)) for name, child in raw["properties"].items()]
        fields["properties"] = _new("Properties", additional_properties=properties)
    values = raw.get("additionalProperties")
    if isinstance(values, dict):
        fields["additional_properties"] = _new("AdditionalPropertiesItem", schema=_schema(values))
    elif isinstance(values, bool):
        fields["additional_properties"] = _new("AdditionalPropertiesItem", boolean=values)
    return _new("Schema", **fields, vendor_extension=_extensions(raw))


def _path(item: Object) -> Any:
    operations = {method: _operation(item[method]) for method in _METHODS if method in item}
    return _new("PathItem", **operations, parameters=[_parameter(one) for one in item["parameters"]])


def _operation(raw: Object) -> Any:
    return _new(
        "Operation",
        tags=raw["tags"],
        description=raw["description"],
        operation_id=raw["operationId"],
        consumes=raw["consumes"],
        produces=raw["produces"],
        schemes=raw["schemes"],
        parameters=[_parameter(one) for one in raw["parameters"]],
        responses=_new("Responses", response_code=[_response(code, one) for code, one in raw["responses"].items()]),
        vendor_extension=_extensions(raw),
    )


def _parameter(raw: Object) -> Any:
    where = raw["in"]
    fields: dict[str, Any] = {key: raw[key] for key in ("name", "description", "required", "type", "in") if key in raw}
    if where == "body":
        parameter = _new("Parameter", body_parameter=_new("BodyParameter", **fields, schema=_schema(raw["schema"])))
    else:
        fields["unique_items"] = raw.get("uniqueItems", False)
        kind = _new(f"{where.capitalize()}ParameterSubSchema", **fields)
        plain = _new("NonBodyParameter", **{f"{where}_parameter_sub_schema": kind})
        parameter = _new("Parameter", non_body_parameter=plain)
    return _new("ParametersItem", parameter=parameter)


def _response(code: str, raw: Object) -> Any:
    fields = {"description": raw["description"]}
    if "schema" in raw:
        fields["schema"] = _new("SchemaItem", schema=_schema(raw["schema"]))
    return _named("NamedResponseValue", code, _new("ResponseValue", response=_new("Response", **fields)))


def _security(requirement: Object) -> Any:
    schemes = [
        _named("NamedStringArray", name, _new("StringArray", value=scopes)) for name, scopes in requirement.items()
    ]
    return _new("SecurityRequirement", additional_properties=schemes)


def _security_definitions(raw: Object) -> Any:
    found = [
        _named(
            "NamedSecurityDefinitionsItem",
            name,
            _new("SecurityDefinitionsItem", api_key_security=_new("ApiKeySecurity", **one)),
        )
        for name, one in raw.items()
    ]
    return _new("SecurityDefinitions", additional_properties=found)
