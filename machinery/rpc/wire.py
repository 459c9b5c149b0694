"""Message classes and service methods made at run time from wire facts (`data/*.json`): no generated code.

A description has `messages` (name -> field number -> [name, type, "repeated"?, "oneof X"?]), `enums`
(name -> value name -> number) and `services` (name -> method -> [request, response], "stream X" where it streams).
Each description has a descriptor pool of its own, so that two of them may carry the same names.
"""

from __future__ import annotations

import json
from functools import cache, cached_property
from importlib.resources import files
from types import SimpleNamespace
from typing import Any

from google.protobuf import (
    any_pb2,
    descriptor_pb2,
    descriptor_pool,
    empty_pb2,
    field_mask_pb2,
    message_factory,
    timestamp_pb2,
)

_SCALARS = {
    "double": 1, "float": 2, "int64": 3, "uint64": 4, "int32": 5, "bool": 8, "string": 9, "bytes": 12, "uint32": 13,
}  # fmt: skip
_ENUM, _MESSAGE, _REPEATED, _OPTIONAL = 14, 11, 3, 1
_WELL_KNOWN = {
    "google.protobuf.Any": any_pb2,
    "google.protobuf.Empty": empty_pb2,
    "google.protobuf.Timestamp": timestamp_pb2,
    "google.protobuf.FieldMask": field_mask_pb2,
}


class Wire:
    """The messages, enums and services of one description."""

    def __init__(self, name: str) -> None:
        self._name = name

    @cached_property
    def _facts(self) -> dict[str, Any]:
        facts: dict[str, Any] = json.loads((files("machinery.rpc") / "data" / f"{self._name}.json").read_bytes())
        return facts

    @cached_property
    def _pool(self) -> descriptor_pool.DescriptorPool:
        pool = descriptor_pool.DescriptorPool()
        for module in _WELL_KNOWN.values():
            pool.AddSerializedFile(module.DESCRIPTOR.serialized_pb)
        pool.AddSerializedFile(_file(self._name, self._facts).SerializeToString())
        return pool

    @cache  # noqa: B019 - one Wire a description lives as long as the process
    def message(self, name: str) -> Any:
        """The class of the message `name`, with its package: `runtime.v1.VersionRequest`."""
        return message_factory.GetMessageClass(self._pool.FindMessageTypeByName(_flat(name)))

    def enum(self, name: str) -> dict[str, int]:
        values: dict[str, int] = self._facts["enums"][name]
        return values

    def enum_name(self, name: str, number: int) -> str:
        """The value's name; an unknown number, as a newer peer may send, is its decimal text."""
        return next((key for key, value in self.enum(name).items() if value == number), str(number))

    def stub(self, channel: Any, service: str) -> Any:
        """An object with one grpc.aio callable an RPC of `service`."""
        calls = SimpleNamespace()
        for method, (request, response) in self._facts["services"][service].items():
            shape = f"{_shape(request)}_{_shape(response)}"
            call = getattr(channel, shape)(
                f"/{service}/{method}",
                request_serializer=self._late_serializer(),
                response_deserializer=self._late_parser(response.removeprefix("stream ")),
            )
            setattr(calls, method, call)
        return calls

    def handler(self, service: str, servicer: Any) -> Any:
        """A generic handler of grpc.aio that answers with `servicer`'s methods; those it lacks are Unimplemented."""
        import grpc

        handlers = {}
        for method, (request, response) in self._facts["services"][service].items():
            behaviour = getattr(servicer, method, None)
            if behaviour is None:
                continue
            make = getattr(grpc, f"{_shape(request)}_{_shape(response)}_rpc_method_handler")
            handlers[method] = make(
                behaviour,
                request_deserializer=self._late_parser(request.removeprefix("stream ")),
                response_serializer=self._late_serializer(),
            )
        return grpc.method_handlers_generic_handler(service, handlers)

    def _late_parser(self, name: str) -> Any:
        return lambda data: self.message(name).FromString(data)

    def _late_serializer(self) -> Any:
        return lambda message: message.SerializeToString()


def _shape(message: str) -> str:
    return "stream" if message.startswith("stream ") else "unary"


def _flat(name: str) -> str:
    """The name as declared: without packages, since the wire does not show them and descriptions cross them."""
    return name if name in _WELL_KNOWN else name.replace(".", "_")


def _file(name: str, facts: dict[str, Any]) -> descriptor_pb2.FileDescriptorProto:
    proto = descriptor_pb2.FileDescriptorProto(name=f"{name}.proto", syntax="proto3")
    proto.dependency.extend(module.DESCRIPTOR.name for module in _WELL_KNOWN.values())
    for enum_name, values in facts.get("enums", {}).items():
        _add_enum(proto, enum_name, values)
    for message_name, fields in facts["messages"].items():
        _add_message(proto, message_name, fields, facts)
    return proto


def _add_enum(proto: descriptor_pb2.FileDescriptorProto, name: str, values: dict[str, int]) -> None:
    flat = _flat(name)
    enum = proto.enum_type.add(name=flat)
    enum.options.allow_alias = len(set(values.values())) < len(values)
    for value, number in sorted(values.items(), key=lambda item: item[1]):
        # Value names are scoped by file, not by enum, so they carry the enum's name.
        enum.value.add(name=f"{flat}_{value}", number=number)


def _add_message(
    proto: descriptor_pb2.FileDescriptorProto, name: str, fields: dict[str, list[str]], facts: dict[str, Any]
) -> None:
    message = proto.message_type.add(name=_flat(name))
    oneofs: dict[str, int] = {}
    for number, (field_name, kind, *marks) in fields.items():
        field = message.field.add(name=field_name, number=int(number), label=_OPTIONAL)
        if kind.startswith("map<"):
            _make_map(message, field, kind, facts)
            continue
        _set_type(field, kind, facts)
        for mark in marks:
            if mark == "repeated":
                field.label = _REPEATED
            elif mark.startswith("oneof "):
                oneof = mark.removeprefix("oneof ")
                if oneof not in oneofs:
                    oneofs[oneof] = len(oneofs)
                    message.oneof_decl.add(name=oneof)
                field.oneof_index = oneofs[oneof]


def _set_type(field: descriptor_pb2.FieldDescriptorProto, kind: str, facts: dict[str, Any]) -> None:
    if kind in _SCALARS:
        field.type = _SCALARS[kind]
        return
    field.type = _ENUM if kind in facts.get("enums", {}) else _MESSAGE
    field.type_name = f".{_flat(kind)}"


def _make_map(
    message: descriptor_pb2.DescriptorProto,
    field: descriptor_pb2.FieldDescriptorProto,
    kind: str,
    facts: dict[str, Any],
) -> None:
    """A map is a repeated nested message with `map_entry`, whose name protobuf derives from the field's."""
    key, _, value = kind.removeprefix("map<").removesuffix(">").partition(",")
    name = "".join(part[:1].upper() + part[1:] for part in field.name.split("_")) + "Entry"
    entry = message.nested_type.add(name=name)
    entry.options.map_entry = True
    _set_type(entry.field.add(name="key", number=1, label=_OPTIONAL), key, facts)
    _set_type(entry.field.add(name="value", number=2, label=_OPTIONAL), value.strip(), facts)
    field.label = _REPEATED
    field.type = _MESSAGE
    field.type_name = f".{message.name}.{name}"


CRI = Wire("cri")
ETCD = Wire("etcd")
CONTAINERD = Wire("containerd")
CGROUP_METRICS = Wire("cgroup-metrics")
OPENAPI_V2 = Wire("openapi-v2")
