"""Sandboxes in the network that the user's CNI configuration names, made and unmade by its plugins.

What a plugin makes only a plugin can take away, and needs the configuration and the result of its ADD for it. So both
are written down, the configuration before the first plugin runs: whatever becomes of this process, of the file in
/etc/cni/net.d or of the machine, each ADD gets its DEL.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from machinery.ip_families import IPV4, IPV6, families_of, family_of
from machinery.linux import netlink, nft
from machinery.linux.durable import write_durably
from runtime.config import RuntimeConfig
from runtime.errors import FailedPrecondition, Internal, RuntimeFault, Unknown
from runtime.network.cni import configuration, result
from runtime.network.cni.configuration import NetworkList
from runtime.network.cni.plugin import FOLDERS, INTERFACE, Attachment, call, find
from runtime.network.network import Member, Port
from runtime.network.rules import Forward, host_ports

LOG = logging.getLogger("cni")


class CniNetwork:
    """Reads the configuration anew for each sandbox: a change of the file holds from the next one on."""

    def __init__(self, config: RuntimeConfig, folders: Sequence[Path] = FOLDERS) -> None:
        self._config, self._folders = config, folders
        self._attached = config.root / "cni"
        self._table = f"{config.table}-ports"
        # A machine without IPv6 can't have a table of it.
        self._has_ipv6_ports = IPV6 in families_of(config.pod_cidrs)

    def set_up(self) -> None:
        """The plugins make all by themselves."""
        self._attached.mkdir(parents=True, exist_ok=True)

    def trouble(self) -> str:
        try:
            self._network()
        except RuntimeFault as fault:
            return f"Network plugin returns error: {fault.message}"
        return ""

    def _network(self) -> NetworkList:
        """What a sandbox is attached to now; raises FailedPrecondition."""
        folder = self._config.cni or configuration.FOLDER
        path = configuration.file_of(folder)
        if path is None:
            raise FailedPrecondition(f"no network config found in {folder}: cni plugin not initialized")
        network = configuration.load(path)
        for plugin in network.plugins:
            find(plugin["type"], self._folders)
        return network

    def attach(self, member: Member) -> tuple[str, ...]:
        try:
            network = self._network()
            told = _told(member, network)
            self._note(member.id, told)
            told["result"] = self._add(network, member.id, told)
            self._note(member.id, told)
            found = result.addresses(told["result"])
            if not found:
                raise Unknown(f'network "{network.name}" gives no address')
        except (RuntimeFault, OSError) as error:
            self._undo(member.id)
            words = error.message if isinstance(error, RuntimeFault) else str(error)
            raise Unknown(f'failed to setup network for sandbox "{member.id}": {words}') from error
        return found

    def _add(self, network: NetworkList, sandbox_id: str, told: Mapping[str, Any]) -> dict[str, Any]:
        answer: dict[str, Any] = {}
        for plugin in network.plugins:
            answer = call("ADD", _asked(network, plugin, told, answer), _attachment(sandbox_id, told), self._folders)
        return answer

    def _undo(self, sandbox_id: str) -> None:
        try:
            self.detach(sandbox_id)
        except RuntimeFault as fault:
            # The next start tries again, by what was written down.
            LOG.warning("network of sandbox %s: %s", sandbox_id, fault.message)

    def detach(self, sandbox_id: str) -> None:
        """Raises Unknown in the plugin's words; what is written down stays then, and another call tries again."""
        told = self._told(sandbox_id)
        if told is None:
            return
        network, before = configuration.parse(told["network"]), told.get("result") or {}
        if not Path(told["netns"]).exists():
            # As after a reboot: addresses and rules are given back all the same.
            told["netns"] = ""
        for plugin in reversed(network.plugins):
            call("DEL", _asked(network, plugin, told, before), _attachment(sandbox_id, told), self._folders)
        (self._attached / f"{sandbox_id}.json").unlink(missing_ok=True)

    def is_attached(self, sandbox_id: str) -> bool:
        """By the sandbox's own interface: no plugin is asked to CHECK, as portmap of Debian 12 finds fault with all."""
        told = self._told(sandbox_id)
        if told is None or not told.get("result"):
            return False
        try:
            return netlink.in_namespace(Path(told["netns"]), lambda route: netlink.index(route, INTERFACE)) != 0
        except OSError:
            return False

    def publish(self, forwards: Collection[Forward]) -> None:
        """For networks without a plugin for that, such as portmap."""
        wanted = () if self._maps_ports() else forwards
        of_ipv6 = [each for each in wanted if family_of(each.address) is IPV6]
        try:
            nft.run(host_ports(IPV4, self._table, [each for each in wanted if each not in of_ipv6]))
            if of_ipv6 or self._has_ipv6_ports:
                nft.run(host_ports(IPV6, self._table, of_ipv6))
                self._has_ipv6_ports = True
        except nft.NftError as error:
            raise Internal(f"failed to publish ports: {error}") from error

    def _maps_ports(self) -> bool:
        try:
            return self._network().maps_ports
        except RuntimeFault:
            return False

    def keep_only(self, sandbox_ids: set[str]) -> None:
        for path in sorted(self._attached.glob("*.json")):
            if path.stem not in sandbox_ids:
                self._undo(path.stem)

    def link(self, sandbox_id: str) -> str:
        return result.host_link((self._told(sandbox_id) or {}).get("result") or {})

    def tear_down(self) -> None:
        """What the plugins share, such as a bridge, stays: only they know whether others use it."""
        if self._attached.exists():
            nft.remove_tables(self._table)
            if not any(self._attached.iterdir()):
                self._attached.rmdir()

    def _note(self, sandbox_id: str, told: Mapping[str, Any]) -> None:
        write_durably(self._attached / f"{sandbox_id}.json", json.dumps(told).encode())

    def _told(self, sandbox_id: str) -> dict[str, Any] | None:
        try:
            found: dict[str, Any] = json.loads((self._attached / f"{sandbox_id}.json").read_text())
        except FileNotFoundError:
            return None
        return found


