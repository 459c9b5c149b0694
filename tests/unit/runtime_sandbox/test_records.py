"""Records of sandboxes and containers: what a new start reads of what the last one wrote."""

from __future__ import annotations

from pathlib import Path

from runtime.sandbox.records import Records, SandboxRecord


def sandbox(name: str) -> SandboxRecord:
    return SandboxRecord(name * 8, name, uid="u", namespace="ns", attempt=0, created_at=1, boot_id="b")


def test_what_was_written_or_noted_is_known_after_a_start(tmp_path: Path) -> None:
    records = Records(tmp_path, SandboxRecord)
    first, second = sandbox("a"), sandbox("b")
    records.write(first)
    records.write(second)
    first.state = "ready"
    records.note(first)
    records.remove(second.id)
    again = Records(tmp_path, SandboxRecord)
    assert [(record.id, record.state) for record in again] == [("aaaaaaaa", "ready")]


def test_what_a_power_cut_emptied_or_a_kill_cut_short_is_swept_away(tmp_path: Path) -> None:
    Records(tmp_path, SandboxRecord).write(sandbox("a"))
    (tmp_path / "bbbbbbbb.json").touch()
    (tmp_path / ".cccccccc.json.new").write_text("{")
    again = Records(tmp_path, SandboxRecord)
    assert [record.id for record in again] == ["aaaaaaaa"]
    assert [path.name for path in tmp_path.iterdir()] == ["aaaaaaaa.json"]
