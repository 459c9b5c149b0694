"""Every option of a cluster as one value: from the command line, a YAML file, or the profile's name.

A profile other than the default one gets data, sockets, bridge, ranges and ports of its own, all derived from its
name, so that two clusters never meet. Paths derive from `data_dir` and `run_dir` and are properties.
"""

from __future__ import annotations

import hashlib
import ipaddress
import re
import socket
from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import timedelta
from pathlib import Path
from typing import Any

from machinery.features import features
from machinery.ip_families import IPV4, IPV6, families_of, family_of, networks
from machinery.structs import replace

DEFAULT_PROFILE = "minikube-py"
CLUSTER_DOMAIN = "cluster.local"
DEFAULT_DATA_DIR = Path("/var/lib/minikube-py")
NODE_PREFIXES = {IPV4: 24, IPV6: 64}
"""How much of the pods' addresses a node gets; upstream's defaults."""
_LEAST_SERVICES = 16
"""Addresses that a range of Services must have: the cluster's own have fixed ones among them."""
_NUMBER = r"([0-9]+(?:\.[0-9]+)?)"
_DURATION = re.compile(rf"(?:{_NUMBER}h)?(?:{_NUMBER}m)?(?:{_NUMBER}s)?")
ALL_COMPONENTS = ("apiserver", "controllers", "scheduler", "kubelet")


class ConfigError(ValueError):
    """An option that can't be used; the message is one line for the user."""


@dataclass(frozen=True)
class Config:
    """`bind` are addresses that the API server listens on; 127.0.0.1 and one that pods reach are added at the start.

    A network configuration in `cni_conf_dir` replaces the built-in network; without a folder nothing does. Ranges of
    pods and Services are one a family, the one that the cluster prefers first.
    """

    profile: str = DEFAULT_PROFILE
    data_dir: Path = DEFAULT_DATA_DIR
    bind: tuple[str, ...] = ("127.0.0.1",)
    tls_san: tuple[str, ...] = ()
    port: int = 6443
    kubelet_port: int = 10250
    node_name: str = ""
    etcd_servers: tuple[str, ...] = ()
    etcd_cafile: str = ""
    etcd_certfile: str = ""
    etcd_keyfile: str = ""
    etcd_prefix: str = ""
    container_runtime_endpoint: str = ""
    cni_conf_dir: str = "/etc/cni/net.d"
    ingress: str = "auto"
    ingress_http_port: int = 80
    ingress_https_port: int = 443
    registry_mirror: tuple[str, ...] = ()
    components: tuple[str, ...] = ALL_COMPONENTS
    feature_gates: tuple[str, ...] = ()
    pod_cidr: tuple[str, ...] = ("10.244.0.0/16",)
    service_cidr: tuple[str, ...] = ("10.96.0.0/16",)
    scheduler_config: str = ""
    image_gc_high_threshold: int = 85
    image_gc_low_threshold: int = 80
    image_maximum_gc_age: str = ""

    @property
    def instance(self) -> str:
        """Six hex digits that every interface, table, cgroup and socket of this cluster carries."""
        return hashlib.sha256(f"{self.profile}\0{self.data_dir}".encode()).hexdigest()[:6]

    @property
    def is_default(self) -> bool:
        return self.profile == DEFAULT_PROFILE and self.data_dir == DEFAULT_DATA_DIR

    @property
    def run_dir(self) -> Path:
        """Sockets, namespaces and state that a reboot ends; short, as socket paths hold 107 bytes."""
        return Path("/run/minikube-py" if self.is_default else f"/run/minikube-py-{self.instance}")

    @property
    def cri_socket(self) -> Path:
        return self.run_dir / "cri.sock"

    @property
    def runtime_endpoint(self) -> str:
        return self.container_runtime_endpoint or f"unix://{self.cri_socket}"

    @property
    def bridge(self) -> str:
        return f"mkpy-{self.instance}"

    @property
    def node(self) -> str:
        return self.node_name or socket.gethostname().lower()

    @property
    def context(self) -> str:
        """The kubeconfig context's name."""
        return DEFAULT_PROFILE if self.profile == DEFAULT_PROFILE else f"{DEFAULT_PROFILE}-{self.profile}"

    @property
    def node_cidrs(self) -> tuple[str, ...]:
        """The part of the pods' ranges that this machine's pods are in: as much as a node gets of a cluster's."""
        prefixes = ((each, NODE_PREFIXES[family_of(each)]) for each in networks(self.pod_cidr))
        return tuple(str(next(each.subnets(new_prefix=max(prefix, each.prefixlen)))) for each, prefix in prefixes)

    @property
    def gateways(self) -> tuple[str, ...]:
        """The bridge's addresses, one a family, by which pods reach the API server and the host."""
        return tuple(str(network[1]) for network in networks(self.pod_cidr))

    @property
    def cluster_dns(self) -> str:
        """The address that pods ask for names: the tenth of the Services', as everywhere."""
        return str(networks(self.service_cidr)[0][10])

    @property
    def admin_kubeconfig(self) -> Path:
        return self.data_dir / "admin.kubeconfig"

    @property
    def log_file(self) -> Path:
        return self.data_dir / "minikube-py.log"

    @property
    def lock_file(self) -> Path:
        return self.data_dir / "instance.lock"

    @property
    def state_file(self) -> Path:
        """What the running process says of itself, as JSON."""
        return self.run_dir / "state.json"

    @property
    def options_file(self) -> Path:
        """The options of the last start, so that later commands need only the profile."""
        return self.data_dir / "options.json"

    @property
    def has_runtime(self) -> bool:
        return "kubelet" in self.components and not self.container_runtime_endpoint


