"""What a start remembers for the next one."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from minikube_py.cli.options import remember, starting_config
from minikube_py.cli.parser import parse


def test_the_node_keeps_its_name_in_a_network_that_gives_the_machine_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = parse(["start", "--profile", "named", "--data-dir", str(tmp_path)])
    monkeypatch.setattr(socket, "gethostname", lambda: "At-Home")
    remember(starting_config(arguments))
    monkeypatch.setattr(socket, "gethostname", lambda: "dhcp-7")
    assert starting_config(arguments).node == "at-home"
    said = parse(["start", "--profile", "named", "--data-dir", str(tmp_path), "--node-name", "mine"])
    assert starting_config(said).node == "mine"
