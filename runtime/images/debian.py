"""Files of Debian packages, fetched by apt and unpacked without installing anything on the host."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path

from runtime.errors import Unavailable

# What a program in a container needs of its package's dependencies: shared libraries, and its own parts.
LIBRARIES = ("lib", "zlib")


def closure(package: str) -> list[str]:
    """`package`, the parts named after it, and the libraries that they all depend on."""
    found: dict[str, None] = {}
    pending = [package]
    while pending:
        name = pending.pop()
        if name not in found:
            found[name] = None
            pending += [
                other
                for line in _with_lists(["apt-cache", "depends", name]).splitlines()
                if (other := line.strip().removeprefix("Depends: ")) != line.strip()
                and other.startswith((*LIBRARIES, f"{package}-"))
            ]
    return list(found)


def download(packages: Sequence[str], directory: Path) -> list[Path]:
    """The packages' files, newly fetched into `directory`; raises Unavailable in apt's words."""
    directory.mkdir(parents=True, exist_ok=True)
    # As root, since apt's own user may not write here.
    _with_lists(["apt-get", "download", "--quiet", "--option", "APT::Sandbox::User=root", *packages], directory)
    return [max(directory.glob(f"{name}_*.deb"), key=lambda path: path.stat().st_mtime) for name in packages]


def unpack_packages(files: Sequence[Path], rootfs: Path) -> None:
    """Lays the packages' files into `rootfs`; runs none of their scripts."""
    rootfs.mkdir(parents=True, exist_ok=True)
    for file in files:
        _run(["dpkg-deb", "--extract", str(file), str(rootfs)])


def _with_lists(argv: Sequence[str], directory: Path | None = None) -> str:
    """What the command prints; asked again with fresh lists where apt has none, or versions replaced since."""
    try:
        return _run(argv, directory)
    except Unavailable:
        _run(["apt-get", "update", "--quiet"])
        return _run(argv, directory)


def _run(argv: Sequence[str], directory: Path | None = None) -> str:
    try:
        done = subprocess.run(argv, cwd=directory, capture_output=True, text=True, check=False)
    except FileNotFoundError as error:
        raise Unavailable(f"{argv[0]} is missing: images are built from Debian packages") from error
    if done.returncode != 0:
        raise Unavailable(f"{' '.join(argv[:2])} failed: {done.stderr.strip()[-500:]}")
    return done.stdout
