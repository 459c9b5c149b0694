"""What both webhook configurations share (admissionregistration.k8s.io/v1 defaulting)."""

from __future__ import annotations

from apiserver.kinds.defaulting import default_values
from machinery.api.resource import Object


def default_webhook(webhook: Object) -> None:
    default_values(
        webhook,
        failurePolicy="Fail",
        matchPolicy="Equivalent",
        namespaceSelector={},
        objectSelector={},
        timeoutSeconds=10,
    )
    service = (webhook.get("clientConfig") or {}).get("service")
    if service is not None:
        default_values(service, port=443)
    for rule in webhook.get("rules") or []:
        default_values(rule, scope="*")
