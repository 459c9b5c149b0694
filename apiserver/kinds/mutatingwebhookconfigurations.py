"""MutatingWebhookConfigurations: each webhook's defaults."""

from __future__ import annotations

from apiserver.kinds.rules import Rules
from apiserver.rules.admission.webhooks import configuration_errors, configuration_update_errors, default_webhook
from apiserver.rules.defaulting import default_values
from machinery.api.resource import Object


def default(configuration: Object) -> None:
    for webhook in configuration.get("webhooks") or []:
        default_webhook(webhook)
        default_values(webhook, reinvocationPolicy="Never")


RULES = Rules(
    default=default,
    validate=configuration_errors,
    validate_update=configuration_update_errors,
    rechecked="never",
    has_generation=True,
)
