"""What upstream refuses in probes and lifecycle hooks (core/v1)."""

from __future__ import annotations

from collections.abc import Iterator

from apiserver.rules.field_errors import all_of, forbidden, invalid_value, not_negative, not_supported, required
from apiserver.rules.pods.port_rules import target_port_errors
from apiserver.rules.pods.surroundings import Surroundings
from machinery.api import names
from machinery.api.errors import Cause
from machinery.api.resource import Object

PROBES = ("livenessProbe", "readinessProbe", "startupProbe")
_SCHEMES = ("HTTP", "HTTPS")
_COUNTS = ("initialDelaySeconds", "timeoutSeconds", "periodSeconds", "successThreshold", "failureThreshold")


def probe_errors(container: Object, path: str, around: Surroundings) -> Iterator[Cause]:
    """Of the three probes and the hooks, in the order in which upstream looks at them."""
    if (lifecycle := container.get("lifecycle")) is not None:
        for hook in ("postStart", "preStop"):
            if lifecycle.get(hook) is not None:
                yield from _handler_errors(lifecycle[hook], f"{path}.lifecycle.{hook}", _IN_HOOKS, around)
    for kind in PROBES:
        if container.get(kind) is not None:
            yield from _one_probe_errors(container[kind], f"{path}.{kind}", kind, around)


def _one_probe_errors(probe: Object, path: str, kind: str, around: Surroundings) -> Iterator[Cause]:
    yield from _handler_errors(probe, path, _IN_PROBES, around)
    for field in _COUNTS:
        if probe.get(field, 0) < 0:
            yield from not_negative(f"{path}.{field}", probe[field])
    grace = probe.get("terminationGracePeriodSeconds")
    if grace is not None and grace <= 0:
        yield invalid_value(f"{path}.terminationGracePeriodSeconds", grace, "must be greater than 0")
    if kind == "readinessProbe":
        if grace is not None:
            detail = "must not be set for readinessProbes"
            yield invalid_value(f"{path}.terminationGracePeriodSeconds", grace, detail)
    elif probe.get("successThreshold") != 1:
        yield invalid_value(f"{path}.successThreshold", probe.get("successThreshold") or 0, "must be 1")


def _handler_errors(handler: Object, path: str, kinds: tuple[str, ...], around: Surroundings) -> Iterator[Cause]:
    is_chosen = False
    for kind in kinds:
        action = handler.get(kind)
        if action is None:
            continue
        if is_chosen:
            yield forbidden(f"{path}.{kind}", "may not specify more than 1 handler type")
        else:
            yield from _ACTIONS[kind](action, f"{path}.{kind}", around)
        is_chosen = True
    if not is_chosen:
        yield required(path, "must specify a handler type")


def _exec_errors(action: Object, path: str, around: Surroundings) -> Iterator[Cause]:
    if not action.get("command"):
        yield required(f"{path}.command")


def _http_errors(action: Object, path: str, around: Surroundings) -> Iterator[Cause]:
    if not action.get("path"):
        yield required(f"{path}.path")
    yield from target_port_errors(action.get("port"), f"{path}.port")
    scheme = action.get("scheme") or ""
    if scheme not in _SCHEMES:
        yield not_supported(f"{path}.scheme", scheme, _SCHEMES)
    for header in action.get("httpHeaders") or ():
        name = header.get("name") or ""
        yield from all_of(f"{path}.httpHeaders", name, names.http_header_name(name))


def _port_errors(action: Object, path: str, around: Surroundings) -> Iterator[Cause]:
    return target_port_errors(action.get("port"), f"{path}.port")


def _sleep_errors(action: Object, path: str, around: Surroundings) -> Iterator[Cause]:
    seconds, grace = action.get("seconds") or 0, around.grace_period
    if grace is not None and not 0 <= seconds <= grace:
        detail = f"must be non-negative and less than terminationGracePeriodSeconds ({grace})"
        yield invalid_value(path, seconds, detail)


_ACTIONS = {
    "exec": _exec_errors,
    "httpGet": _http_errors,
    "tcpSocket": _port_errors,
    "grpc": _port_errors,
    "sleep": _sleep_errors,
}
_IN_PROBES = ("exec", "httpGet", "tcpSocket", "grpc")
_IN_HOOKS = ("exec", "httpGet", "tcpSocket", "sleep")


def refused_init_fields(container: Object, path: str) -> Iterator[Cause]:
    """What only runs beside others can have, so an init container that ends can't."""
    for field in ("lifecycle", *PROBES):
        if container.get(field) is not None:
            yield forbidden(f"{path}.{field}", "may not be set for init containers without restartPolicy=Always")
