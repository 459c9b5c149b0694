"""Sandboxes: pinned namespaces, an address, and the files that their containers share."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import socket
import time
import uuid
from pathlib import Path
from typing import Any

from machinery.ip_families import family_of
from machinery.linux import cgroup, namespaces, pause
from machinery.linux.boot import boot_id
from machinery.linux.durable import remove_folder
from machinery.linux.mount import Mount, is_mount_point, mount, unmount
from machinery.rpc.go_json import plain
from runtime.config import RuntimeConfig
from runtime.errors import FailedPrecondition, NotFound, RuntimeFault, Unknown
from runtime.network.network import Member, Network, Port
from runtime.network.rules import PROTOCOLS, Forward
from runtime.sandbox.bundle import ASKED, told_ports
from runtime.sandbox.host import network_sysctls
from runtime.sandbox.records import Records, SandboxRecord, read_json

LOG = logging.getLogger("sandboxes")
POD, NODE = 0, 2
SHM_BYTES = 64 << 20


class Sandboxes:
    """All sandboxes of an instance; what they hold on the host is made and removed here."""

    def __init__(self, config: RuntimeConfig, network: Network) -> None:
        self._config = config
        self._network = network
        self.records: Records[SandboxRecord] = Records(config.sandboxes, SandboxRecord)
        self._unmade: set[str] = set()
        self._publishing = asyncio.Lock()

    def folder(self, sandbox_id: str) -> Path:
        return self._config.run / "sandboxes" / sandbox_id

    def known(self, sandbox_id: str) -> SandboxRecord:
        found = self.records.get(sandbox_id)
        if found is None:
            raise NotFound(f'an error occurred when try to find sandbox "{sandbox_id}": not found')
        return found

    def ready(self, sandbox_id: str) -> SandboxRecord:
        """The record of a sandbox that is up; raises NotFound and FailedPrecondition."""
        record = self.known(sandbox_id)
        if record.state != "ready":
            raise FailedPrecondition(f'sandbox container "{sandbox_id}" is not running')
        return record

    async def connect(self, record: SandboxRecord, port: int) -> socket.socket:
        """A connection to what listens on the sandbox's own loopback; raises Unknown where nothing does."""
        network = self.namespace_files(record).get("network")
        refused = []
        for family, kind, host in ((socket.AF_INET, "tcp4", "127.0.0.1"), (socket.AF_INET6, "tcp6", "[::1]")):
            try:
                made = await asyncio.to_thread(namespaces.socket_in, network, family)
            except OSError as error:
                refused.append(f"dial {kind} {host}:{port}: {_words(error)}")
                continue
            try:
                await asyncio.get_running_loop().sock_connect(made, (host.strip("[]"), port))
            except OSError as error:
                made.close()
                refused.append(f"dial {kind} {host}:{port}: connect: {_words(error)}")
                continue
            return made
        why = f'failed to connect to localhost:{port} inside namespace "{record.id}", IPv4: {" IPv6 ".join(refused)} '
        raise Unknown(f'failed to execute portforward in network namespace "{network or "host"}": {why}')

    def told(self, record: SandboxRecord) -> tuple[Any, int]:
        """What CRI asked for, empty where a reboot took it, and the pid that holds a shared PID namespace. Blocks."""
        pids = cgroup.processes(self._pause_cgroup(record)) if record.shares_pid == POD else ()
        return read_json(self.folder(record.id) / ASKED), min(pids, default=0)

    def namespace_files(self, record: SandboxRecord) -> dict[str, Path]:
        """OCI namespace type -> file, of those that the sandbox has of its own."""
        folder = self._config.namespaces / record.id
        found = {"network": folder / "net", "uts": folder / "uts", "ipc": folder / "ipc", "pid": folder / "pid"}
        return {kind: path for kind, path in found.items() if path.exists()}

    def files(self, record: SandboxRecord) -> dict[str, Path]:
        """Path in a container -> what of the sandbox is mounted there."""
        folder = self.folder(record.id)
        shared = Path("/dev/shm") if record.shares_ipc == NODE else folder / "shm"  # noqa: S108 - the host's own
        found = {"/dev/shm": shared, "/etc/resolv.conf": folder / "resolv.conf"}  # noqa: S108
        return {**found, "/etc/hostname": folder / "hostname", "/etc/hosts": folder / "hosts"}

    async def run(self, config: Any, handler: str) -> str:
        """A ready sandbox's id; what was made is undone where it fails."""
        options = config.linux.security_context.namespace_options
        record = SandboxRecord(
            id=uuid.uuid4().hex + uuid.uuid4().hex,
            name=config.metadata.name,
            uid=config.metadata.uid,
            namespace=config.metadata.namespace,
            attempt=config.metadata.attempt,
            created_at=time.time_ns(),
            boot_id=boot_id(),
            hostname=config.hostname,
            log_directory=config.log_directory,
            cgroup_parent=config.linux.cgroup_parent or self._config.cgroup_root,
            runtime_handler=handler,
            on_host_network=options.network == NODE,
            shares_pid=options.pid,
            shares_ipc=options.ipc,
            ports=told_ports(config),
            labels=dict(config.labels),
            annotations=dict(config.annotations),
        )
        await asyncio.to_thread(self.records.write, record)
        try:
            await self._make(record, config)
            record.state = "ready"
            await asyncio.to_thread(self.records.note, record)
        except (RuntimeFault, OSError):
            record.state = "creating"
            await self._forget_half_made(record)
            raise
        return record.id

    async def _make(self, record: SandboxRecord, config: Any) -> None:
        kinds = [] if record.on_host_network else ["net", "uts"]
        if record.shares_ipc != NODE:
            kinds.append("ipc")
        await asyncio.to_thread(self._write_files, record, config)
        files = {kind: self._config.namespaces / record.id / kind for kind in kinds}
        sysctls = {**(network_sysctls() if "net" in files else {}), **config.linux.sysctls}
        await asyncio.to_thread(namespaces.pin, files, hostname=record.hostname, sysctls=sysctls)
        if "net" in files:
            member = _member(record, files["net"])
            record.address, *record.more_addresses = await asyncio.to_thread(self._network.attach, member)
        if record.shares_pid == POD:
            file = self._config.namespaces / record.id / "pid"
            await asyncio.to_thread(pause.start, file, self._pause_cgroup(record))
        if record.ports:
            await self._publish(record)

    async def _publish(self, *more: SandboxRecord) -> None:
        """Opens the ports of all ready sandboxes and of these."""
        # One after the other, and a sandbox is ready as soon as its own are open: of two that are made at once each
        # would else know nothing of the other, and the last would have its way.
        async with self._publishing:
            wanted = [*(record for record in self.records if record.state == "ready"), *more]
            await asyncio.to_thread(self._network.publish, {each for record in wanted for each in _forwards(record)})

    def _pause_cgroup(self, record: SandboxRecord) -> str:
        return f"{record.cgroup_parent.rstrip('/')}/{record.id}"

    def _write_files(self, record: SandboxRecord, config: Any) -> None:
        folder = self.folder(record.id)
        (folder / "shm").mkdir(parents=True, exist_ok=True)
        if record.log_directory:
            Path(record.log_directory).mkdir(parents=True, exist_ok=True)
        hosts = Path("/etc/hosts").read_text() if record.on_host_network else "127.0.0.1\tlocalhost\n"
        (folder / "hosts").write_text(hosts)
        (folder / "hostname").write_text(f"{hostname(record)}\n")
        (folder / "resolv.conf").write_text(resolv_conf(config.dns_config))
        (folder / ASKED).write_text(json.dumps(plain(config)))
        if record.shares_ipc != NODE:
            size = f"size={SHM_BYTES}"
            mount(Mount("tmpfs", "shm", str(folder / "shm"), ("nosuid", "nodev", "noexec", "mode=1777", size)))

    async def stop(self, record: SandboxRecord) -> None:
        """Takes network and namespaces away; containers have been ended before. Again is harmless."""
        if record.id in self._unmade:
            return
        if record.state != "stopped":
            record.state = "stopped"
            await asyncio.to_thread(self.records.try_note, record)
        await self._unmake(record)

    async def _forget_half_made(self, record: SandboxRecord) -> None:
        try:
            await self._unmake(record)
        except RuntimeFault as fault:
            # Its network can't be taken away now: it is listed, so that whoever asked for it removes it later.
            LOG.warning("sandbox %s: %s", record.id, fault.message)
            record.state = "stopped"
            await asyncio.to_thread(self.records.try_note, record)
            return
        await asyncio.to_thread(remove_folder, self.folder(record.id))
        await asyncio.to_thread(self.records.remove, record.id)
        self._unmade.discard(record.id)

    async def _unmake(self, record: SandboxRecord) -> None:
        if not record.on_host_network:
            await asyncio.to_thread(self._network.detach, record.id)
        await asyncio.to_thread(self._clear, record)
        if record.ports:
            await self._publish()
        self._unmade.add(record.id)

    def _clear(self, record: SandboxRecord) -> None:
        if record.shares_pid == POD:
            pause.end(cgroup.processes(self._pause_cgroup(record)))
            cgroup.remove(self._pause_cgroup(record))
        namespaces.unpin(self._config.namespaces / record.id)
        shm = self.folder(record.id) / "shm"
        if is_mount_point(shm):
            unmount(shm, lazily=True)

    async def remove(self, record: SandboxRecord) -> None:
        await self.stop(record)

        def forget() -> None:
            remove_folder(self.folder(record.id))
            # Its last process may still have been ending when it was stopped.
            cgroup.remove(self._pause_cgroup(record))
            if record.cgroup_parent.rstrip("/") != self._config.cgroup_root:
                cgroup.remove(record.cgroup_parent)
            self.records.remove(record.id)

        await asyncio.to_thread(forget)
        self._unmade.discard(record.id)

    async def adopt(self) -> None:
        """After a start: half-made sandboxes are undone, those of another boot are stopped, the rest are kept."""
        now = boot_id()
        for record in self.records:
            if record.state == "creating":
                await self._forget_half_made(record)
            elif record.state == "ready" and (record.boot_id != now or await self._lost_network(record)):
                await self.stop(record)
        kept = {record.id for record in self.records if record.state == "ready"}
        await asyncio.to_thread(self._network.keep_only, kept)
        await self._publish()

    async def _lost_network(self, record: SandboxRecord) -> bool:
        """Whether it can't be reached any more, as where the user has put another network into place."""
        if record.on_host_network:
            return False
        is_there = "network" in self.namespace_files(record)
        return not is_there or not await asyncio.to_thread(self._network.is_attached, record.id)


