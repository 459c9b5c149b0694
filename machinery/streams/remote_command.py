"""How the end of a command in a container is told: a Status of the API (v4 and later), or text for a failure. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

from machinery.structs import Struct, field

SPDY = "SPDY/3.1"
"""What is asked for by `Upgrade`."""
STREAM_PROTOCOL = "X-Stream-Protocol-Version"
"""The header that says what the streams of SPDY mean: one of those below."""
SPDY_PROTOCOLS = ("v4.channel.k8s.io", "v3.channel.k8s.io", "v2.channel.k8s.io", "channel.k8s.io")
PORT_FORWARD_PROTOCOL = "portforward.k8s.io"


class Outcome(Struct, frozen=True):
    """How a command or an attachment ended; `message` is empty where it ended well."""

    message: str = ""
    reason: str = ""
    code: int = 0
    causes: Sequence[dict[str, str]] = field(default=())

    def status(self) -> bytes:
        """The Status as JSON, its fields in the order that Go writes."""
        said: dict[str, Any] = {"metadata": {}, "status": "Failure" if self.message else "Success"}
        if self.message:
            details = {"causes": list(self.causes)}
            said |= {"message": self.message, "reason": self.reason, "details": details}
        if self.code:
            said["code"] = self.code
        return json.dumps(said, separators=(",", ":")).encode()


SUCCESS = Outcome()


def exited(command: Sequence[str], code: int) -> Outcome:
    """Of a command that ran to its end."""
    if code == 0:
        return SUCCESS
    message = (
        f"command terminated with non-zero exit code: error executing command [{' '.join(command)}], exit code {code}"
    )
    return Outcome(message, "NonZeroExitCode", causes=({"reason": "ExitCode", "message": str(code)},))


def failed(why: str) -> Outcome:
    """Of what could not be done."""
    return Outcome(f"Internal error occurred: {why}", "InternalError", 500, ({"message": why},))


def negotiated(asked: Iterable[str], offered: Sequence[str]) -> str | None:
    """The first protocol of `X-Stream-Protocol-Version` headers that is offered; None where there is none."""
    wanted = [each.strip() for header in asked for each in header.split(",")]
    return next((each for each in wanted if each in offered), None)


class Sizes:
    """Takes the bytes of a resize stream, JSON objects one after the other, and gives terminal sizes."""

    def __init__(self) -> None:
        self._text = ""

    def feed(self, data: bytes) -> list[tuple[int, int]]:
        """The (width, height) that the bytes complete; raises ValueError for what is no size."""
        text = self._text + data.decode()
        found = []
        while text := text.lstrip():
            try:
                said, end = json.JSONDecoder().raw_decode(text)
            except json.JSONDecodeError:
                if len(text) > _LONGEST:
                    raise
                break
            text = text[end:]
            found.append(_size(said))
        self._text = text
        return found


def _size(said: Any) -> tuple[int, int]:
    sizes = {str(name).lower(): value for name, value in said.items()} if isinstance(said, dict) else {}
    width, height = sizes.get("width"), sizes.get("height")
    if not (isinstance(width, int) and isinstance(height, int) and 0 <= width < 1 << 16 and 0 <= height < 1 << 16):
        raise ValueError(f"no size of a terminal: {said}")
    return width, height


_LONGEST = 1024