def _told(member: Member, network: NetworkList) -> dict[str, Any]:
    """What is written down of an attachment before it is made."""
    return {
        "network": network.told(),
        "arguments": _arguments(member),
        "netns": str(member.file),
        "ports": [_mapping(port) for port in member.ports] if network.maps_ports else [],
    }


def _arguments(member: Member) -> str:
    """CNI_ARGS as the plugins of Kubernetes' networks read them."""
    told = {
        "IgnoreUnknown": "1",
        "K8S_POD_NAMESPACE": member.namespace,
        "K8S_POD_NAME": member.name,
        "K8S_POD_INFRA_CONTAINER_ID": member.id,
        "K8S_POD_UID": member.uid,
    }
    return ";".join(f"{name}={value}" for name, value in told.items())


def _mapping(port: Port) -> dict[str, Any]:
    """As the capability `portMappings` has it."""
    return {
        "hostPort": port.host_port,
        "containerPort": port.port,
        "protocol": port.protocol,
        "hostIP": port.host_ip,
    }


def _attachment(sandbox_id: str, told: Mapping[str, Any]) -> Attachment:
    return Attachment(sandbox_id, str(told["netns"]), str(told["arguments"]))


def _asked(
    network: NetworkList, plugin: Mapping[str, Any], told: Mapping[str, Any], before: Mapping[str, Any]
) -> dict[str, Any]:
    """What a plugin gets on its standard input (CNI specification, 3: "deriving execution configuration")."""
    asked = {key: value for key, value in plugin.items() if key != "capabilities"}
    asked |= {"name": network.name, "cniVersion": network.version}
    if (plugin.get("capabilities") or {}).get("portMappings") and told["ports"]:
        asked["runtimeConfig"] = {"portMappings": told["ports"]}
    if before:
        asked["prevResult"] = dict(before)
    return asked
