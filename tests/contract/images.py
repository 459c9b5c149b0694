"""Images for tests, made from what Debian has: busybox with its applets as a `docker save` archive."""

from __future__ import annotations

import hashlib
import io
import json
import shutil
import subprocess
import tarfile
from pathlib import Path


def busybox_archive(folder: Path) -> Path:
    """A tar that holds `busybox:latest`."""
    program = shutil.which("busybox")
    assert program, "busybox-static is missing"
    layer = io.BytesIO()
    with tarfile.open(fileobj=layer, mode="w") as tar:
        for name in ("bin", "tmp", "root", "etc"):
            _add(tar, name, tarfile.DIRTYPE, mode=0o755)
        tar.add(program, "bin/busybox")
        for applet in subprocess.run([program, "--list"], capture_output=True, text=True, check=True).stdout.split():
            if applet != "busybox":
                _add(tar, f"bin/{applet}", tarfile.SYMTYPE, link="busybox")
        _add(tar, "etc/passwd", tarfile.REGTYPE, data=b"root:x:0:0:root:/root:/bin/sh\n")
    content = layer.getvalue()
    diff_id = f"sha256:{hashlib.sha256(content).hexdigest()}"
    config = json.dumps(
        {
            "architecture": "amd64",
            "os": "linux",
            "config": {"Cmd": ["sh"], "Env": ["PATH=/bin"]},
            "rootfs": {"type": "layers", "diff_ids": [diff_id]},
        }
    ).encode()
    name = f"{hashlib.sha256(config).hexdigest()}.json"
    manifest = [{"Config": name, "RepoTags": ["busybox:latest"], "Layers": ["layer.tar"]}]
    path = folder / "busybox.tar"
    with tarfile.open(path, "w") as tar:
        _add(tar, "manifest.json", tarfile.REGTYPE, data=json.dumps(manifest).encode())
        _add(tar, name, tarfile.REGTYPE, data=config)
        _add(tar, "layer.tar", tarfile.REGTYPE, data=content)
    return path


def _add(tar: tarfile.TarFile, name: str, kind: bytes, *, data: bytes = b"", link: str = "", mode: int = 0o644) -> None:
    entry = tarfile.TarInfo(name)
    entry.type, entry.linkname, entry.size, entry.mode = kind, link, len(data), mode
    tar.addfile(entry, io.BytesIO(data))
