"""What a command prints: lines for people, or one JSON object (`--output json`) for programs."""

from __future__ import annotations

import argparse
import json
import sys
from typing import Any


class Output:
    """`say` prints a line or keeps its facts for the object that `finish` (or the last `say`) prints."""

    def __init__(self, *, as_json: bool) -> None:
        self.as_json = as_json

    @classmethod
    def of(cls, arguments: argparse.Namespace) -> Output:
        return cls(as_json=arguments.output == "json")

    def progress(self, line: str) -> None:
        """A line that only people want, on standard error in JSON's case not at all."""
        if not self.as_json:
            print(f"  {line}", flush=True)

    def say(self, line: str, **facts: Any) -> None:
        """The command's result: the line, or the facts as JSON."""
        if self.as_json:
            json.dump(facts or {"message": line}, sys.stdout)
            print()
        else:
            print(line, flush=True)
