"""PodTemplates: the template's defaults, and what is wrong with it."""

from __future__ import annotations

from apiserver.kinds.rules import Rules
from apiserver.rules.pods.pod_rules import template_errors
from apiserver.rules.pods.pod_spec import default_template
from apiserver.rules.pods.template_warnings import update_warnings_of, warnings_of
from machinery.api.resource import Object


def default(template: Object) -> None:
    default_template(template.get("template"))


RULES = Rules(
    default=default,
    validate=lambda template: list(template_errors(template.get("template"), "template")),
    warnings=warnings_of("template"),
    update_warnings=update_warnings_of("template"),
    has_generation=True,
)
