"""What a runtime must be told. Everything that it makes lies below `root` and `run` or carries `instance`."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from machinery.ip_families import Family, Network, family_of, networks
from machinery.structs import Struct, field
from runtime.errors import FailedPrecondition

VERSION = "0.1.0"
NAME = "minikube-py"


class RuntimeConfig(Struct, frozen=True):
    """`root` outlives a reboot, `run` does not; both are this instance's own. `mirrors`: host -> URLs asked first.

    Images in the files `*.tar*` of the folder `archives` are imported at the start.
    """

    root: Path
    run: Path
    socket: Path
    instance: str
    pod_cidrs: tuple[str, ...] = ("10.244.0.0/16",)
    """One a family; a sandbox has an address of each, the first one's first."""
    bridge: str = "mkpy0"
    mirrors: Mapping[str, Sequence[str]] = field(default_factory=dict)
    archives: Path | None = None
    cni: Path | None = None
    """The folder of the user's CNI configuration, which replaces the built-in network where there is one."""

    @property
    def namespaces(self) -> Path:
        return self.run / "ns"

    @property
    def bundles(self) -> Path:
        return self.run / "bundles"

    @property
    def exits(self) -> Path:
        """Where conmon writes a file with the exit code when a container ends."""
        return self.run / "exits"

    @property
    def sockets(self) -> Path:
        return self.run / "conmon"

    @property
    def runc_root(self) -> Path:
        return self.run / "runc"

    @property
    def sandboxes(self) -> Path:
        return self.root / "sandboxes"

    @property
    def containers(self) -> Path:
        return self.root / "containers"

    @property
    def leases(self) -> Path:
        return self.root / "addresses.json"

    @property
    def table(self) -> str:
        """The nftables table."""
        return f"mkpy-{self.instance}"

    @property
    def networks(self) -> tuple[Network, ...]:
        return networks(self.pod_cidrs)

    @property
    def gateways(self) -> dict[Family, str]:
        """The bridge's address of each family."""
        return {family_of(network): str(network[1]) for network in self.networks}

    @property
    def cgroup_root(self) -> str:
        """The tree that the kubelet is told to use; what is left of it is the instance's."""
        return f"/minikube-py-{self.instance}"

    @property
    def conmon_cgroup(self) -> str:
        """What outlives this process must not be in its cgroup: a supervisor ends that as a whole."""
        return f"{self.cgroup_root}/conmon"


def program(name: str) -> str:
    """The full path of a program that the runtime needs; raises FailedPrecondition with how to get it."""
    found = shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
    if found is None:
        raise FailedPrecondition(f"{name} is missing; apt-get install {name}")
    return found
