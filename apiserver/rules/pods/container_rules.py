"""What upstream refuses in containers, each kind of them by its own list of rules (core/v1)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from apiserver.rules.field_errors import (
    all_of,
    choice,
    duplicate,
    forbidden,
    invalid_value,
    missing,
    not_supported,
    required,
    too_many,
)
from apiserver.rules.pods.environment_rules import environment_errors, environment_source_errors
from apiserver.rules.pods.mount_rules import mount_errors
from apiserver.rules.pods.port_rules import host_port_conflicts, port_errors
from apiserver.rules.pods.probe_rules import PROBES, probe_errors, refused_init_fields
from apiserver.rules.pods.resource_rules import resize_policy_errors, resource_errors
from apiserver.rules.pods.security_rules import container_security_errors
from apiserver.rules.pods.surroundings import Surroundings
from apiserver.rules.pods.volume_rules import PULL_POLICIES
from machinery.api import names
from machinery.api.errors import Cause
from machinery.api.resource import Object

_MESSAGES = ("File", "FallbackToLogsOnError")
_RESTARTS = ("Always", "Never", "OnFailure")
_ACTIONS = ("Restart", "RestartAllContainers")
_OPERATORS = ("In", "NotIn")
_MOST_RULES, _MOST_EXIT_CODES = 20, 255


def containers_errors(containers: list[Object], path: str, around: Surroundings) -> Iterator[Cause]:
    if not containers:
        yield required(path)
    seen: set[str] = set()
    for index, container in enumerate(containers):
        where, name = f"{path}[{index}]", container.get("name") or ""
        yield from _common_errors(container, where, around)
        if name in seen:
            yield duplicate(f"{where}.name", name)
        seen.add(name)
        yield from probe_errors(container, where, around)
        yield from _restart_errors(container, where)
    yield from host_port_conflicts(containers, path)


def init_containers_errors(
    containers: list[Object], path: str, around: Surroundings, regular: list[Object]
) -> Iterator[Cause]:
    """Of init containers, of which those that always restart run beside the `regular` ones."""
    seen = {container.get("name") or "" for container in regular}
    for index, container in enumerate(containers):
        where, name = f"{path}[{index}]", container.get("name") or ""
        yield from _common_errors(container, where, around)
        yield from _restart_errors(container, where)
        if name in seen:
            yield duplicate(f"{where}.name", name)
        elif name:
            seen.add(name)
        # They run one after the other, so each is judged alone, and upstream calls it the first one.
        yield from host_port_conflicts([container], path)
        if container.get("restartPolicy") == "Always":
            yield from probe_errors(container, where, around)
            continue
        yield from refused_init_fields(container, where)
        for at, entry in enumerate(container.get("resizePolicy") or ()):
            if entry.get("restartPolicy") == "RestartContainer":
                detail = "must not be set to 'RestartContainer' for non-sidecar initContainers"
                yield invalid_value(f"{where}.resizePolicy[{at}].restartPolicy", "RestartContainer", detail)


_NOT_OF_EPHEMERAL = (
    "ports", "resources", "resizePolicy", "restartPolicy", "restartPolicyRules", *PROBES, "lifecycle",
)  # fmt: skip
_REFUSED = "cannot be set for an Ephemeral Container"


def ephemeral_containers_errors(
    containers: list[Object], path: str, around: Surroundings, others: list[Object]
) -> Iterator[Cause]:
    """Of containers that are put into a running pod; `others` are all that it had from the start."""
    targets = {container.get("name") or "" for container in others}
    seen = set(targets)
    for index, container in enumerate(containers):
        where, name = f"{path}[{index}]", container.get("name") or ""
        yield from _common_errors(container, where, around)
        yield from image_errors(container, where)
        if name in seen:
            yield duplicate(f"{where}.name", name)
        seen.add(name)
        if (target := container.get("targetContainerName")) and target not in targets:
            yield missing(f"{where}.targetContainerName", target)
        for field in _NOT_OF_EPHEMERAL:
            value = container.get(field)
            if value or (value is not None and field == "lifecycle"):
                yield forbidden(f"{where}.{field}", _REFUSED)
        for at, mount in enumerate(container.get("volumeMounts") or ()):
            for field in ("subPath", "subPathExpr"):
                if mount.get(field):
                    yield forbidden(f"{where}.volumeMounts[{at}].{field}", _REFUSED)


def image_errors(container: Object, path: str) -> Iterator[Cause]:
    """What is refused in a pod's image; templates may hold it, for something else to replace it."""
    image = container.get("image") or ""
    if image != image.strip():
        yield invalid_value(f"{path}.image", image, "must not have leading or trailing whitespace")


