"""PodTemplates: the template's defaults."""

from __future__ import annotations

from apiserver.kinds.pod_spec import default_template
from apiserver.kinds.rules import Rules
from machinery.api.resource import Object


def default(template: Object) -> None:
    default_template(template.get("template"))


RULES = Rules(default=default, has_generation=True)
