"""`status`: one screen on the cluster: components, node, store, uptime, memory, pods, certificates, disk."""

from __future__ import annotations

import argparse
import shutil
import subprocess
from collections import Counter
from pathlib import Path
from typing import Any

from machinery.ip_families import families_of
from machinery.linux import addresses
from minikube_py.api import Api, ApiError
from minikube_py.cli.options import existing_config
from minikube_py.cli.output import Output
from minikube_py.config import CLUSTER_DOMAIN, Config
from minikube_py.instance import read_state, running_pid, uptime
from minikube_py.whereabouts import clashes, described


def run(arguments: argparse.Namespace) -> int:
    config, output = existing_config(arguments), Output.of(arguments)
    facts = collect(config)
    if output.as_json:
        output.say("", **facts)
    else:
        for line in lines(facts):
            output.say(line)
    return 0 if facts["running"] else 3


def collect(config: Config) -> dict[str, Any]:
    """All that `status` tells, as plain values; bytes and seconds."""
    pid = running_pid(config)
    state = read_state(config)
    facts: dict[str, Any] = {"profile": config.profile, "running": bool(pid), "dataDir": str(config.data_dir)}
    if state and (state.reason or not pid):
        facts["phase"], facts["reason"] = state.phase, state.reason
    if not pid or not state:
        return facts
    facts |= {
        "pid": pid,
        "phase": state.phase,
        "uptime": round(uptime(state)),
        "startedIn": round(state.ready_after, 2),
        "store": state.store,
        "components": state.components,
        "network": _network(config),
        "dns": f"{CLUSTER_DOMAIN} at {config.cluster_dns}",
        "memory": _memory(pid),
        "certificates": _certificates(config),
        "disk": {"used": _used(config.data_dir), "free": shutil.disk_usage(config.data_dir).free},
    }
    try:
        api = Api(config)
        facts["version"] = api.get("/version")["gitVersion"]
        facts["nodes"] = [_node(node) for node in api.get("/api/v1/nodes")["items"]]
        facts["pods"] = dict(Counter(pod["status"].get("phase", "Unknown") for pod in api.get("/api/v1/pods")["items"]))
    except ApiError as error:
        facts["api"] = str(error)
    return facts


def lines(facts: dict[str, Any]) -> list[str]:
    """The screen's lines."""
    if not facts["running"]:
        why = f": {facts['reason']}" if facts.get("reason") else ""
        return [f"{facts['profile']} does not run{why}"]
    nodes = [f"{node['name']} {node['state']}" for node in facts.get("nodes", [])]
    pods = [f"{count} {phase}" for phase, count in sorted(facts.get("pods", {}).items())]
    disk = facts["disk"]
    rows = {
        "cluster": f"{facts['profile']} {facts['phase']}, process {facts['pid']}, version {facts.get('version', '?')}",
        "uptime": f"{_duration(facts['uptime'])} (ready after {facts['startedIn']} s)",
        "components": ", ".join(f"{name} {what}" for name, what in facts["components"].items()),
        "node": ", ".join(nodes) or facts.get("api", "none"),
        "pods": ", ".join(pods) or "none",
        "store": facts["store"],
        "memory": f"{facts['memory'] / (1 << 20):.0f} MB (PSS)",
        "certificates": ", ".join(f"{name} until {date}" for name, date in facts["certificates"].items()),
        "disk": f"{disk['used'] / (1 << 20):.0f} MB in {facts['dataDir']}, {disk['free'] / (1 << 30):.1f} GiB free",
        "network": "\n              ".join(facts["network"]),
        "dns": facts["dns"],
    }
    return [f"{name:13} {text}" for name, text in rows.items()]


def _node(node: dict[str, Any]) -> dict[str, str]:
    ready = next((c for c in node["status"].get("conditions") or [] if c["type"] == "Ready"), {"status": "Unknown"})
    return {"name": node["metadata"]["name"], "state": "Ready" if ready["status"] == "True" else "NotReady"}


def _network(config: Config) -> list[str]:
    """How the machine is connected, and each range of the cluster's that meets another's."""
    found = addresses.read()
    told = described(found, config.bridge, families_of(config.pod_cidr))
    return [told, *map(str, clashes(found.ways, config, is_started=True))]


def _memory(pid: int) -> int:
    try:
        rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in rollup.splitlines() if line.startswith("Pss:")), 0)


def _certificates(config: Config) -> dict[str, str]:
    from cryptography import x509

    found = {}
    for path in sorted((config.data_dir / "pki").glob("*.crt")):
        certificate = x509.load_pem_x509_certificate(path.read_bytes())
        found[path.stem] = certificate.not_valid_after_utc.strftime("%Y-%m-%d")
    return found


def _used(path: Path) -> int:
    done = subprocess.run(["du", "-sxB1", str(path)], capture_output=True, text=True)
    return int(done.stdout.split()[0]) if done.stdout else 0


def _duration(seconds: float) -> str:
    minutes, hours, days = seconds // 60, seconds // 3600, seconds // 86400
    if days:
        return f"{days:.0f}d{hours % 24:.0f}h"
    return f"{hours:.0f}h{minutes % 60:.0f}m" if hours else f"{minutes:.0f}m{seconds % 60:.0f}s"
