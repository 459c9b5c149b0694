"""NetworkPolicies: the directions that a policy is about."""

from __future__ import annotations

from apiserver.kinds.rules import Rules
from apiserver.rules.network.networkpolicy_rules import policy_errors, policy_update_errors, policy_warnings
from machinery.api.resource import Object


def default(policy: Object) -> None:
    spec = policy.setdefault("spec", {})
    if not spec.get("policyTypes"):
        spec["policyTypes"] = ["Ingress", "Egress"] if spec.get("egress") else ["Ingress"]
    for rule in [*(spec.get("ingress") or []), *(spec.get("egress") or [])]:
        for port in rule.get("ports") or []:
            port["protocol"] = port.get("protocol") or "TCP"


RULES = Rules(
    default=default,
    has_generation=True,
    validate=policy_errors,
    validate_update=policy_update_errors,
    rechecked="never",
    warnings=policy_warnings,
    update_warnings=lambda new, old: policy_warnings(new),
)
