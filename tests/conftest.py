"""For all tests: what the watch cache hands out can't be changed in place."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.frozen import freeze_cached_objects


@pytest.fixture(autouse=True, scope="session")
def _cached_objects_are_frozen() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        freeze_cached_objects(patch)
        yield
