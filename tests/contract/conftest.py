"""For tests of the runtime: an image with busybox, made once, and a runtime of the test's own that has it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.contract.cri_node import Node, busybox_archive, serving


@pytest.fixture(scope="session")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return busybox_archive(tmp_path_factory.mktemp("image"))


@pytest.fixture
async def node(tmp_path: Path, archive: Path) -> AsyncIterator[Node]:
    async with serving(tmp_path, archive) as found:
        yield found
