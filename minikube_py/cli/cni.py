"""`cni`: a network for the pods of another runtime, as its file in /etc/cni/net.d has it.

Of Debian's plugins `ptp` gives each pod a link of its own, so that all passes the host's rules: Services and policies
hold without br_netfilter, which a bridge needs.
"""

from __future__ import annotations

import argparse
import json

from machinery.ip_families import families_of
from minikube_py.cli.options import starting_config
from minikube_py.config import Config


def run(arguments: argparse.Namespace) -> int:
    """Prints the configuration, for `minikube-py cni >/etc/cni/net.d/10-minikube-py.conflist`."""
    print(json.dumps(conflist(starting_config(arguments)), indent=2))
    return 0


def conflist(config: Config) -> dict[str, object]:
    """Pods of `--pod-cidr`, host ports and masquerade on the way out (CNI specification 1.0.0)."""
    addresses = {
        "type": "host-local",
        "ranges": [[{"subnet": cidr}] for cidr in config.node_cidrs],
        "routes": [{"dst": family.everywhere} for family in families_of(config.node_cidrs)],
    }
    return {
        "cniVersion": "1.0.0",
        "name": config.context,
        "plugins": [
            {"type": "ptp", "ipMasq": True, "ipam": addresses},
            {"type": "portmap", "capabilities": {"portMappings": True}},
        ],
    }
