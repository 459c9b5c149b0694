"""The Ingress controller: what Ingresses ask for becomes nginx's configuration, and is told in their status and events.

Nothing runs and no port is taken before there is an Ingress of ours, unless the user asked for it.
"""

from __future__ import annotations

import asyncio
import logging
import pwd
from collections.abc import Mapping, Sequence
from pathlib import Path

from kubelet.following import follow
from machinery.api.errors import AlreadyExists, StatusError
from machinery.api.resource import Object
from machinery.api.resources import ENDPOINT_SLICES, INGRESS_CLASSES, INGRESSES, NODES, SECRETS, SERVICES
from machinery.api.views import SERVICE_NAME, Node, View
from machinery.client.cache import Cache, Change
from machinery.client.client import Client
from machinery.client.clock import Clock
from machinery.client.recorder import EventRecorder
from machinery.contain import contain
from machinery.linux.listeners import holder, listeners
from machinery.structs import Struct
from minikube_py.addons.ingress.certificates import Certificate
from minikube_py.addons.ingress.classes import CLASS, made_class, owned
from minikube_py.addons.ingress.nginx import Nginx, NginxError
from minikube_py.addons.ingress.nginx_conf import Server, nginx_conf
from minikube_py.addons.ingress.sites import Complaint, Named, World, sites

LOG = logging.getLogger("ingress")
_FOLLOWED = (INGRESSES, INGRESS_CLASSES, SERVICES, ENDPOINT_SLICES, SECRETS, NODES)
_RELOADS_EVERY, _TRIES_EVERY = 0.25, 10.0


class IngressConfig(Struct, frozen=True):
    """`always`: serve also without any Ingress. `certificate` and `key` are the server's own."""

    folder: Path
    log: Path
    certificate: Path
    key: Path
    http_port: int
    https_port: int
    always: bool = False


