"""IngressClasses: a controller that stays, and where its parameters are."""

from __future__ import annotations

from collections.abc import Iterator

from apiserver.kinds.rules import Rules
from apiserver.rules.defaulting import default_values
from apiserver.rules.field_errors import all_of, forbidden, not_supported, required, too_long
from apiserver.rules.immutability import immutable
from apiserver.rules.name_rules import domain_path_errors
from apiserver.rules.reference_rules import group_errors, segment_errors
from machinery.api import names
from machinery.api.errors import Cause
from machinery.api.resource import Object

_LONGEST_CONTROLLER = 250
_PARAMETERS = "spec.parameters"


def default(ingress_class: Object) -> None:
    parameters = (ingress_class.get("spec") or {}).get("parameters")
    if parameters is not None:
        default_values(parameters, scope="Cluster")


def _errors(ingress_class: Object) -> list[Cause]:
    spec = ingress_class.get("spec") or {}
    controller, parameters = spec.get("controller") or "", spec.get("parameters")
    errors: list[Cause] = []
    if len(controller) > _LONGEST_CONTROLLER:
        errors.append(too_long("spec.controller", _LONGEST_CONTROLLER))
    errors += domain_path_errors(controller, "spec.controller")
    if parameters is not None:
        errors += group_errors(parameters, _PARAMETERS)
        errors += segment_errors(parameters, _PARAMETERS, "kind", "name")
        errors += _scope_errors(parameters.get("scope") or "", parameters.get("namespace"))
    return errors


def _scope_errors(scope: str, namespace: str | None) -> Iterator[Cause]:
    path = f"{_PARAMETERS}.namespace"
    if scope == "Cluster":
        if namespace is not None:
            yield forbidden(path, "`parameters.scope` is set to 'Cluster'")
    elif scope != "Namespace":
        yield not_supported(f"{_PARAMETERS}.scope", scope, ("Cluster", "Namespace"))
    elif namespace is None:
        yield required(path, "`parameters.scope` is set to 'Namespace'")
    else:
        yield from all_of(path, namespace, names.dns_label(namespace))


RULES = Rules(
    default=default,
    has_generation=True,
    validate=_errors,
    validate_update=immutable("spec.controller"),
    rechecked="last",
)
