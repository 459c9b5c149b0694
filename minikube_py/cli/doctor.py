"""`doctor`: one line a check, with the command that mends what is wrong; exit status 1 where a start can't succeed."""

from __future__ import annotations

import argparse
import dataclasses

from minikube_py import preflight
from minikube_py.cli.options import starting_config
from minikube_py.cli.output import Output


def run(arguments: argparse.Namespace) -> int:
    output = Output.of(arguments)
    found = list(preflight.findings(starting_config(arguments)))
    if output.as_json:
        output.say("", findings=[dataclasses.asdict(finding) for finding in found])
    for finding in found if not output.as_json else ():
        mend = f"\n{'':13}mend: {finding.mend}" if finding.mend else ""
        output.say(f"{finding.level:8} {finding.check:12} {finding.found}{mend}")
    return int(any(finding.level == preflight.FATAL for finding in found))
