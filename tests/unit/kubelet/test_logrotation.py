"""Which files a log keeps when it is rotated, and what becomes of the older ones."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from kubelet.logrotation import Tidying, remove_logs, tidy, tidying


@pytest.mark.parametrize(
    ("names", "most", "plan"),
    [
        ([], 5, Tidying()),
        (["0.log.1"], 5, Tidying(compress=("0.log.1",))),
        (["0.log.1.gz", "0.log.2"], 5, Tidying(compress=("0.log.2",))),
        (["0.log.1.gz", "0.log.2.gz", "0.log.3.gz", "0.log.4"], 5, Tidying(("0.log.1.gz",), ("0.log.4",))),
        (["0.log.1", "0.log.1.gz"], 5, Tidying(remove=("0.log.1",))),
        (["0.log.1", "0.log.1.tmp"], 5, Tidying(("0.log.1.tmp",), ("0.log.1",))),
        (["0.log.1.gz", "0.log.2"], 2, Tidying(remove=("0.log.1.gz", "0.log.2"))),
    ],
)
def test_what_is_kept(names: list[str], most: int, plan: Tidying) -> None:
    assert tidying(names, most) == plan


def test_older_files_are_compressed_and_the_oldest_go(tmp_path: Path) -> None:
    log = tmp_path / "0.log"
    log.write_bytes(b"now")
    for number in range(1, 6):
        (tmp_path / f"0.log.{number}").write_bytes(b"line\n" * number)
    (tmp_path / "1.log").write_bytes(b"another")
    tidy(log, 5)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "0.log",
        "0.log.3.gz",
        "0.log.4.gz",
        "0.log.5.gz",
        "1.log",
    ]
    assert gzip.decompress((tmp_path / "0.log.3.gz").read_bytes()) == b"line\n" * 3
    remove_logs(log)
    assert [path.name for path in tmp_path.iterdir()] == ["1.log"]
