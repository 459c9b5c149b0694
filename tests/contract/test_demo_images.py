"""The images built from Debian packages are images like any other, and their programs run."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

from runtime.images.build import build_image
from runtime.images.layers import unpack_layer
from runtime.images.layout import Layout, write_layout
from runtime.images.media import parse_config, parse_manifest
from runtime.snapshots.snapshot import Unpacking


def test_the_same_files_make_the_same_image(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name / "d").mkdir(parents=True)
        (tmp_path / name / "d/f").write_text("text")
        os.utime(tmp_path / name / "d/f", (len(name), 5 if name == "one" else 6))
        write_layout(tmp_path / f"{name}.layout", tmp_path / name, {"Cmd": ["sh"]})
    assert Layout(tmp_path / "one.layout").manifest() == Layout(tmp_path / "two.layout").manifest()


async def test_busybox_runs_from_its_image(tmp_path: Path) -> None:
    layout = Layout(build_image("busybox", tmp_path / "cache"))
    digest, _ = layout.manifest()
    manifest = parse_manifest(layout.blob(digest).read_bytes())
    config = parse_config(layout.blob(manifest.config.digest).read_bytes())
    assert json.loads(layout.blob(manifest.config.digest).read_bytes())["config"]["Cmd"] == ["sh"]
    root = tmp_path / "root"
    root.mkdir()
    ((layer,), (diff_id,)) = manifest.layers, config.diff_ids
    await unpack_layer(layout.blob(layer.digest), Unpacking(root, marks=False), diff_id)
    command = "ls / && wget --help 2>&1 | head -1 && whoami"
    ran = subprocess.run(["chroot", root, "/bin/sh", "-c", command], capture_output=True, text=True, check=True)
    assert ran.stdout.split()[-1] == "root"
    assert {"bin", "etc", "tmp"} <= set(ran.stdout.split())
    assert build_image("busybox", tmp_path / "cache") == layout.directory
