"""The table of upstream's internal types has all fields of the API's, by the kinds that those have."""

from __future__ import annotations

import json
from importlib.resources import files
from typing import Any

import pytest

from apiserver.rules.pods.internal_types import _structs, internal

CORE = "k8s.io.api.core.v1."
OF_THE_HOST = {"hostNetwork", "hostPID", "hostIPC", "shareProcessNamespace", "hostUsers"}
"""In the security context of the internal type, in the spec of the API's."""
NOT_INTERNAL = {"PodSpec": {*OF_THE_HOST, "serviceAccount"}}
INLINED = ("volumeSource", "localObjectReference", "handler", "ephemeralContainerCommon")
KINDS = {
    "scalar": ("", "#", "?"),
    # A token's lifetime has a default, so it is a plain number inside.
    "pointer": ("*", "#"),
    "list": ("[]",),
    "map": ("{}",),
    "struct": (":", "+"),
    "quantity": ("$",),
    "intOrString": ("#",),
}


def data(name: str) -> Any:
    return json.loads((files("machinery.api") / "data" / name).read_text())


MESSAGES, GO = data("protobuf-fields.json"), data("go-fields.json")["fields"]


def fields(message: str) -> dict[str, str]:
    """The type of each field on the wire, also of those that Go embeds."""
    found: dict[str, str] = {}
    for name, kind, *_ in MESSAGES[message].values():
        found |= fields(kind) if name in INLINED and name not in GO[message] else {name: kind}
    return found


ROOTS = ("PodSpec", "PersistentVolumeSource", "EphemeralContainer", "VolumeNodeAffinity", "PersistentVolumeClaimSpec")


@pytest.mark.parametrize("root", ROOTS)
def test_fields(root: str) -> None:
    waiting, seen = [(root, f"{CORE}{root}")], set()
    while waiting:
        struct, message = waiting.pop()
        if (struct, message) in seen:
            continue
        seen.add((struct, message))
        known, told = fields(message), {field.key: field for field in _structs()[struct]}
        assert told.keys() - OF_THE_HOST == known.keys() - NOT_INTERNAL.get(struct, set()), struct
        for key, field in told.items():
            if key in known:
                assert field.kind in KINDS[GO[message][key][0]], f"{struct}.{field.name} {GO[message][key]}"
                if field.struct:
                    waiting.append((field.struct, known[key]))


def test_what_is_unset_is_shown_and_metadata_is_written_into_what_embeds_it() -> None:
    template = {"metadata": {"labels": {"b": "1", "a": "2"}}, "spec": {"accessModes": ["ReadWriteOnce"]}}
    shown = internal("Volume", {"name": "v", "ephemeral": {"volumeClaimTemplate": template}})
    assert shown["Name"] == "v"
    assert shown["ISCSI"] is None
    claim = shown["Ephemeral"]["VolumeClaimTemplate"]
    assert list(claim["labels"].items()) == [("a", "2"), ("b", "1")]
    assert claim["Spec"]["AccessModes"] == ["ReadWriteOnce"]
    assert claim["Spec"]["Resources"] == {"Limits": None, "Requests": None}
