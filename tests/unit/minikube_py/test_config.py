"""Options are checked where they are said."""

from __future__ import annotations

from datetime import timedelta

import pytest

from minikube_py.config import Config, ConfigError, configured, duration


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("", timedelta()),
        ("168h", timedelta(days=7)),
        ("1h30m", timedelta(minutes=90)),
        ("1.5h", timedelta(minutes=90)),
        ("90s", timedelta(seconds=90)),
    ],
)
def test_a_duration_is_read_as_go_writes_it(text: str, wanted: timedelta) -> None:
    assert duration(text) == wanted


@pytest.mark.parametrize("text", ["7", "7d", "h", "-1h", "1m1h"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="is no duration"):
        configured(Config(), {"image-maximum-gc-age": text})


def test_a_range_of_each_family_makes_a_cluster_of_both() -> None:
    said = {"pod-cidr": "10.1.0.0/16,fd00:1::/56", "service-cidr": "10.2.0.0/16,fd00:2::/112"}
    config = configured(Config(), said)
    assert config.node_cidrs == ("10.1.0.0/24", "fd00:1::/64")
    assert (config.gateways, config.cluster_dns) == (("10.1.0.1", "fd00:1::1"), "10.2.0.10")
    alone = configured(Config(), {"pod-cidr": "fd00:1::/56", "service-cidr": "fd00:2::/112"})
    assert (alone.node_cidrs, alone.gateways, alone.cluster_dns) == (("fd00:1::/64",), ("fd00:1::1",), "fd00:2::a")
    assert Config().pod_cidr == ("10.244.0.0/16",)


@pytest.mark.parametrize(
    ("pods", "services", "why"),
    [
        ("10.1.0.0/16,10.3.0.0/16", "10.2.0.0/16", "neither one range nor one of IPv4 and one of IPv6"),
        ("", "10.2.0.0/16", "neither one range"),
        ("10.1.0.0/16", "10.2.0.0/16,fd00:2::/112", "pods have IPv4, so"),
        ("10.1.0.0/16,fd00:1::/56", "fd00:2::/112,10.2.0.0/16", "pods have IPv4 and IPv6, so"),
        ("10.1.0.0/16", "10.1.7.0/24", "overlap"),
        ("10.1.0.0/16", "10.2.0.0/29", "holds fewer than 16 addresses"),
        ("10.1.0.0/16,fd00::1/56", "10.2.0.0/16", "is no address range"),
    ],
)
def test_ranges_that_make_no_cluster_are_refused(pods: str, services: str, why: str) -> None:
    with pytest.raises(ConfigError, match=why):
        configured(Config(), {"pod-cidr": pods, "service-cidr": services})


@pytest.mark.parametrize(("high", "low"), [(80, 80), (70, 80), (101, 80), (50, -1)])
def test_thresholds_that_can_not_be_are_refused(high: int, low: int) -> None:
    with pytest.raises(ConfigError, match="must be below"):
        configured(Config(), {"image-gc-high-threshold": high, "image-gc-low-threshold": str(low)})
    assert configured(Config(), {"image-gc-high-threshold": "90"}).image_gc_high_threshold == 90
