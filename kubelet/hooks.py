"""Lifecycle hooks: postStart after a container's start, preStop before its end."""

from __future__ import annotations

import asyncio

from kubelet import podspec
from kubelet.cri import Cri, RuntimeFailure
from kubelet.fieldrefs import quoted
from kubelet.httpget import NoAnswer, NoSuchPort, ask
from kubelet.podstate import ContainerState
from machinery.api.resource import Object


class HookFailed(Exception):
    """The message is what the status tells of it; events leave it out, as it may hold secrets."""


async def run_hook(cri: Cri, pod: Object, hook: Object, container: ContainerState, ip: str, seconds: int) -> None:
    """Returns when the hook is done; raises HookFailed where it failed or took longer than `seconds`."""
    if "sleep" in hook:
        # One that is cut short has not failed.
        await asyncio.sleep(min(hook["sleep"]["seconds"], seconds))
        return
    about = f'for Container "{container.name}" in Pod "{podspec.full_name(pod)}" failed - error:'
    try:
        async with asyncio.timeout(seconds):
            if "exec" in hook:
                await _exec(cri, hook["exec"].get("command") or [], container, about, seconds)
            elif "httpGet" in hook:
                await _http(podspec.container(pod, container.name) or {}, hook["httpGet"], ip, about)
    except TimeoutError as error:
        raise HookFailed(f"timed out after {seconds}s") from error


async def _exec(cri: Cri, command: list[str], container: ContainerState, about: str, seconds: int) -> None:
    why, output = "", b""
    try:
        result = await cri.exec_sync(container.id, command, seconds)
        output = result.stdout + result.stderr
        if result.exit_code:
            said = result.stderr.decode(errors="replace")
            why = f"command '{' '.join(command)}' exited with {result.exit_code}: {said}"
    except RuntimeFailure as failure:
        why = failure.rpc_text
    if why:
        told = quoted(output.decode(errors="replace"))
        raise HookFailed(f"Exec lifecycle hook ([{' '.join(command)}]) {about} {why}, message: {told}")


async def _http(spec: Object, get: Object, ip: str, about: str) -> None:
    """Whatever is answered is fine."""
    try:
        await ask(spec, get, ip, purpose="lifecycle")
    except (NoAnswer, NoSuchPort) as error:
        raise HookFailed(f"HTTP lifecycle hook ({get.get('path', '')}) {about} {error}") from error
