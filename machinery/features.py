"""Feature gates: what upstream's v1.36 has, off by default, and can be turned on here by its name there.

`--feature-gates MaxUnavailableStatefulSet=true`, as kube-apiserver and kube-controller-manager take it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

MAX_UNAVAILABLE_STATEFUL_SET = "MaxUnavailableStatefulSet"
"""A StatefulSet's `maxUnavailable` is heeded (KEP-961)."""

HPA_SCALE_TO_ZERO = "HPAScaleToZero"
"""An autoscaler's `minReplicas` may be 0 where an Object or External metric says when to come back (KEP-2021)."""

FEATURES: Mapping[str, bool] = {HPA_SCALE_TO_ZERO: False, MAX_UNAVAILABLE_STATEFUL_SET: False}
"""All that are known, with what they are by default."""
_VALUES = {"1": True, "t": True, "true": True, "0": False, "f": False, "false": False}


def features(said: Iterable[str]) -> dict[str, bool]:
    """Every feature, those of `said` (`Name=true`) as it says; raises ValueError, in upstream's words."""
    found = dict(FEATURES)
    for each in said:
        name, has_value, value = (part.strip() for part in each.partition("="))
        if not has_value:
            raise ValueError(f"missing bool value for {name}")
        if name not in FEATURES:
            raise ValueError(f"unrecognized feature gate: {name}")
        if value.lower() not in _VALUES:
            raise ValueError(f"invalid value of {name}={value}: it is neither true nor false")
        found[name] = _VALUES[value.lower()]
    return found
