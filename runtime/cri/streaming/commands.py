"""A command or a container's own streams joined with a client's: bytes as they come, each side waits for the other."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any

from machinery.streams.remote_command import SUCCESS, Outcome, exited, failed
from runtime.cri.streaming.remote import Remote
from runtime.errors import RuntimeFault
from runtime.sandbox.attachment import Attachment
from runtime.sandbox.execution import Execution, Wanted


async def run_command(remote: Remote, command: Sequence[str], start: Callable[[], Awaitable[Execution]]) -> None:
    """Starts the command and tells the client how it ended."""
    try:
        execution = await start()
    except RuntimeFault as fault:
        await _finish(remote, failed(f"error executing command in container: {fault.message}"))
        return
    try:
        outcome = await _while_there(remote, _talk(remote, command, execution))
    finally:
        execution.leave()
    await _finish(remote, outcome)


async def attach(remote: Remote, wanted: Wanted, start: Callable[[], Attachment], *, stdin_once: bool) -> None:
    """Shows what the container writes from now on, until it ends or the client's input does."""
    try:
        attachment = start()
    except RuntimeFault as fault:
        await _finish(remote, failed(f"error attaching to container: {fault.message}"))
        return
    try:
        outcome = await _while_there(remote, _follow(remote, wanted, attachment, stdin_once=stdin_once))
    finally:
        attachment.close()
    await _finish(remote, outcome)


async def _finish(remote: Remote, outcome: Outcome | None) -> None:
    if outcome is not None:
        try:
            await remote.finish(outcome)
        except ConnectionError:
            # Nobody is there to be told.
            return


async def _while_there(remote: Remote, talk: Coroutine[Any, Any, Outcome | None]) -> Outcome | None:
    """What `talk` gives; None where the client left first."""
    async with asyncio.TaskGroup() as group:
        talking, gone = group.create_task(talk), group.create_task(remote.gone())
        await asyncio.wait([talking, gone], return_when=asyncio.FIRST_COMPLETED)
        outcome = talking.result() if talking.done() else None
        talking.cancel()
        gone.cancel()
    return outcome


async def _talk(remote: Remote, command: Sequence[str], execution: Execution) -> Outcome | None:
    async with asyncio.TaskGroup() as group:
        inwards = [group.create_task(_resize(remote, execution.resize))]
        if execution.stdin is not None:
            inwards.append(group.create_task(_feed(remote, execution)))
        outputs = [group.create_task(_copy(remote, execution.stdout, is_error=False)),
                   group.create_task(_copy(remote, execution.stderr, is_error=True))]  # fmt: skip
        code = await execution.code()
        await asyncio.wait(outputs)
        for task in inwards:
            task.cancel()
    return exited(command, code) if all(each.result() for each in outputs) else None


async def _copy(remote: Remote, source: Any, *, is_error: bool) -> bool:
    """Whether the client took it all."""
    try:
        while source is not None and (data := await source.read()):
            await remote.write(data, is_error=is_error)
    except ConnectionError:
        return False
    return True


async def _feed(remote: Remote, execution: Execution) -> None:
    assert execution.stdin is not None
    try:
        while data := await remote.read():
            await execution.stdin.write(data)
    except BrokenPipeError:
        # The command reads no more; it may still write.
        remote.abandon_input()
        return
    execution.close_stdin()


async def _resize(remote: Remote, resize: Callable[[int, int], None]) -> None:
    async for width, height in remote.sizes():
        resize(width, height)


async def _follow(remote: Remote, wanted: Wanted, attachment: Attachment, *, stdin_once: bool) -> Outcome | None:
    async with asyncio.TaskGroup() as group:
        sizing = group.create_task(_resize_attached(remote, attachment))
        showing = group.create_task(_show(remote, wanted, attachment))
        tasks: list[asyncio.Task[Any]] = [showing]
        if wanted.stdin:
            feeding = group.create_task(_feed_attached(remote, attachment))
            tasks.append(feeding)
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        if showing not in done and stdin_once and not wanted.tty:
            # The container is given its whole input once, and its answer is waited for.
            attachment.close_stdin()
            await asyncio.wait([showing])
        took_all = showing.result() if showing.done() else True
        for task in (sizing, *tasks):
            task.cancel()
    return SUCCESS if took_all else None


async def _show(remote: Remote, wanted: Wanted, attachment: Attachment) -> bool:
    """Whether the client took it all."""
    while True:
        data, is_error = await attachment.read()
        if not data:
            return True
        if wanted.stderr if is_error else wanted.stdout:
            try:
                await remote.write(data, is_error=is_error)
            except ConnectionError:
                return False


async def _feed_attached(remote: Remote, attachment: Attachment) -> None:
    try:
        while data := await remote.read():
            await attachment.write(data)
    except BrokenPipeError:
        remote.abandon_input()


async def _resize_attached(remote: Remote, attachment: Attachment) -> None:
    async for width, height in remote.sizes():
        await attachment.resize(width, height)
