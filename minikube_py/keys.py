"""The cluster's certificates as they follow its machine: made for the addresses that it has, renewed in time."""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import os
import socket
from collections.abc import Callable
from pathlib import Path

from machinery.client.clock import Clock
from machinery.contain import contain
from machinery.ip_families import networks
from machinery.pki import KeyPair, Pki, PkiError, write_private
from minikube_py import kubeconfig
from minikube_py.config import Config
from minikube_py.instance import InstanceError
from minikube_py.whereabouts import LOOPBACK, Machine

LOG = logging.getLogger("keys")
_DAY = 24 * 3600.0
_SERVICE_NAMES = ("", ".default", ".default.svc", ".default.svc.cluster.local")


class Keys:
    """`pki` and who listens with it."""

    def __init__(self, config: Config, machine: Machine) -> None:
        """Raises InstanceError where a file can't be used."""
        self._config, self._machine = config, machine
        self._followers: list[Callable[[], None]] = []
        names, ips = server_names(config, machine)
        try:
            self.pki = Pki.load_or_create(config.data_dir / "pki", names=names, ips=ips)
        except PkiError as error:
            raise InstanceError(str(error)) from error

    def follow(self, reload: Callable[[], None]) -> None:
        """Calls it when another certificate may have been made."""
        self._followers.append(reload)

    async def move(self) -> None:
        """Has the servers answer to the machine's addresses as they are now."""
        if await asyncio.to_thread(self._prepare):
            self.pki.reload()
        self._tell()

    def _prepare(self) -> bool:
        self.of_kubelet()
        return self.pki.prepare(*server_names(self._config, self._machine))

    async def renew(self) -> None:
        """Makes anew what is near its end, the administrator's with it, for his kubeconfig."""
        if await asyncio.to_thread(self.pki.renew):
            LOG.info("certificates were renewed")
            await asyncio.to_thread(self.write_kubeconfig)
            self.pki.reload()
            self._tell()

    async def renew_daily(self, clock: Clock) -> None:
        """Until cancelled."""
        while True:
            await clock.sleep(_DAY)
            with contain("certificate renewal"):
                await self.renew()

    def _tell(self) -> None:
        for reload in self._followers:
            reload()

    def of_kubelet(self) -> KeyPair:
        node = self._config.node
        addresses = dict.fromkeys((*self._machine.addresses, LOOPBACK))
        return self.pki.server_for("kubelet", f"system:node:{node}", (node,), tuple(addresses))

    def of_ingress(self) -> KeyPair:
        """What is shown for hosts without a Secret; nobody's, so it names no address."""
        return self.pki.server_for("ingress", "minikube-py Ingress", ("ingress.local", self._config.node), ())

    def write_kubeconfig(self) -> None:
        """Writes the administrator's kubeconfig and merges its context into the user's, which may fail harmlessly."""
        import yaml

        config, pki = self._config, self.pki
        admin = pki.client("admin", "kubernetes-admin", ("system:masters",))
        key, certificate = Path(admin.key).read_bytes(), Path(admin.certificate).read_bytes()
        document = kubeconfig.document(config, ca=pki.ca_pem, certificate=certificate, key=key)
        text = yaml.dump(document, Dumper=yaml.CSafeDumper, sort_keys=False)
        write_private(config.admin_kubeconfig, text.encode())
        if os.environ.get("MINIKUBE_PY_KUBECONFIG") == "off":
            return
        try:
            kubeconfig.merge_into(kubeconfig.user_path(os.environ), document)
        except (kubeconfig.KubeconfigError, OSError) as error:
            LOG.warning("the user's kubeconfig was left alone: %s", error)


def server_names(config: Config, machine: Machine) -> tuple[list[str], list[str]]:
    """Names and addresses by which somebody may ask the API server, from where it listens."""
    names = ["localhost", socket.gethostname(), config.node, *(f"kubernetes{tail}" for tail in _SERVICE_NAMES)]
    firsts = (str(network[1]) for network in networks(config.service_cidr))
    ips = [LOOPBACK, "::1", *firsts, *config.gateways, *machine.addresses]
    for entry in (*config.tls_san, *config.bind):
        try:
            address = ipaddress.ip_address(entry)
        except ValueError:
            names.append(entry)
            continue
        ips += [each.ip for each in machine.found.addresses] if address.is_unspecified else [str(address)]
    return list(dict.fromkeys(names)), list(dict.fromkeys(ips))