class IngressController:
    def __init__(self, config: IngressConfig, client: Client, cache: Cache, clock: Clock) -> None:
        self._config, self._client, self._cache, self._clock = config, client, cache, clock
        self._nginx = Nginx(config.folder, config.log)
        self._recorder = EventRecorder(client, "ingress-controller", clock=clock)
        self._applied = ""
        self._is_hindered = False
        self._lock = asyncio.Lock()
        self._told: dict[Named, tuple[object, ...]] = {}
        self._namespaces: set[str] = set()

    async def run(self) -> None:
        """Follows until cancelled; nginx ends with it."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._nginx.run())
            group.create_task(self._try_again())
            await follow("ingress", self._cache, _FOLLOWED, self._clock, self._sync, self._concerns)

    async def _try_again(self) -> None:
        """Ports become free and packages are installed without any change in the cluster."""
        while True:
            await self._clock.sleep(_TRIES_EVERY)
            if self._is_hindered:
                with contain("ingress"):
                    await self._sync()

    def _concerns(self, change: Change) -> bool:
        if change.resource == NODES:
            return _addresses(change.before) != _addresses(change.after)
        if change.resource in (INGRESSES, INGRESS_CLASSES):
            return True
        return View(change.object).namespace in self._namespaces

    async def _sync(self) -> None:
        async with self._lock:
            await self._look()

    async def _look(self) -> None:
        classes = self._cache.list(INGRESS_CLASSES)
        mine = owned(self._cache.list(INGRESSES), classes)
        # At once: what changes there from here on is looked at again.
        self._namespaces = {View(each).namespace for each in mine}
        if mine or self._config.always:
            if not any(View(each).name == CLASS for each in classes):
                await self._make_class(classes)
            await self._serve(mine)
        else:
            self._nginx.stop()
            self._applied = ""
        await self._take_back({_key(each) for each in mine})

    async def _make_class(self, classes: Sequence[Object]) -> None:
        try:
            await self._client.create(INGRESS_CLASSES, made_class(classes))
        except AlreadyExists:
            LOG.debug("the class is there")

    async def _serve(self, mine: list[Object]) -> None:
        found = sites(mine, self._world(mine))
        complaints = found.complaints
        text = nginx_conf(found, self._server())
        if text != self._applied or not self._nginx.pid:
            trouble = await self._bring(text, found.certificates)
            self._is_hindered = trouble is not None
            if trouble:
                complaints = [*complaints, *(Complaint(_key(each), *trouble) for each in mine)]
        for ingress in mine:
            await self._tell(ingress, [each for each in complaints if each.ingress == _key(ingress)])

    async def _bring(self, text: str, certificates: Mapping[str, Certificate]) -> tuple[str, str] | None:
        """The configuration to nginx; reason and message where that can't be."""
        taken = await asyncio.to_thread(self._taken) if not self._nginx.pid else ""
        if taken:
            return "PortInUse", taken
        try:
            await self._nginx.apply(text, certificates)
        except NginxError as error:
            LOG.warning("%s", error)
            return error.reason, str(error)
        self._applied = text
        # Each reload starts new workers, while old ones end what they have.
        await self._clock.sleep(_RELOADS_EVERY)
        return None

    def _taken(self) -> str:
        """Who has the ports already. Blocks."""
        options = {self._config.http_port: "--ingress-http-port", self._config.https_port: "--ingress-https-port"}
        for each in listeners():
            if each.protocol == "tcp" and each.port in options:
                who = holder(each.inode) or "a program"
                return f"port {each.port} of this machine is taken by {who}; {options[each.port]} asks for another"
        return ""

    def _world(self, mine: list[Object]) -> World:
        services, slices, secrets = {}, {}, {}
        for namespace in self._namespaces:
            for service in self._cache.list(SERVICES, namespace):
                name = View(service).name
                services[namespace, name] = service
                slices[namespace, name] = list(self._cache.labelled(ENDPOINT_SLICES, namespace, SERVICE_NAME, name))
        for ingress in mine:
            for entry in (ingress.get("spec") or {}).get("tls") or ():
                key = View(ingress).namespace, entry.get("secretName") or ""
                secret = self._cache.get(SECRETS, *key)
                if secret is not None:
                    secrets[key] = secret
        return World(services, slices, secrets)

    def _server(self) -> Server:
        config = self._config
        return Server(config.folder, config.log, config.certificate, config.key, config.http_port, config.https_port,
                      _worker_user(), _has_ipv6())  # fmt: skip

    async def _tell(self, ingress: Object, complaints: list[Complaint]) -> None:
        """Events of what is new, and the address by which it is reached."""
        key, spec = _key(ingress), ingress.get("spec")
        said = tuple((each.reason, each.message) for each in complaints)
        before = self._told.get(key)
        if before is None or before[0] != spec:
            await self._recorder.record(ingress, "Normal", "Sync", "Scheduled for sync")
        for reason, message in said:
            if before is None or (reason, message) not in before[1:]:
                await self._recorder.record(ingress, "Warning", reason, message)
        self._told[key] = (spec, *said)
        nodes = [_addresses(node) for node in self._cache.list(NODES)]
        wanted = [{"ip": address} for address in dict.fromkeys(each for found in nodes for each in found)]
        is_served = bool(self._nginx.pid or self._applied)
        await self._tell_status(ingress, wanted if is_served else [])

    async def _tell_status(self, ingress: Object, wanted: list[Object]) -> None:
        there = ((ingress.get("status") or {}).get("loadBalancer") or {}).get("ingress") or []
        if there != wanted:
            status = {"status": {"loadBalancer": {"ingress": wanted or None}}}
            namespace, name = _key(ingress)
            try:
                await self._client.patch(INGRESSES, name, status, namespace, subresource="status")
            except StatusError as error:
                LOG.debug("the status of %s/%s: %s", namespace, name, error)

    async def _take_back(self, mine: set[Named]) -> None:
        """The status of those that are another's now."""
        for key in self._told.keys() - mine:
            del self._told[key]
            gone = self._cache.get(INGRESSES, *key)
            if gone is not None:
                await self._tell_status(gone, [])


def _key(ingress: Object) -> Named:
    return View(ingress).namespace, View(ingress).name


def _addresses(node: Object | None) -> list[str]:
    found = Node(node).addresses if node is not None else []
    return [each["address"] for each in found if each["type"] == "InternalIP"]


def _has_ipv6(addresses: Path = Path("/proc/net/if_inet6")) -> bool:
    """Whether any interface has such an address; where the protocol is off nginx could not listen."""
    return addresses.exists() and bool(addresses.read_text().strip())


def _worker_user() -> str:
    """Whom nginx's workers are, of those whom distributions have for it."""
    names = {entry.pw_name for entry in pwd.getpwall()}
    return next((name for name in ("www-data", "nginx", "nobody") if name in names), "root")
