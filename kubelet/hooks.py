"""Lifecycle hooks: postStart after a container's start, preStop before its end."""

from __future__ import annotations

import asyncio

from kubelet.cri import Cri, RuntimeFailure
from kubelet.podstate import ContainerState
from machinery.api.resource import Object
from machinery.ip_families import host_port


class HookFailed(Exception):
    """The message is what the event says after the hook's name."""


def port_number(spec: Object, port: int | str) -> int:
    """A port given by number or by its name in the container's spec."""
    if isinstance(port, int) or str(port).isdigit():
        return int(port)
    named = (entry["containerPort"] for entry in spec.get("ports") or () if entry.get("name") == port)
    found = next(named, None)
    if found is None:
        raise HookFailed(f"couldn't find port: {port}")
    return int(found)


async def run_hook(cri: Cri, spec: Object, hook: Object, container: ContainerState, ip: str, seconds: int) -> None:
    """Returns when the hook is done; raises HookFailed where it failed or took longer than `seconds`."""
    try:
        async with asyncio.timeout(seconds):
            await _run(cri, spec, hook, container, ip, seconds)
    except TimeoutError as error:
        raise HookFailed(f"timed out after {seconds}s") from error


async def _run(cri: Cri, spec: Object, hook: Object, container: ContainerState, ip: str, seconds: int) -> None:
    if "sleep" in hook:
        await asyncio.sleep(hook["sleep"]["seconds"])
    elif "exec" in hook:
        command = hook["exec"].get("command") or []
        try:
            result = await cri.exec_sync(container.id, command, seconds)
        except RuntimeFailure as failure:
            raise HookFailed(failure.rpc_text) from failure
        if result.exit_code:
            said = (result.stdout + result.stderr).decode(errors="replace")
            raise HookFailed(f"command '{' '.join(command)}' exited with {result.exit_code}: {said}")
    elif "httpGet" in hook:
        import aiohttp

        get = hook["httpGet"]
        scheme = str(get.get("scheme", "HTTP")).lower()
        asked = host_port(get.get("host") or ip, port_number(spec, get["port"]))
        url = f"{scheme}://{asked}/{get.get('path', '').lstrip('/')}"
        try:
            async with aiohttp.ClientSession() as session, session.get(url, ssl=False) as answer:
                await answer.read()
        except aiohttp.ClientError as error:
            raise HookFailed(str(error)) from error