def hostname(record: SandboxRecord) -> str:
    """The sandbox's, which is the machine's where it has none of its own."""
    return record.hostname or socket.gethostname()


def _words(error: OSError) -> str:
    """As Go words it."""
    return (error.strerror or str(error)).lower() if error.errno is None else os.strerror(error.errno).lower()


def _member(record: SandboxRecord, file: Path) -> Member:
    ports = [
        Port(PROTOCOLS[port["protocol"]], port["host_ip"], port["host_port"], port["container_port"])
        for port in record.ports
    ]
    return Member(record.id, record.name, record.namespace, record.uid, file, tuple(ports))


def _forwards(record: SandboxRecord) -> set[Forward]:
    """A port at no address of the host's is at those of each family that the sandbox has one of."""
    return {
        Forward(PROTOCOLS[port["protocol"]], port["host_ip"], port["host_port"], address, port["container_port"])
        for port in record.ports
        for address in (record.address, *record.more_addresses)
        if address and (not port["host_ip"] or family_of(port["host_ip"]) is family_of(address))
    }


def resolv_conf(dns: Any) -> str:
    """The file's text; the host's own where nothing is asked for."""
    if not dns.servers and not dns.searches and not dns.options:
        try:
            return Path("/etc/resolv.conf").read_text()
        except OSError:
            return ""
    lines = [f"search {' '.join(dns.searches)}"] if dns.searches else []
    lines += [f"nameserver {server}" for server in dns.servers]
    lines += [f"options {' '.join(dns.options)}"] if dns.options else []
    return "\n".join(lines) + "\n"
