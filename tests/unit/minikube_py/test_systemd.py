"""The unit: whose containers outlive it, and which proxies its process has."""

from __future__ import annotations

from minikube_py.config import Config
from minikube_py.systemd import unit


def test_the_unit_carries_the_proxies_of_whoever_starts_it() -> None:
    environment = {"HTTPS_PROXY": "http://u:p%40x@proxy:3128", "no_proxy": 'a,"b"', "HOME": "/root", "HTTP_PROXY": ""}
    lines = unit(Config(), environment).splitlines()
    assert [line for line in lines if line.startswith("Environment=")] == [
        'Environment="HTTPS_PROXY=http://u:p%%40x@proxy:3128"',
        'Environment="no_proxy=a,\\"b\\""',
    ]
    assert lines[lines.index("[Service]") + 1] == "Type=notify" and "KillMode=process" in lines


def test_a_unit_without_proxies_has_no_environment() -> None:
    assert "Environment" not in unit(Config(), {})
