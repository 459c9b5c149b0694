"""The name that a pod template gets: a stable hash in the alphabet of generated names."""

from __future__ import annotations

import json

from machinery.api.resource import Object

_ALPHABET = "bcdfghjklmnpqrstvwxz2456789"


def template_hash(template: Object, collisions: int | None) -> str:
    """FNV-1a (32 bits) of the template's sorted JSON and the collision count, its decimal digits spelled safely."""
    text = json.dumps(template, sort_keys=True, separators=(",", ":"))
    value = 2166136261
    for byte in f"{text}{'' if collisions is None else collisions}".encode():
        value = (value ^ byte) * 16777619 & 0xFFFFFFFF
    return "".join(_ALPHABET[ord(digit) % len(_ALPHABET)] for digit in str(value))


def same_template(one: Object, other: Object) -> bool:
    """Whether two templates are the same but for the hash label that the controller adds."""
    return _without_hash(one) == _without_hash(other)


def _without_hash(template: Object) -> Object:
    metadata = dict(template.get("metadata") or {})
    labels = {k: v for k, v in (metadata.pop("labels", None) or {}).items() if k != "pod-template-hash"}
    metadata.pop("creationTimestamp", None)
    return {"metadata": metadata, "labels": labels, "spec": template.get("spec")}
