"""Measures and prints the table of docs/performance.md.

scripts/bench [NAME…] [--write]       those rows whose name holds one of NAME; --write puts the whole table in
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

import uvloop

from tests.bench import callbacks, cases, many_services, pressure, pulling, rollout, scheduling, service_path, streams
from tests.bench.connection import Target
from tests.bench.names import answers, gap
from tests.bench.servers import Program, idle_server, program

_PAGE = Path(__file__).parents[2] / "docs" / "performance.md"
_BEGIN, _END = "<!-- bench -->", "<!-- /bench -->"
_IDLE_FOR = 10.0
_BOUND, _MEANWHILE = "2,000 pods created and bound on 100 nodes", "a GET while pods are bound"
_SPREAD = "2,000 pods bound, spread over zones, rather not beside one another"
_THOUSAND = "2,000 pods created and bound on 1,000 nodes"
_ROLLOUT, _WHILE_ROLLING = "a Deployment of 1,000 rolls over on simulated nodes", "a GET while it rolls over"
_TEN_THOUSAND = "10,000 pods on 200 simulated nodes: memory, idle"
_CALLBACK = "the longest callback while 2,000 pods are bound, 22,000 writes come and the store compacts"

_BY_SERVICE = "by a Service, beside the direct way to the pod"
_SERVICES = "1,000 Services of 10 endpoints: first sync, one change, memory"
_NAMES, _NAMELESS = "answers of the DNS, a GET meanwhile", "no name is answered during a restart"


@dataclass(frozen=True)
class Row:
    """One line: what, upstream's figure, the goal, what was measured, and the part of the idle server's rate."""

    what: str
    upstream: str
    goal: str
    measured: str
    ratio: str = ""
    cpu: str = ""


async def api_rows(ours: Target, idle: Target, names: list[str]) -> AsyncIterator[Row]:
    table: list[tuple[str, str, str, Callable[[], Awaitable[cases.Rate]]]] = [
        ("GET, 1 connection", "1,190/s", "2,500/s", lambda: cases.get(ours, idle, 1)),
        ("GET, 16 connections", "3,630/s", "9,000/s", lambda: cases.get(ours, idle, 16)),
        ("LIST 1,000 pods, 4 connections", "49/s", "500/s", lambda: cases.list_pods(ours, idle, accepts_gzip=False)),
        ("LIST 1,000 pods, gzip", "", "600/s", lambda: cases.list_pods(ours, idle, accepts_gzip=True)),
        ("create ConfigMaps, 1 connection", "660/s", "1,500/s", lambda: cases.create_config_maps(ours, idle, 1)),
        ("create ConfigMaps, 32 connections", "1,920/s", "3,500/s", lambda: cases.create_config_maps(ours, idle, 32)),
        ("create Deployments, 32 connections", "", "1,500/s", lambda: cases.create_deployments(ours, idle)),
        ("patch, 16 connections", "1,230/s", "3,000/s", lambda: cases.patch(ours, idle)),
        ("server-side apply, two managers", "", "1,200/s", lambda: cases.apply(ours, idle)),
    ]
    for what, upstream, goal, measure in table:
        if _is_asked(what, names):
            found = await measure()
            yield Row(
                what,
                upstream,
                goal,
                f"{found.rate:,.0f}/s",
                f"{found.ratio:.2f}",
                f"{found.cpu:,.0f} / {found.idle_cpu:,.0f} us",
            )
    if _is_asked("watch", names):
        told, nothing = await streams.ours(ours), await streams.idle(idle, 1000)
        measured = f"{told.rate:,.0f} events/s, p99 {told.p99:.0f} ms"
        what, upstream = "watch, 100 watchers, 2 writers", "22,400 events/s, p99 15 ms"
        yield Row(what, upstream, "45,000 events/s, p99 15 ms", measured, f"{told.rate / nothing.rate:.2f}")


async def idle_share(running: Program) -> float:
    """Percent of a core that the program takes when nobody asks."""
    await asyncio.sleep(1)
    before = running.target.cpu_seconds()
    await asyncio.sleep(_IDLE_FOR)
    return (running.target.cpu_seconds() - before) / _IDLE_FOR * 100


async def rows(names: list[str]) -> AsyncIterator[Row]:
    with tempfile.TemporaryDirectory(prefix="bench-") as directory:
        async with program("apiserver") as running, idle_server(Path(directory)) as idle:
            if _is_asked("start", names):
                measured = f"{running.start_seconds:.2f} s"
                yield Row("start to /readyz, API server alone", "2.6 to 3.6 s", "1.0 s", measured)
            async for row in api_rows(running.target, idle, names):
                yield row
            if _is_asked("compacts", names):
                waits = await pressure.compaction(running.target)
                yield Row("a GET while 22,000 writes come and the store compacts", "", "", str(waits))
    async for row in control_plane_rows(names):
        yield row
    async for row in scheduling_rows(names):
        yield row
    async for row in simulation_rows(names):
        yield row
    async for row in network_rows(names):
        yield row
    if _is_asked("pulled", names):
        async for row in pulling_rows():
            yield row


async def control_plane_rows(names: list[str]) -> AsyncIterator[Row]:
    """How long it holds others up, and what it takes when there is nothing to do."""
    if _is_asked(_CALLBACK, names):
        computed, took = await callbacks.longest()
        yield Row(_CALLBACK, "", "10 ms", f"{took:.0f} ms, {computed:.0f} ms of it CPU")
    if _is_asked("idle", names):
        async with program("apiserver,controllers,scheduler") as running:
            measured = f"{await idle_share(running):.2f} %, {running.pss():.0f} MB"
            yield Row("idle control plane: share of a core, PSS", "3.7 %, 650 MB", "0.5 %, 120 MB", measured)


async def scheduling_rows(names: list[str]) -> AsyncIterator[Row]:
    """Without controllers: the nodes have no kubelets, whose silence those would punish."""
    if _is_asked(_BOUND, names) or _is_asked(_MEANWHILE, names):
        async with program("apiserver,scheduler") as running, pressure.waits(running.target) as waits:
            found = await scheduling.bound_pods(running.target)
        yield Row(_BOUND, "294/s", "500/s", f"{found.rate:,.0f}/s", cpu=f"{found.cpu:,.0f} us")
        yield Row(_MEANWHILE, "", "p99 50 ms", str(waits))
    if _is_asked(_SPREAD, names):
        async with program("apiserver,scheduler") as running:
            found = await scheduling.bound_pods(running.target, scheduling.spread_and_rather_away)
        yield Row(_SPREAD, "239/s", "400/s", f"{found.rate:,.0f}/s", cpu=f"{found.cpu:,.0f} us")
    if _is_asked(_THOUSAND, names):
        async with program("apiserver,scheduler") as running:
            found = await scheduling.bound_pods(running.target, nodes=1000)
        yield Row(_THOUSAND, "", "300/s", f"{found.rate:,.0f}/s", cpu=f"{found.cpu:,.0f} us")
    for name, feature in scheduling.FEATURES.items():
        if _is_asked(what := f"{name}, 1,000 pods on 500 nodes", names):
            async with program("apiserver,scheduler") as running:
                found = await scheduling.bound_pods(running.target, feature, nodes=500, pods=1000)
            yield Row(what, "", "", f"{found.rate:,.0f}/s", cpu=f"{found.cpu:,.0f} us")


async def simulation_rows(names: list[str]) -> AsyncIterator[Row]:
    """With controllers: the nodes are simulated, and live."""
    if _is_asked(_ROLLOUT, names) or _is_asked(_WHILE_ROLLING, names):
        async with program("apiserver,controllers,scheduler") as running:
            found = await rollout.rolled(running)
        yield Row(_ROLLOUT, "", "15 s", f"{found.seconds:.1f} s, {found.cpu:.1f} s of CPU")
        yield Row(_WHILE_ROLLING, "", "p99 50 ms", str(found.waits))
    if _is_asked(_TEN_THOUSAND, names):
        async with program("apiserver,controllers,scheduler") as running:
            measured = f"{await rollout.memory(running):.0f} MB, {await idle_share(running):.1f} % of a core"
        yield Row(_TEN_THOUSAND, "", "", measured)


async def pulling_rows() -> AsyncIterator[Row]:
    seconds, waits = await pulling.pull()
    yield Row("1 GB pulled, verified and unpacked", "", "", f"{seconds:.1f} s")
    yield Row("a GET while 1 GB is pulled", "", "p99 50 ms", str(waits))


async def network_rows(names: list[str]) -> AsyncIterator[Row]:
    """Services in network namespaces of their own, names on a node beside the machine's other ones."""
    if _is_asked(_BY_SERVICE, names):
        way = await service_path.measured()
        yield Row(
            f"{_BY_SERVICE}: connections", "", "0.95", f"{way.connections:,.0f}/s", f"{way.connections_ratio:.2f}"
        )
        yield Row(f"{_BY_SERVICE}: bytes", "", "0.95", f"{way.throughput:,.0f} MB/s", f"{way.throughput_ratio:.2f}")
    if _is_asked(_SERVICES, names):
        many = await many_services.measured()
        measured = f"{many.first:.2f} s, {many.change:.0f} ms, {many.memory:.0f} MB"
        yield Row(_SERVICES, "", "1.0 s, 20 ms, 20 MB", measured)
    if _is_asked(_NAMES, names):
        rate, cpu, waits = await answers()
        yield Row(_NAMES, "", "10,000/s, p99 50 ms", f"{rate:,.0f}/s, {waits}", cpu=f"{cpu:,.0f} us")
    if _is_asked(_NAMELESS, names):
        yield Row(_NAMELESS, "", "2.0 s", f"{await gap():.1f} s")


def _is_asked(what: str, names: list[str]) -> bool:
    return not names or any(name.lower() in what.lower() for name in names)


async def main(names: list[str], *, write: bool) -> None:
    lines = [
        "| what | upstream | goal | measured | of a server that does nothing | CPU a request |",
        "|---|---|---|---|---|---|",
    ]
    print("\n".join(lines), flush=True)
    async for row in rows(names):
        lines.append(f"| {row.what} | {row.upstream} | {row.goal} | {row.measured} | {row.ratio} | {row.cpu} |")
        print(lines[-1], flush=True)
    if write:
        before, _, rest = _PAGE.read_text().partition(_BEGIN)
        after = rest.partition(_END)[2]
        _PAGE.write_text(f"{before}{_BEGIN}\n" + "\n".join(lines) + f"\n{_END}{after}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="scripts/bench", description="Measures, beside a server that does nothing.")
    parser.add_argument("names", nargs="*", help="rows whose name holds one of these (default: all)")
    parser.add_argument("--write", action="store_true", help="put the table into docs/performance.md")
    asked = parser.parse_args()
    if asked.write and asked.names:
        sys.exit("--write is for the whole table")
    uvloop.run(main(asked.names, write=asked.write))