def for_profile(name: str) -> Config:
    """The defaults of a profile: the plain ones for the default, derived ones for others."""
    if name == DEFAULT_PROFILE:
        return Config()
    if not name.replace("-", "").isalnum() or len(name) > 32:
        raise ConfigError(f"profile {name!r}: letters, digits and dashes, at most 32")
    number = int(hashlib.sha256(name.encode()).hexdigest()[:4], 16)
    return Config(
        profile=name,
        data_dir=DEFAULT_DATA_DIR.with_name(f"minikube-py-{name}"),
        port=20000 + number % 5000 * 2,
        kubelet_port=20001 + number % 5000 * 2,
        ingress_http_port=10000 + number % 5000 * 2,
        ingress_https_port=10001 + number % 5000 * 2,
        pod_cidr=(f"10.{128 + number % 64}.0.0/16",),
        service_cidr=(f"10.{192 + number % 60}.0.0/16",),
        # The machine's own is for the cluster that has the machine to itself.
        cni_conf_dir="",
    )


def configured(base: Config, values: Mapping[str, Any]) -> Config:
    """`base` with `values` (option names with dashes or underscores; None is not said) checked and laid over it."""
    known = {field.name: getattr(base, field.name) for field in fields(Config)}
    changes: dict[str, Any] = {}
    for option, value in values.items():
        name = option.replace("-", "_")
        if value is None:
            continue
        if name not in known:
            raise ConfigError(f"unknown option {option!r}; known are {', '.join(sorted(known)).replace('_', '-')}")
        changes[name] = _typed(option, value, known[name])
    config = replace(base, **changes)
    strange = set(config.components) - set(ALL_COMPONENTS)
    if strange:
        raise ConfigError(f"--components: {', '.join(sorted(strange))} is none of {', '.join(ALL_COMPONENTS)}")
    _check_ranges(config)
    try:
        features(config.feature_gates)
    except ValueError as error:
        raise ConfigError(f"--feature-gates: {error}") from None
    if not 0 <= config.image_gc_low_threshold < config.image_gc_high_threshold <= 100:
        raise ConfigError("--image-gc-low-threshold must be below --image-gc-high-threshold, both within 0 and 100")
    duration(config.image_maximum_gc_age)
    if config.ingress not in ("auto", "on", "off"):
        raise ConfigError(f"--ingress: {config.ingress!r} is none of auto, on, off")
    # The process that reads the files stands in another directory.
    return replace(
        config,
        scheduler_config=config.scheduler_config and str(Path(config.scheduler_config).absolute()),
        cni_conf_dir=config.cni_conf_dir and str(Path(config.cni_conf_dir).absolute()),
    )


def duration(text: str) -> timedelta:
    """A duration as Go programs write it (`168h`, `1h30m`), none for no text; raises ConfigError."""
    parts = _DURATION.fullmatch(text)
    if parts is None:
        raise ConfigError(f"{text!r} is no duration such as 168h or 1h30m")
    hours, minutes, seconds = (float(part or 0) for part in parts.groups())
    return timedelta(hours=hours, minutes=minutes, seconds=seconds)


def _typed(option: str, value: Any, default: Any) -> Any:
    if isinstance(default, tuple):
        items = value.split(",") if isinstance(value, str) else list(value)
        return tuple(str(item).strip() for item in items if str(item).strip())
    if isinstance(default, Path):
        return Path(str(value)).absolute()
    if isinstance(default, int):
        try:
            return int(value)
        except (TypeError, ValueError):
            raise ConfigError(f"--{option}: {value!r} is no number") from None
    return str(value)


def _check_ranges(config: Config) -> None:
    """Pods and Services have ranges of one family or of both, and prefer the same one."""
    for flag, ranges in (("--pod-cidr", config.pod_cidr), ("--service-cidr", config.service_cidr)):
        for cidr in ranges:
            _network(cidr)
        if len(ranges) not in (1, 2) or len(families_of(ranges)) < len(ranges):
            raise ConfigError(f"{flag}: {','.join(ranges)!r} is neither one range nor one of IPv4 and one of IPv6")
    pods, services = families_of(config.pod_cidr), families_of(config.service_cidr)
    if pods[: len(services)] != services:
        said = " and ".join(family.name for family in pods)
        raise ConfigError(f"--service-cidr: pods have {said}, so Services have the same, in that order, or the first")
    for one in networks(config.service_cidr):
        if one.num_addresses < _LEAST_SERVICES:
            raise ConfigError(f"--service-cidr: {one} holds fewer than {_LEAST_SERVICES} addresses")
        other = next((each for each in networks(config.pod_cidr) if each.overlaps(one)), None)
        if other is not None:
            raise ConfigError(f"--pod-cidr {other} and --service-cidr {one} overlap")


def _network(cidr: str) -> None:
    try:
        ipaddress.ip_network(cidr)
    except ValueError as error:
        raise ConfigError(f"{cidr!r} is no address range: {error}") from None