def _common_errors(container: Object, path: str, around: Surroundings) -> Iterator[Cause]:
    name = container.get("name") or ""
    if complaints := names.dns_label(name):
        yield from all_of(f"{path}.name", name, complaints) if name else [required(f"{path}.name")]
    if not container.get("image"):
        yield required(f"{path}.image")
    if container.get("terminationMessagePolicy") not in _MESSAGES:
        yield from choice(f"{path}.terminationMessagePolicy", container.get("terminationMessagePolicy"), _MESSAGES)
    for field, errors in _BEFORE_MOUNTS:
        if value := container.get(field):
            yield from errors(value, f"{path}.{field}", around)
    yield from mount_errors(container, path, around.volumes)
    if container.get("imagePullPolicy") not in PULL_POLICIES:
        yield from choice(f"{path}.imagePullPolicy", container.get("imagePullPolicy"), PULL_POLICIES)
    for field, errors in _AFTER_MOUNTS:
        if value := container.get(field):
            yield from errors(value, f"{path}.{field}", around)


Rule = Callable[[Any, str, Surroundings], Iterator[Cause]]

_BEFORE_MOUNTS: tuple[tuple[str, Rule], ...] = (
    ("ports", lambda ports, path, around: port_errors(ports, path)),
    ("env", environment_errors),
    ("envFrom", lambda sources, path, around: environment_source_errors(sources, path)),
)
_AFTER_MOUNTS: tuple[tuple[str, Rule], ...] = (
    ("resources", lambda resources, path, around: resource_errors(resources, path, around.claims)),
    ("resizePolicy", lambda policies, path, around: resize_policy_errors(policies, path, around.restart_policy)),
    ("securityContext", lambda context, path, around: container_security_errors(
        context, path, has_host_users=around.has_host_users)),
)  # fmt: skip
"""Rules of a container's fields, in the order in which upstream asks; nothing is done for those that are absent."""


def _restart_errors(container: Object, path: str) -> Iterator[Cause]:
    """Of a container's own restart policy, and the rules by which an exit code overrides it."""
    policy, rules = container.get("restartPolicy"), container.get("restartPolicyRules") or []
    if policy is None:
        if rules:
            yield required(f"{path}.restartPolicy", "must specify restartPolicy when restart rules are used")
    elif policy not in _RESTARTS:
        yield not_supported(f"{path}.restartPolicy", policy, _RESTARTS)
    if len(rules) > _MOST_RULES:
        yield too_many(f"{path}.restartPolicyRules", len(rules), _MOST_RULES)
    for index, rule in enumerate(rules):
        yield from _rule_errors(rule, f"{path}.restartPolicyRules[{index}]")


def _rule_errors(rule: Object, path: str) -> Iterator[Cause]:
    if rule.get("action") not in _ACTIONS:
        yield not_supported(f"{path}.action", rule.get("action") or "", _ACTIONS)
    codes = rule.get("exitCodes")
    if codes is None:
        yield required(f"{path}.exitCodes", "must be specified")
        return
    if codes.get("operator") not in _OPERATORS:
        yield not_supported(f"{path}.exitCodes.operator", codes.get("operator") or "", _OPERATORS)
    if len(codes.get("values") or ()) > _MOST_EXIT_CODES:
        yield too_many(f"{path}.exitCodes.values", len(codes["values"]), _MOST_EXIT_CODES)
