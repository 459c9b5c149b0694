"""The user's kubeconfig, into which the cluster's context is merged without harm to what is there.

kubectl's own lock (`config.lock` beside the file) is taken, the file is replaced by an atomic rename, and its owner
and mode are kept.
"""

from __future__ import annotations

import base64
import contextlib
import os
import pwd
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from minikube_py.config import Config

Document = dict[str, Any]


class KubeconfigError(Exception):
    """The file can't be merged into; the message is one line for the user."""


def document(config: Config, *, ca: bytes, certificate: bytes, key: bytes) -> Document:
    """A kubeconfig with the one context of this cluster, certificates embedded (PEM in, base64 out).

    It is this machine's, so it names the address that never changes.
    """
    name = config.context
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [
            {
                "name": name,
                "cluster": {"certificate-authority-data": _b64(ca), "server": f"https://127.0.0.1:{config.port}"},
            }
        ],
        "users": [{"name": name, "user": {"client-certificate-data": _b64(certificate), "client-key-data": _b64(key)}}],
        "contexts": [{"name": name, "context": {"cluster": name, "user": name}}],
        "current-context": name,
    }


def merged(existing: Document, ours: Document) -> Document:
    """`existing` with our cluster, user and context put in or replaced, and made the current context."""
    result = dict(existing) or {"apiVersion": "v1", "kind": "Config"}
    for part in ("clusters", "users", "contexts"):
        names = {entry["name"] for entry in ours[part]}
        kept = [entry for entry in existing.get(part) or [] if entry.get("name") not in names]
        result[part] = [*kept, *ours[part]]
    result["current-context"] = ours["current-context"]
    return result


def without(existing: Document, name: str) -> Document:
    """`existing` with the entries called `name` taken out; another context becomes the current one if there is one."""
    result = dict(existing)
    for part in ("clusters", "users", "contexts"):
        if part in existing:
            result[part] = [entry for entry in existing.get(part) or [] if entry.get("name") != name]
    if result.get("current-context") == name:
        contexts = result.get("contexts") or []
        result["current-context"] = contexts[0]["name"] if contexts else ""
    return result


def user_path(environment: Mapping[str, str]) -> Path:
    """`$KUBECONFIG`'s first file, else `.kube/config` in the home of whoever called sudo."""
    if paths := [part for part in environment.get("KUBECONFIG", "").split(":") if part]:
        return Path(paths[0])
    user = environment.get("SUDO_USER")
    if user and os.geteuid() == 0:
        with contextlib.suppress(KeyError):
            return Path(pwd.getpwnam(user).pw_dir) / ".kube/config"
    return Path(environment.get("HOME", "/root")) / ".kube/config"


def merge_into(path: Path, ours: Document) -> None:
    """Puts `ours` into the file at `path`; raises KubeconfigError where the file is locked or no kubeconfig."""
    _edit(path, lambda existing: merged(existing, ours), create=True)


def take_out(path: Path, name: str) -> None:
    """Takes the context, cluster and user `name` out of the file, which is left alone where it has none of them."""
    if path.exists():
        _edit(path, lambda existing: without(existing, name), create=False)


def _edit(path: Path, change: Any, *, create: bool) -> None:
    import yaml

    if path.is_symlink():
        path = path.resolve()
    owner = _make_parent(path)
    with _locked(path):
        try:
            text = path.read_text()
        except FileNotFoundError:
            if not create:
                return
            text = ""
        try:
            existing = yaml.load(text, yaml.CSafeLoader) or {}
        except yaml.YAMLError as error:
            raise KubeconfigError(f"{path} is no YAML, so it was left alone: {error}") from None
        if not isinstance(existing, dict):
            raise KubeconfigError(f"{path} is no kubeconfig, so it was left alone")
        result = change(existing)
        if result == existing:
            return
        _replace(path, yaml.dump(result, Dumper=yaml.CSafeDumper, sort_keys=False), owner)


def _make_parent(path: Path) -> tuple[int, int]:
    """The owner that the file has or is to have: that of the nearest folder that exists."""
    parent = path.parent
    while not parent.exists():
        parent = parent.parent
    found = path if path.exists() else parent
    owner = found.stat().st_uid, found.stat().st_gid
    missing = [folder for folder in [path.parent, *path.parent.parents] if not folder.exists()]
    for folder in reversed(missing):
        folder.mkdir(mode=0o750)
        os.chown(folder, *owner)
    return owner


def _replace(path: Path, text: str, owner: tuple[int, int]) -> None:
    mode = path.stat().st_mode & 0o777 if path.exists() else 0o600
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    with open(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    os.chmod(temporary, mode)
    os.chown(temporary, *owner)
    os.replace(temporary, path)


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    lock = path.with_name(f"{path.name}.lock")
    try:
        os.close(os.open(lock, os.O_CREAT | os.O_EXCL, 0o600))
    except FileExistsError:
        raise KubeconfigError(f"{lock} exists: another program edits the kubeconfig, or left its lock behind") from None
    try:
        yield
    finally:
        lock.unlink(missing_ok=True)


def _b64(data: bytes) -> str:
    return base64.b64encode(data).decode()
