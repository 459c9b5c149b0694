"""For all tests: what the watch cache hands out can't be changed in place, what is stored is canonical."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

from tests.frozen import freeze_cached_objects, store_canonical_objects

# What an example takes is the machine's affair, which other tests may hold up.
settings.register_profile("any machine", settings(), deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")


@pytest.fixture(autouse=True, scope="session")
def _objects_are_frozen_and_canonical() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        freeze_cached_objects(patch)
        store_canonical_objects(patch)
        yield
