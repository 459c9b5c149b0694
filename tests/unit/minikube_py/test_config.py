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


@pytest.mark.parametrize(("high", "low"), [(80, 80), (70, 80), (101, 80), (50, -1)])
def test_thresholds_that_can_not_be_are_refused(high: int, low: int) -> None:
    with pytest.raises(ConfigError, match="must be below"):
        configured(Config(), {"image-gc-high-threshold": high, "image-gc-low-threshold": str(low)})
    assert configured(Config(), {"image-gc-high-threshold": "90"}).image_gc_high_threshold == 90
