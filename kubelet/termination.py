"""Termination messages: what a container left in its file, or the tail of its log where it failed and left nothing."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from kubelet.podstate import TERMINATION_POLICY, ContainerState, PodState
from kubelet.start import termination_log

LONGEST, TAIL_LINES, TAIL_BYTES = 4096, 80, 2048


def with_messages(state: PodState, pod_dir: Path) -> PodState:
    """The state with each ended container's message complete; reads small files, so it belongs into a thread."""
    containers = tuple(_with_message(each, pod_dir) if each.has_ended else each for each in state.containers)
    return dataclasses.replace(state, containers=containers)


def _with_message(container: ContainerState, pod_dir: Path) -> ContainerState:
    found = _read(termination_log(pod_dir, container.name, container.attempt), LONGEST)
    if not found and container.exit_code and container.annotations.get(TERMINATION_POLICY) == "FallbackToLogsOnError":
        found = _log_tail(Path(container.log_path))
    if not found:
        return container
    message = f"{container.message}: {found}" if container.message else found
    return dataclasses.replace(container, message=message)


def _read(path: Path, limit: int) -> str:
    try:
        with path.open("rb") as file:
            return file.read(limit).decode(errors="replace")
    except OSError:
        return ""


def _log_tail(path: Path) -> str:
    """The text of the last lines of a CRI log (`time stream P|F text`)."""
    try:
        with path.open("rb") as file:
            file.seek(0, 2)
            file.seek(max(file.tell() - 64 * 1024, 0))
            lines = file.read().decode(errors="replace").splitlines()[-TAIL_LINES:]
    except OSError:
        return ""
    return "\n".join(line.split(" ", 3)[-1] for line in lines)[-TAIL_BYTES:]
