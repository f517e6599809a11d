"""What `bluegreen doctor` says of the metrics store."""

from __future__ import annotations

from pathlib import Path

from bluegreen.interfaces.cli.doctor import metrics_findings


def test_nothing_was_measured_yet(tmp_path: Path) -> None:
    assert metrics_findings(tmp_path) == []


def test_a_store_that_was_moved_aside_is_said_with_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "metrics.sqlite").write_bytes(b"x" * 2_000_000)
    damaged = tmp_path / "metrics.sqlite.damaged-20261125T230000"
    damaged.write_bytes(b"x" * 1_000_000)
    store, copy = metrics_findings(tmp_path)
    assert store.ok and "3.0 MB" in store.detail
    assert not copy.ok and not copy.needed
    assert copy.to_do == f"rm {damaged}"
