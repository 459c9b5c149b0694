"""Which chains of the machine's firewalls `explain-service` blames."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from machinery.structs import replace
from minikube_py.cli.explain_service import closing_firewalls
from minikube_py.config import for_profile
from minikube_py.node import runtime_config

CHAIN = {"family": "ip", "table": "filter", "name": "FORWARD", "type": "filter", "hook": "forward", "policy": "drop"}
LISTED: list[dict[str, Any]] = [{"table": {"family": "ip", "name": "filter"}}, {"chain": CHAIN}]


def test_a_chain_that_the_bridge_has_no_rule_in_any_more_is_told(tmp_path: Path) -> None:
    config = replace(for_profile("p"), cni_conf_dir=str(tmp_path))
    rule = {"family": "ip", "table": "filter", "chain": "FORWARD", "expr": [{"accept": None}]}
    ours = {"rule": {**rule, "comment": runtime_config(config).table}}
    assert closing_firewalls(config, LISTED) == ["ip filter FORWARD"]
    assert closing_firewalls(config, [*LISTED, ours]) == []


def test_no_chain_is_told_where_pods_have_another_network_than_the_bridge(tmp_path: Path) -> None:
    (tmp_path / "10-own.conflist").write_text("{}")
    assert closing_firewalls(replace(for_profile("p"), cni_conf_dir=str(tmp_path)), LISTED) == []
    assert closing_firewalls(replace(for_profile("p"), container_runtime_endpoint="unix:///x"), LISTED) == []
