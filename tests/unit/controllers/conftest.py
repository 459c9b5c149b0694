"""For plans that must stand any death: one API server for all examples of a file."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.mortal_controller import House, served


@pytest.fixture(scope="module")
def house() -> Iterator[House]:
    with served() as found:
        yield found
