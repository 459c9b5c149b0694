"""The files that the kubelet itself puts into containers: /etc/hosts and the termination log; and the mounts' list."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kubelet import podspec
from kubelet.environment import expand, references
from kubelet.logs import LogOptions, line_of
from kubelet.podstate import TERMINATION_POLICY, ContainerState, PodState
from kubelet.sandboxconfig import hostname
from kubelet.subpaths import sub_path
from kubelet.volumecontent import VolumeFailure
from machinery.api.resource import Object
from machinery.rpc.wire import CRI
from machinery.structs import replace

_MESSAGE_LIMIT = 4096
_LOG_MESSAGE_BYTES, _LOG_MESSAGE_LINES = 2048, 80
_PROPAGATION = {
    "None": "PROPAGATION_PRIVATE",
    "HostToContainer": "PROPAGATION_HOST_TO_CONTAINER",
    "Bidirectional": "PROPAGATION_BIDIRECTIONAL",
}


def hosts_file(pod: Object, pod_ips: tuple[str, ...], domain: str, host_text: str) -> str:
    """The pod's /etc/hosts; on the host's network it is the host's own."""
    aliases = [_alias(alias) for alias in pod["spec"].get("hostAliases") or ()]
    extra = "\n# Entries added by HostAliases.\n" + "".join(aliases) if aliases else ""
    if podspec.is_host_network(pod):
        return f"# Kubernetes-managed hosts file (host network).\n{host_text}{extra}"
    name = hostname(pod, "")
    subdomain = pod["spec"].get("subdomain")
    full = f"{name}.{subdomain}.{podspec.namespace(pod)}.svc.{domain}\t" if subdomain else ""
    lines = [
        "# Kubernetes-managed hosts file.",
        "127.0.0.1\tlocalhost",
        "::1\tlocalhost ip6-localhost ip6-loopback",
        "fe00::0\tip6-localnet",
        "fe00::0\tip6-mcastprefix",
        "fe00::1\tip6-allnodes",
        "fe00::2\tip6-allrouters",
        *(f"{ip}\t{full}{name}" for ip in pod_ips),
    ]
    return "\n".join(lines) + "\n" + extra


def write_hosts(pod_dir: Path, pod: Object, pod_ips: tuple[str, ...], domain: str) -> None:
    """Writes the file for the pod's containers where it isn't as it should be. Blocks."""
    host_text = Path("/etc/hosts").read_text() if podspec.is_host_network(pod) else ""
    text, path = hosts_file(pod, pod_ips, domain, host_text), pod_dir / "etc-hosts"
    pod_dir.mkdir(parents=True, exist_ok=True)
    if not path.exists() or path.read_text() != text:
        path.write_text(text)


def _alias(alias: Object) -> str:
    return "\t".join([alias["ip"], *(alias.get("hostnames") or ())]) + "\n"


def termination_log(pod_dir: Path, container: str, attempt: int) -> Path:
    return pod_dir / "containers" / container / str(attempt)


def container_mounts(
    spec: Object,
    volumes: Mapping[str, Path],
    images: Mapping[str, str],
    pod_dir: Path,
    attempt: int,
    environment: Mapping[str, str],
) -> list[dict[str, Any]]:
    """CRI mounts; makes the termination log. Raises VolumeFailure for a mount without volume or a bad subPath."""
    if spec.get("volumeDevices"):
        raise VolumeFailure("block volumes are not supported")
    places = pod_dir / "volume-subpaths" / spec["name"]
    mounts = [
        _image_mount(mount, images[mount["name"]])
        if mount["name"] in images
        else _mount(spec, mount, volumes, environment, places / str(number))
        for number, mount in enumerate(spec.get("volumeMounts") or ())
    ]
    taken = {mount["container_path"] for mount in mounts}
    if "/etc/hosts" not in taken and (pod_dir / "etc-hosts").exists():
        mounts.append({"container_path": "/etc/hosts", "host_path": str(pod_dir / "etc-hosts")})
    path = spec.get("terminationMessagePath", "/dev/termination-log")
    if path:
        log = termination_log(pod_dir, spec["name"], attempt)
        log.parent.mkdir(parents=True, exist_ok=True)
        log.write_bytes(b"")
        log.chmod(0o666)
        mounts.append({"container_path": path, "host_path": str(log)})
    return mounts


def _image_mount(mount: Object, image: str) -> dict[str, Any]:
    path = mount["mountPath"]
    return {
        "container_path": path if path.startswith("/") else f"/{path}",
        "image": {"image": image},
        "image_sub_path": mount.get("subPath", ""),
        "readonly": True,
    }


def _mount(
    spec: Object, mount: Object, volumes: Mapping[str, Path], environment: Mapping[str, str], place: Path
) -> dict[str, Any]:
    source = volumes.get(mount["name"])
    if source is None:
        raise VolumeFailure(f'cannot find volume "{mount["name"]}" to mount into container "{spec["name"]}"')
    relative = mount.get("subPath") or _expanded(mount.get("subPathExpr", ""), environment)
    if relative:
        source = sub_path(source, relative, place, f'volumeMount "{mount["name"]}" of container "{spec["name"]}"')
    propagation = _PROPAGATION[mount.get("mountPropagation") or "None"]
    path = mount["mountPath"]
    return {
        "container_path": path if path.startswith("/") else f"/{path}",
        "host_path": str(source),
        "readonly": bool(mount.get("readOnly")),
        "propagation": CRI.enum("runtime.v1.MountPropagation")[propagation],
        "recursive_read_only": mount.get("recursiveReadOnly") in ("Enabled", "IfPossible"),
    }


def _expanded(text: str, environment: Mapping[str, str]) -> str:
    """With the values of its variables, all of which must have one; raises VolumeFailure."""
    missing = sorted({name for name in references(text) if not environment.get(name)})
    if missing:
        raise VolumeFailure(f"missing value for {', '.join(missing)}")
    return expand(text, environment)


def with_messages(state: PodState, pod_dir: Path) -> PodState:
    """The state with each ended container's message complete; reads small files, so it belongs into a thread."""
    containers = tuple(
        replace(each, message=termination_message(pod_dir, each, each.annotations.get(TERMINATION_POLICY, "File")))
        if each.has_ended
        else each
        for each in state.containers
    )
    return replace(state, containers=containers)


def termination_message(pod_dir: Path, state: ContainerState, policy: str) -> str:
    """What the container said of its end: its termination log, or its output's tail where the policy says so."""
    log = termination_log(pod_dir, state.name, state.attempt)
    try:
        with log.open("rb") as file:
            text = file.read(_MESSAGE_LIMIT).decode(errors="replace")
    except OSError:
        text = ""
    if not text and policy == "FallbackToLogsOnError" and state.exit_code != 0:
        text = _tail(Path(state.log_path))
    return text or state.message


def _tail(path: Path) -> str:
    """The text of the last lines of a CRI log (`time stream P|F text`)."""
    try:
        with path.open("rb") as file:
            file.seek(max(path.stat().st_size - 4 * _LOG_MESSAGE_BYTES, 0))
            lines = file.read().split(b"\n")[-_LOG_MESSAGE_LINES - 1 :]
    except OSError:
        return ""
    text = b"".join(line_of(line, LogOptions()) for line in lines)
    return text[-_LOG_MESSAGE_BYTES:].decode(errors="replace")
