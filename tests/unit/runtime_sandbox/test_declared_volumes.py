"""Which folders of an image's root filesystem stay writable."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from machinery.rpc.wire import CRI
from runtime.sandbox.declared_volumes import declared_volumes


def config(*mounted: str, readonly: bool = True) -> Any:
    return CRI.message("runtime.v1.ContainerConfig")(
        mounts=[{"container_path": path} for path in mounted],
        linux={"security_context": {"readonly_rootfs": readonly}},
    )


@pytest.mark.parametrize(
    ("asked", "declared", "found"),
    [
        (config(readonly=False), ["/data"], {}),
        (config(), [], {}),
        (config(), ["/data", "there/"], {"/data": "data", "/there": "there"}),
        (config("/data/"), ["/data", "/a/b"], {"/a/b": "a/b"}),
        (config(), ["/link/below"], {"/link/below": "there/below"}),
        (config(), ["/out"], {"/out": "etc"}),
    ],
)
def test_declared_volumes_lie_within_the_root(
    tmp_path: Path, asked: Any, declared: list[str], found: dict[str, str]
) -> None:
    for name in ("there", "etc"):
        (tmp_path / name).mkdir()
    (tmp_path / "link").symlink_to("/there")
    (tmp_path / "out").symlink_to("../../etc")
    volumes = declared_volumes(asked, {"Volumes": dict.fromkeys(declared, {})}, tmp_path)
    assert volumes == {path: tmp_path / inside for path, inside in found.items()}
    assert all(path.is_dir() for path in volumes.values())
