"""Fault points: the side effects of a process in their order, each named, to be killed before or to fail.

Python raises an audit event before it opens, renames or removes a file and before it starts a program (PEP 578), and
`machinery.linux` raises one before each system call that Python does not know. So every side effect is a fault point by
itself: none has to be named in the code, and none can be forgotten. A name says which function of ours asks for what,
as in `Records.write: rename ROOT/sandboxes/*.json`; the second passing of a point ends with ` (2)`, and so on.
"""

from __future__ import annotations

import errno
import json
import os
import re
import signal
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import FrameType
from typing import Any

REPOSITORY = Path(__file__).parents[1]
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC
_CGROUPS = "/sys/fs/cgroup"
_ONE_HIERARCHY = "memory"
"""Of cgroup v1 one hierarchy stands for all: each is treated as the one before."""
_BY_CHANCE = (
    r"(?<=/tmp)\w{8}$|(?<=probe-)[^/]+|(?<=/\.\.)\w{8}(?=/|$)|(?<=kube-api-access-)\w{5}"
    r"|d?[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
)
"""Folders and volumes with a name made up, and uids, of pods with the letter before them."""


class FaultPoints:
    """Watches this process for good; `places`: path -> its name in points. What lies elsewhere is no side effect."""

    def __init__(self, places: Mapping[str, str]) -> None:
        self._places = places
        self.begin("")
        sys.addaudithook(self._hook)

    def begin(self, command: str, chosen: str = "") -> None:
        """Does what `obey` says of the command; `names` begins anew.

        `kill-next` kills at the first point that is not among those in `chosen`, a list as JSON, and prints its name.
        """
        self._command, self._chosen = command, chosen
        self._known = frozenset(json.loads(chosen)) if command == "kill-next" else frozenset[str]()
        self.names, self._passed = list[str](), dict[str, int]()

    def obey(self) -> None:
        """Does what the lines of the standard input say, in a thread: `names` or one of those below.

        Each is answered by a line of JSON: the points since the last command. `kill NAME` and `fail NAME` choose a
        point; at one that fails there is no space left on the device.
        """
        threading.Thread(target=self._read, name="fault points", daemon=True).start()

    def _read(self) -> None:
        for line in sys.stdin:
            names = self.names
            command, _, chosen = line.rstrip("\n").partition(" ")
            self.begin(command, chosen)
            print(json.dumps(names), flush=True)

    def _hook(self, event: str, arguments: Sequence[Any]) -> None:
        effect = _EFFECTS.get(event) or (_netlink if event.startswith("netlink.") else None)
        target = effect(event, arguments, self._places) if effect else ""
        if not target:
            return
        name = f"{_asking(sys._getframe(1))}: {target}"
        self._passed[name] = passed = self._passed.get(name, 0) + 1
        name += f" ({passed})" if passed > 1 else ""
        self.names.append(name)
        if self._command == "kill-next" and name not in self._known:
            os.write(sys.stdout.fileno(), f"{json.dumps([name])}\n".encode())
            os.kill(os.getpid(), signal.SIGKILL)
        if (self._command, self._chosen) == ("kill", name):
            os.kill(os.getpid(), signal.SIGKILL)
        if name == self._chosen and self._command == "fail":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), target)


def listed(path: Path) -> dict[str, list[str]]:
    """The points of each step, in their order, from the file that lists them."""
    found: dict[str, list[str]] = {}
    for line in path.read_text().splitlines():
        if line.startswith("  "):
            found[[*found][-1]].append(line.strip())
        else:
            found[line] = []
    return found


def pairs(path: Path) -> list[tuple[str, str]]:
    """Step and fault point, in their order."""
    return [(step, point) for step, points in listed(path).items() for point in points]


def _asking(frame: FrameType | None) -> str:
    """The innermost function of a component, as machinery acts for others; in a thread of machinery's the outermost."""
    asking = "thread"
    while frame is not None:
        path, name = frame.f_code.co_filename, frame.f_code.co_qualname
        if path.startswith(f"{REPOSITORY}/") and "/.venv/" not in path and not name.startswith("in_own_thread"):
            asking = name.replace(".<locals>.", ".").replace(".<lambda>", "")
            if "/machinery/" not in path:
                break
        frame = frame.f_back
    return asking


def _place(path: Any, places: Mapping[str, str]) -> str:
    """The path as it is named, with `*` for what differs from run to run; empty where it is none of ours."""
    try:
        text = os.fsdecode(path)
    except TypeError:
        return ""
    if text.startswith(_CGROUPS):
        hierarchy, _, rest = text.removeprefix(f"{_CGROUPS}/").partition("/")
        if not (Path(_CGROUPS) / "cgroup.controllers").exists():
            if hierarchy != _ONE_HIERARCHY:
                return ""
            text = f"{_CGROUPS}/{rest}"
        return _anonymous(text.replace(_CGROUPS, "CGROUP", 1))
    for place, name in places.items():
        if text == place or text.startswith(f"{place}/"):
            return _anonymous(name + text.removeprefix(place))
    return ""


def _anonymous(text: str) -> str:
    # A name by chance first: it may begin as a hexadecimal one.
    return re.sub(r"\d+", "*", re.sub(f"{_BY_CHANCE}|[0-9a-f]{{6,}}", "*", text))


def _opened(_: str, arguments: Sequence[Any], places: Mapping[str, str]) -> str:
    path, _mode, flags = arguments
    # Reading a fifo lets its writer go on.
    if not flags & _WRITING and not str(path).endswith(".fifo"):
        return ""
    place = _place(path, places)
    return f"open {place}" if place else ""


def _file(event: str, arguments: Sequence[Any], places: Mapping[str, str]) -> str:
    place = _place(arguments[1 if event in ("os.rename", "os.link", "os.symlink") else 0], places)
    return f"{event.partition('.')[2]} {place}" if place else ""


def _program(_: str, arguments: Sequence[Any], __: Mapping[str, str]) -> str:
    words = [os.fsdecode(word) for word in arguments[1]]
    verbs = [word for word in words[1:] if not word.startswith("-")] if words[0].endswith("runc") else []
    # Whoever starts the tests may call the interpreter python3 as well.
    name = "python" if words[0] == sys.executable else Path(words[0]).name
    return " ".join(["spawn", name, *verbs[:1]])


def _netlink(event: str, arguments: Sequence[Any], _: Mapping[str, str]) -> str:
    request = event.partition(".")[2]
    return "" if request.startswith("get_") else " ".join(["netlink", request, *map(str, arguments)])


def _nft(_: str, arguments: Sequence[Any], __: Mapping[str, str]) -> str:
    return "" if arguments[0].startswith("list") else "nft"


def _kill(_: str, arguments: Sequence[Any], __: Mapping[str, str]) -> str:
    return "" if arguments[0] == os.getpid() else f"kill -{int(arguments[1])}"


_FILE_EVENTS = ("os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.link", "os.symlink", "os.truncate")
_EFFECTS: Mapping[str, Callable[[str, Sequence[Any], Mapping[str, str]], str]] = {
    "open": _opened,
    "subprocess.Popen": _program,
    "nft.run": _nft,
    "os.kill": _kill,
    **dict.fromkeys((*_FILE_EVENTS, "mount.mount", "mount.unmount"), _file),
}
