"""Lags are counted where they belong, and a loop that is held shows it."""

from __future__ import annotations

from machinery.loop_lag import LoopLag


def test_a_histogram_is_cumulative_and_complete() -> None:
    lag = LoopLag()
    for seconds in (0.0005, 0.004, 0.004, 3.0):
        lag.observe(seconds)
    text = lag.exposition()
    assert 'loop_lag_seconds_bucket{le="0.001"} 1' in text
    assert 'loop_lag_seconds_bucket{le="0.005"} 3' in text
    assert 'loop_lag_seconds_bucket{le="1.0"} 3' in text
    assert 'loop_lag_seconds_bucket{le="+Inf"} 4' in text
    assert "loop_lag_longest_seconds 3.0" in text
