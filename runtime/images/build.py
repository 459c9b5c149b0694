"""Builds nginx:latest and busybox:latest from Debian packages, for machines that reach no public registry.

`python -m runtime.images.build --push URL nginx busybox --cache DIR` builds what DIR has not yet and pushes it as
`library/NAME:latest`, so that a mirror of docker.io at URL serves it to an ordinary pull.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from machinery.structs import Struct
from runtime.errors import RuntimeFault
from runtime.images.debian import closure, download, unpack_packages
from runtime.images.layout import write_layout
from runtime.images.push import push

EDITION = 1
"""Counted up when a recipe changes, so that caches are built anew."""

PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
UNNEEDED = ("usr/share/doc", "usr/share/man", "usr/share/locale", "usr/share/lintian", "usr/share/bug", "etc/init.d")

PASSWD = """\
root:x:0:0:root:/root:/bin/sh
daemon:x:1:1:daemon:/usr/sbin:/usr/sbin/nologin
www-data:x:33:33:www-data:/var/www:/usr/sbin/nologin
nginx:x:101:101:nginx:/nonexistent:/bin/false
nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin
"""
GROUP = "root:x:0:\ndaemon:x:1:\nwww-data:x:33:\nnginx:x:101:\nnogroup:x:65534:\n"

NGINX_CONF = """\
user nginx;
worker_processes auto;
error_log /var/log/nginx/error.log notice;
pid /run/nginx.pid;

events {
    worker_connections 1024;
}

http {
    include /etc/nginx/mime.types;
    default_type application/octet-stream;
    access_log /var/log/nginx/access.log combined;
    sendfile on;
    keepalive_timeout 65;
    include /etc/nginx/conf.d/*.conf;
}
"""
NGINX_SITE = """\
server {
    listen 80;
    server_name localhost;

    location / {
        root /usr/share/nginx/html;
        index index.html index.htm;
    }
}
"""


class Recipe(Struct, frozen=True):
    """`packages`, and `program` with its libraries; `finish` completes the root filesystem."""

    packages: tuple[str, ...]
    config: Mapping[str, Any]
    finish: Callable[[Path], None]
    program: str = ""


def _finish_nginx(rootfs: Path) -> None:
    _write(rootfs, {"etc/nginx/nginx.conf": NGINX_CONF, "etc/nginx/conf.d/default.conf": NGINX_SITE})
    for directory in ("var/log/nginx", "var/lib/nginx", "var/cache/nginx"):
        (rootfs / directory).mkdir(parents=True, exist_ok=True)
    for log, stream in (("access.log", "stdout"), ("error.log", "stderr")):
        (rootfs / "var/log/nginx" / log).unlink(missing_ok=True)
        (rootfs / "var/log/nginx" / log).symlink_to(f"/dev/{stream}")


RECIPES: dict[str, Recipe] = {
    "busybox": Recipe(("busybox-static",), {"Env": [PATH], "Cmd": ["sh"]}, lambda rootfs: None),
    "nginx": Recipe(
        ("busybox-static",),
        {
            "Env": [PATH],
            "Cmd": ["nginx", "-g", "daemon off;"],
            "ExposedPorts": {"80/tcp": {}},
            "StopSignal": "SIGQUIT",
        },
        _finish_nginx,
        program="nginx",
    ),
}


def build_image(name: str, cache: Path) -> Path:
    """The OCI layout of the named recipe, from `cache` if it is there; raises Unavailable in apt's words."""
    layout = cache / f"{name}-{EDITION}"
    if (layout / "index.json").exists():
        return layout
    recipe = RECIPES[name]
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="build-", dir=cache) as directory:
        rootfs, made = Path(directory) / "rootfs", Path(directory) / "layout"
        packages = [*(closure(recipe.program) if recipe.program else ()), *recipe.packages]
        unpack_packages(download(packages, Path(directory) / "packages"), rootfs)
        _finish(rootfs)
        recipe.finish(rootfs)
        write_layout(made, rootfs, recipe.config)
        try:
            made.rename(layout)
        except OSError:
            # Another builder was as fast; what it made is the same.
            if not (layout / "index.json").exists():
                raise
    return layout


def _finish(rootfs: Path) -> None:
    for directory in UNNEEDED:
        shutil.rmtree(rootfs / directory, ignore_errors=True)
    for directory in (
        "dev",
        "etc",
        "proc",
        "root",
        "run",
        "sys",
        "tmp",
        "usr/bin",
        "usr/sbin",
        "bin",
        "sbin",
        "var/tmp",
    ):
        (rootfs / directory).mkdir(parents=True, exist_ok=True)
    for directory in ("tmp", "var/tmp"):
        (rootfs / directory).chmod(0o1777)
    _write(rootfs, {"etc/passwd": PASSWD, "etc/group": GROUP, "etc/nsswitch.conf": "hosts: files dns\n"})
    _link_applets(rootfs)


def _link_applets(rootfs: Path) -> None:
    """Every applet of busybox under its path, where no package brought a program of that name."""
    busybox = next(path for path in (rootfs / "bin/busybox", rootfs / "usr/bin/busybox") if path.exists())
    listed = subprocess.run([busybox, "--list-full"], capture_output=True, text=True, check=True).stdout
    for applet in listed.split():
        path = rootfs / applet
        if path != busybox and not path.exists() and not path.is_symlink():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.symlink_to("/" + str(busybox.relative_to(rootfs)))


def _write(rootfs: Path, files: Mapping[str, str]) -> None:
    for path, text in files.items():
        (rootfs / path).parent.mkdir(parents=True, exist_ok=True)
        (rootfs / path).write_text(text)
        (rootfs / path).chmod(0o644)


async def build_and_push(names: Sequence[str], url: str, cache: Path) -> dict[str, str]:
    """Builds what is missing and pushes all; each name with the digest that its tag means now."""
    registry = url.partition("://")[2] or url
    return {
        name: await push(
            await asyncio.to_thread(build_image, name, cache), f"{registry.rstrip('/')}/library/{name}:latest"
        )
        for name in names
    }


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m runtime.images.build", description=__doc__)
    parser.add_argument("names", nargs="+", choices=sorted(RECIPES), metavar="NAME")
    parser.add_argument("--push", metavar="URL", help="the registry that gets the images")
    parser.add_argument("--cache", type=Path, required=True, metavar="DIR")
    chosen = parser.parse_args(arguments)
    try:
        if chosen.push:
            print(json.dumps(asyncio.run(build_and_push(chosen.names, chosen.push, chosen.cache))))
        else:
            print(json.dumps({name: str(build_image(name, chosen.cache)) for name in chosen.names}))
    except RuntimeFault as error:
        print(error.message, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
