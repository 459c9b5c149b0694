"""One call of the API, as HTTP and the client in the process both put it: who, what of, and how."""

from __future__ import annotations

from typing import Any

from apiserver.request import Attributes, Target, User
from apiserver.rules.field_errors import invalid_value, not_supported
from machinery.api.errors import Cause, Invalid, told
from machinery.api.resource import Object, Resource
from machinery.structs import Struct, field, replace

POLICIES = ("Foreground", "Background", "Orphan")


class Call(Struct, frozen=True):
    """`field_validation` is Strict, Warn or Ignore; what is to be warned of is collected in `warnings`.

    `is_canonical`: the object that comes with it is already, and the callee's to change. `complaints` are what strict
    validation has against the text of a patch.
    """

    user: User
    verb: str
    target: Target
    dry_run: bool = False
    field_manager: str = ""
    field_validation: str = "Ignore"
    is_canonical: bool = False
    complaints: tuple[str, ...] = ()
    warnings: list[str] = field(default_factory=list)

    @property
    def resource(self) -> Resource:
        return self.target.resource

    def attributes(self) -> Attributes:
        target, resource = self.target, self.target.resource
        return Attributes(
            self.user, self.verb, resource.group, resource.version, resource.plural, target.subresource,
            target.scope, target.name,
        )  # fmt: skip

    def on(self, *, verb: str = "", name: str = "", namespace: str = "") -> Call:
        """The same call about another object or with another verb."""
        target = replace(self.target, name=name or self.target.name, namespace=namespace or self.target.namespace)
        return replace(self, verb=verb or self.verb, target=target)

    def warn(self, text: str) -> None:
        if text not in self.warnings:
            self.warnings.append(text)


class DeleteOptions(Struct, frozen=True):
    """`grace_period_seconds` None leaves it to the object, `propagation_policy` "" to the kind."""

    uid: str = ""
    resource_version: str = ""
    grace_period_seconds: int | None = None
    propagation_policy: str = ""
    orphan_dependents: bool | None = None
    dry_run: bool = False

    @classmethod
    def of(cls, body: Object) -> DeleteOptions:
        """Reads `meta/v1 DeleteOptions`; raises Invalid as upstream words it."""
        preconditions = body.get("preconditions") or {}
        policy: Any = body.get("propagationPolicy")
        causes = []
        if policy is not None and body.get("orphanDependents") is not None:
            detail = "orphanDependents and deletionPropagation cannot be both set"
            causes.append(invalid_value("propagationPolicy", policy, detail))
        if policy is not None and policy not in POLICIES:
            causes.append(not_supported("propagationPolicy", policy, (*POLICIES, "nil")))
        dry_run = body.get("dryRun") or []
        if any(each != "All" for each in dry_run):
            causes.append(unsupported_dry_run(dry_run))
        if causes:
            raise options_invalid("DeleteOptions", causes)
        return cls(
            uid=preconditions.get("uid") or "",
            resource_version=preconditions.get("resourceVersion") or "",
            grace_period_seconds=body.get("gracePeriodSeconds"),
            propagation_policy=policy or "",
            orphan_dependents=body.get("orphanDependents"),
            dry_run="All" in dry_run,
        )


def unsupported_dry_run(values: list[str]) -> Cause:
    return not_supported("dryRun", values, ("All",))


def options_invalid(kind: str, causes: list[Cause]) -> Invalid:
    """The error of options in a query or body, of which no object is to blame."""
    return Invalid(
        f'{kind}.meta.k8s.io "" is invalid: {told(causes)}', kind=kind, group="meta.k8s.io", causes=tuple(causes)
    )
