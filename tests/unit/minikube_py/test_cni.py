"""The network that `cni` prints for the pods of another runtime."""

from __future__ import annotations

from typing import Any

import pytest

from minikube_py.cli.cni import conflist
from minikube_py.config import Config, configured


@pytest.mark.parametrize(
    ("ranges", "subnets", "routes"),
    [
        ({}, ["10.244.0.0/24"], ["0.0.0.0/0"]),
        ({"pod-cidr": "fd00:1::/56,10.1.0.0/16", "service-cidr": "fd00:2::/112"}, ["fd00:1::/64", "10.1.0.0/24"],
         ["::/0", "0.0.0.0/0"]),
    ],
)  # fmt: skip
def test_it_has_a_range_and_a_way_out_of_each_family(
    ranges: dict[str, str], subnets: list[str], routes: list[str]
) -> None:
    said: Any = conflist(configured(Config(), ranges))
    addresses = said["plugins"][0]["ipam"]
    assert addresses["ranges"] == [[{"subnet": subnet}] for subnet in subnets]
    assert addresses["routes"] == [{"dst": route} for route in routes]
