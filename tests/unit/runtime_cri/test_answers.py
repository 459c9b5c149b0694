"""Records as CRI tells them."""

from __future__ import annotations

import pytest

from machinery.rpc.wire import CRI
from runtime.cri.answers import stop_signal


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("TERM", "SIGTERM"),
        ("SIGQUIT", "SIGQUIT"),
        ("sigusr1", "SIGUSR1"),
        ("10", "SIGUSR1"),
        ("SIGRTMIN+3", "SIGRTMINPLUS3"),
        ("RTMAX-1", "SIGRTMAXMINUS1"),
        ("nonsense", "RUNTIME_DEFAULT"),
    ],
)
def test_a_stop_signal_is_told_however_the_image_writes_it(said: str, told: str) -> None:
    assert stop_signal(said) == CRI.enum("runtime.v1.Signal")[told]
