"""The API server put together: store, watch cache, registry, HTTP, and what it does by itself after its start."""

from __future__ import annotations

import asyncio
import logging
from ipaddress import ip_address

from apiserver.admission.certificates import certificate_requester, certificate_rights, certificate_subject
from apiserver.admission.chain import Admit
from apiserver.admission.features import feature_fields
from apiserver.admission.ingresses import default_ingress_class
from apiserver.admission.limits import limit_ranger
from apiserver.admission.namespaces import namespace_lifecycle
from apiserver.admission.pod_security import pod_security
from apiserver.admission.pod_topology import pod_topology_labels
from apiserver.admission.pods import default_toleration_seconds, priority, service_account
from apiserver.admission.runtime_classes import runtime_class
from apiserver.admission.storage_and_nodes import claim_resize, default_storage_class, protect_volumes, taint_new_nodes
from apiserver.authn.authenticator import Authenticator
from apiserver.authz.rbac import Rbac
from apiserver.cache_view import CacheView
from apiserver.config import ApiServerConfig
from apiserver.discovery import Discovery, built_in
from apiserver.http.handler import Handler
from apiserver.http.listener import Listener
from apiserver.http.plain import PlainPaths
from apiserver.http.resources import ResourceHandler
from apiserver.local import LocalClient
from apiserver.metrics_group import NODE_METRICS, POD_METRICS, MetricsGroup
from apiserver.node_proxy import NodeProxy
from apiserver.registry.addresses import ClusterAddresses
from apiserver.registry.api import Api
from apiserver.registry.registry import Registry
from apiserver.registry.subresources import Subresources
from apiserver.request import LOOPBACK, Attributes, User
from apiserver.reviews import Reviews
from apiserver.storage.store import Store
from apiserver.watchcache import WatchCache
from machinery.api.resource import Object
from machinery.api.resources import CERTIFICATE_SIGNING_REQUESTS, RESOURCES
from machinery.client.client import Client
from machinery.client.clock import Clock, SystemClock
from machinery.pki import Pki
from machinery.structs import replace
from machinery.usage import UsageSource

_log = logging.getLogger(__name__)


