"""The bundle of a container: what CRI's configuration and the image's become on the disk for runc."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from machinery.rpc.go_json import plain
from machinery.rpc.wire import CRI
from machinery.structs import Struct
from runtime.errors import InvalidArgument
from runtime.sandbox.apparmor import apparmor_profile
from runtime.sandbox.host import this_host
from runtime.sandbox.records import ContainerRecord
from runtime.sandbox.seccomp import profile_of
from runtime.sandbox.spec import Surroundings, container_spec
from runtime.sandbox.users import Wanted, identity

RESOURCES = (
    "cpu_period", "cpu_quota", "cpu_shares", "memory_limit_in_bytes", "oom_score_adj", "cpuset_cpus", "cpuset_mems",
    "memory_swap_limit_in_bytes",
)  # fmt: skip
ASKED = "asked.json"
"""The file of what CRI asked for, as it asked, which nothing but a status reads."""
_STRICT = 1


class Bundle(Struct, frozen=True):
    """What a container is made of."""

    config: Any
    """CRI's ContainerConfig."""
    settings: Mapping[str, Any]
    """The `config` object of the image's configuration."""
    rootfs: Path
    around: Surroundings


def write_bundle(folder: Path, bundle: Bundle, record: ContainerRecord) -> None:
    """Writes config.json, and notes the user in the record; raises InvalidArgument. Blocks."""
    security = bundle.config.linux.security_context
    user = identity(bundle.rootfs, wanted(security, str(bundle.settings.get("User") or "")))
    record.user = {"uid": user.uid, "gid": user.gid, "supplemental_groups": list(user.groups)}
    try:
        spec = container_spec(bundle.config, bundle.settings, bundle.rootfs, user, bundle.around, this_host())
    except InvalidArgument as error:
        raise error.within(f'failed to generate container "{record.id}" spec: failed to generate spec') from error
    profile = profile_of(security, spec["process"]["capabilities"]["bounding"], os.uname().machine)
    if profile is not None:
        spec["linux"]["seccomp"] = profile
    if confined_by := apparmor_profile(security):
        spec["process"]["apparmorProfile"] = confined_by
    folder.mkdir(parents=True, exist_ok=True)
    for entry in bundle.config.mounts:
        if not Path(entry.host_path).exists():
            # As Docker did and containerd does: what is missing is made a folder.
            Path(entry.host_path).mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(spec))
    (folder / ASKED).write_text(json.dumps(plain(bundle.config)))
    if record.log_path:
        Path(record.log_path).parent.mkdir(parents=True, exist_ok=True)


def amend_bundle(folder: Path, limits: Mapping[str, Any]) -> None:
    """Changes the limits of a container that was not started yet. Blocks."""
    path = folder / "config.json"
    spec = json.loads(path.read_text())
    spec["linux"]["resources"] |= limits
    path.write_text(json.dumps(spec))


def wanted(security: Any, of_image: str) -> Wanted:
    """The user and groups that the configuration asks for, the image's own where it asks for none.

    Raises InvalidArgument for a group alone, as CRI says of `run_as_group`.
    """
    said = security.run_as_username or (str(security.run_as_user.value) if security.HasField("run_as_user") else "")
    if security.HasField("run_as_group"):
        if not said:
            raise InvalidArgument(f'user group "{security.run_as_group.value}" is specified without user')
        said = f"{said}:{security.run_as_group.value}"
    said = said or of_image
    strict = security.supplemental_groups_policy == _STRICT
    return Wanted(said, tuple(security.supplemental_groups), strict)


def told_resources(resources: Any, before: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The limits as the record keeps them: what an update leaves out stays as it was."""
    asked = {name: getattr(resources, name) for name in RESOURCES if getattr(resources, name)}
    if resources.unified:
        asked["unified"] = dict(resources.unified)
    if resources.hugepage_limits:
        asked["hugepage_limits"] = [{"page_size": h.page_size, "limit": h.limit} for h in resources.hugepage_limits]
    return {**(before or {}), **asked}


def resources_message(told: Mapping[str, Any]) -> Any:
    """The record's limits as CRI's message."""
    return CRI.message("runtime.v1.LinuxContainerResources")(**told)


def told_mount(mount: Any) -> dict[str, Any]:
    told = {
        "container_path": mount.container_path,
        "host_path": mount.host_path,
        "readonly": mount.readonly,
        "propagation": mount.propagation,
    }
    if mount.image.image:
        told |= {"image": {"image": mount.image.image}, "image_sub_path": mount.image_sub_path}
    return told


def told_ports(config: Any) -> list[dict[str, Any]]:
    """The port mappings that ask for a port of the host."""
    return [
        {
            "protocol": mapping.protocol,
            "container_port": mapping.container_port,
            "host_port": mapping.host_port,
            "host_ip": "" if mapping.host_ip in ("0.0.0.0", "::") else mapping.host_ip,  # noqa: S104 - every address
        }
        for mapping in config.port_mappings
        if mapping.host_port
    ]
