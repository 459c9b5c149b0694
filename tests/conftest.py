"""For all tests: what the watch cache hands out can't be changed in place, what is stored is canonical."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.frozen import freeze_cached_objects, store_canonical_objects


@pytest.fixture(autouse=True, scope="session")
def _objects_are_frozen_and_canonical() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        freeze_cached_objects(patch)
        store_canonical_objects(patch)
        yield