class ApiServer:
    """`start` loads and listens, `run` serves for good and sets `ready` when the cluster's own objects are there."""

    def __init__(self, config: ApiServerConfig, store: Store, clock: Clock | None = None) -> None:
        self._config = config
        self._clock: Clock = clock or SystemClock()
        self._watch_cache = WatchCache(store)
        self._store = store
        self.cache = CacheView(self._watch_cache)
        self.ready = asyncio.Event()
        self._api: Api | None = None
        self._listener: Listener | None = None
        self._plain: PlainPaths | None = None
        self._rbac: Rbac | None = None
        self._authenticator: Authenticator | None = None
        self._nodes = NodeProxy(config.pki, self.cache)
        self._usage: UsageSource | None = None

    @property
    def pki(self) -> Pki:
        return self._config.pki

    @property
    def port(self) -> int:
        """The port that is listened on, once started."""
        return self._listener.port if self._listener is not None else 0

    @property
    def version(self) -> str:
        return self._config.version

    def serve_metrics(self, source: UsageSource) -> None:
        """Serves metrics.k8s.io out of `source`, from `start` on."""
        self._usage = source

    async def node_summary(self, node: str) -> bytes:
        """The body of the statistics that the node's kubelet tells; raises StatusError where it can't be reached."""
        return await self._nodes.text(node, "/stats/summary")

    async def start(self) -> None:
        """Loads the store and binds the sockets; raises OSError where an address is taken."""
        config = self._config
        await self._watch_cache.start()
        rbac = self._rbac = Rbac(self.cache)
        authenticator = self._authenticator = Authenticator(config.pki, self.cache, clock=self._clock)
        reviews = Reviews(authenticator, rbac, self.cache)
        addresses = ClusterAddresses(self._watch_cache, config.service_cidrs, config.node_ports)
        chain, features = self._chain(rbac), config.feature_flags
        judges = (pod_security(self.cache),)
        registry = Registry(self._store, self._watch_cache, chain, addresses, self._clock, features, judges)
        subresources = Subresources(registry, reviews, self._watch_cache, self._clock)
        api = self._api = Api(registry, subresources, reviews, self._watch_cache, rbac)
        config.pki.serve(config.tls_sans, [str(addresses.first), config.advertise_address, *_ips(config)])
        metrics = MetricsGroup(self.cache, self._usage, api.authorize) if self._usage is not None else None
        discovery = Discovery((*RESOURCES, NODE_METRICS, POD_METRICS)) if metrics is not None else built_in()
        plain = self._plain = PlainPaths(discovery, authenticator, config.version)
        resources = ResourceHandler(api, self._nodes)
        aggregated = metrics.answer if metrics is not None else None
        handler = Handler(api, authenticator, rbac, resources, plain.answer, aggregated)
        self._listener = Listener(handler, config.pki.ssl_context_server())
        await self._listener.start(config.bind, config.port)

    def _chain(self, rbac: Rbac) -> tuple[Admit, ...]:
        # In upstream's order; what else it has on by default comes between.
        return (
            namespace_lifecycle(self.cache),
            feature_fields(self._config.feature_flags),
            limit_ranger(self.cache),
            service_account(self.cache),
            taint_new_nodes,
            priority(self.cache),
            default_toleration_seconds,
            default_storage_class(self.cache),
            protect_volumes,
            claim_resize(self.cache),
            runtime_class(self.cache),
            certificate_requester,
            certificate_subject,
            certificate_rights(rbac),
            default_ingress_class(self.cache),
            pod_topology_labels(self.cache),
        )

    async def run(self) -> None:
        """Serves until cancelled or the store ends; makes the cluster's own objects first."""
        from apiserver.bootstrap.aggregation import Aggregation
        from apiserver.bootstrap.ip_addresses import IpAddresses
        from apiserver.bootstrap.run import run as bootstrap

        loopback = self._loopback()
        async with asyncio.TaskGroup() as group:
            group.create_task(self._watch_cache.run())
            await bootstrap(loopback, replace(self._config, port=self.port))
            group.create_task(Aggregation(loopback, self.cache).run())
            group.create_task(IpAddresses(loopback, self.cache).run())
            group.create_task(self._watch_cache.set_aside.run(loopback))
            assert self._plain is not None
            self._plain.is_ready = True
            self.ready.set()
            _log.info("serving on port %d", self.port)

    async def move(self, address: str) -> None:
        """Listens at `address` too, and tells pods to reach it there; raises OSError where its port is taken there."""
        if address == self._config.advertise_address or self._listener is None or ip_address(address).is_loopback:
            return
        from apiserver.bootstrap.run import run as bootstrap

        await self._listener.listen(address)
        self._config = replace(self._config, advertise_address=address)
        await bootstrap(self._loopback(), replace(self._config, port=self.port))

    def _loopback(self) -> Client:
        return self.client(LOOPBACK.name, LOOPBACK.groups, program="kube-apiserver")

    def client(self, user_name: str, groups: tuple[str, ...] = (), *, program: str = "") -> Client:
        """A client in the process that acts as the user.

        `program` manages the fields that it writes: upstream's, whose part it plays; else the user's last name.
        """
        assert self._api is not None, "start comes first"
        return LocalClient(self._api, User(user_name, groups), field_manager=program)

    def controller_client(self, name: str) -> Client:
        """A client for a controller: its ServiceAccount in kube-system, as the bootstrap roles name it."""
        user = f"system:serviceaccount:kube-system:{name}"
        groups = ("system:serviceaccounts", "system:serviceaccounts:kube-system", "system:authenticated")
        return self.client(user, groups, program="kube-controller-manager")

    def token_for_secret(self, secret: Object, account: Object) -> str:
        """The token of the ServiceAccount for a Secret of type service-account-token to hold."""
        assert self._authenticator is not None, "start comes first"
        return self._authenticator.issue_for_secret(secret, account)

    def may_request_certificate(self, requester: Object, subresource: str) -> bool:
        """Whether the user that a CertificateSigningRequest's spec names may create that sub-resource of requests."""
        assert self._rbac is not None, "start comes first"
        extra = {key: tuple(values or ()) for key, values in (requester.get("extra") or {}).items()}
        groups = tuple(requester.get("groups") or ())
        user = User(requester.get("username") or "", groups, requester.get("uid") or "", extra)
        row = CERTIFICATE_SIGNING_REQUESTS
        asked = Attributes(user, "create", row.group, row.version, row.plural, subresource)
        return self._rbac.authorize(asked).allowed

    async def stop(self) -> None:
        """Closes the sockets; the store is its owner's to close."""
        if self._listener is not None:
            await self._listener.stop()
        if self._rbac is not None:
            self._rbac.close()


def _ips(config: ApiServerConfig) -> list[str]:
    return [address for address in config.bind if address not in ("0.0.0.0", "::")]
