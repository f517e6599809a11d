"""Log files as written by the shim and read by the runtime; no processes."""

from __future__ import annotations

from pathlib import Path

import pytest

from bluegreen.runtimes.process.logs import generations, last_lines
from bluegreen.runtimes.process.output_log import RotatingLog


def write_lines(log: RotatingLog, first: int, last: int) -> None:
    for number in range(first, last):
        log.write(b"line %04d\n" % number)


def test_the_log_rotates_and_stays_within_its_size(tmp_path: Path) -> None:
    path = tmp_path / "output.log"
    write_lines(RotatingLog(str(path), 100, 3), 0, 100)
    assert [file.name for file in generations(path)] == ["output.log", "output.log.1", "output.log.2"]
    assert all(file.stat().st_size <= 100 for file in generations(path))
    assert last_lines(path, 15) == [f"line {number:04}" for number in range(85, 100)]


def test_lines_are_not_torn_apart_by_a_big_block(tmp_path: Path) -> None:
    path = tmp_path / "output.log"
    RotatingLog(str(path), 100, 3).write(b"".join(b"line %04d\n" % number for number in range(25)))
    assert all(file.read_bytes().endswith(b"\n") for file in generations(path))
    assert last_lines(path, 100) == [f"line {number:04}" for number in range(25)]


def test_a_line_longer_than_a_file_is_kept_over_several(tmp_path: Path) -> None:
    path = tmp_path / "output.log"
    RotatingLog(str(path), 100, 3).write(b"x" * 250 + b"\n")
    assert last_lines(path, 5) == ["x" * 250]


def test_one_file_only_is_emptied(tmp_path: Path) -> None:
    path = tmp_path / "output.log"
    write_lines(RotatingLog(str(path), 100, 1), 0, 25)
    assert [file.name for file in tmp_path.iterdir()] == ["output.log"]
    assert last_lines(path, 1) == ["line 0024"]


def test_a_log_goes_on_where_another_ended(tmp_path: Path) -> None:
    path = tmp_path / "output.log"
    write_lines(RotatingLog(str(path), 1000, 3), 0, 2)
    write_lines(RotatingLog(str(path), 1000, 3), 2, 4)
    assert last_lines(path, 9) == ["line 0000", "line 0001", "line 0002", "line 0003"]


def test_a_full_disk_loses_output_counts_it_and_says_so_later(tmp_path: Path) -> None:
    log = RotatingLog("/dev/full", 1000, 3)
    log.write(b"lost\n")
    assert log.lost_bytes == 5
    log.fd, log.path = -1, str(tmp_path / "output.log")
    log.write(b"kept\n")
    assert last_lines(tmp_path / "output.log", 9) == ["bluegreen: 5 bytes of output were lost here", "kept"]


@pytest.mark.parametrize("lines", [0, -1])
def test_no_lines_are_no_lines(tmp_path: Path, lines: int) -> None:
    path = tmp_path / "output.log"
    path.write_text("a\n")
    assert last_lines(path, lines) == []


def test_the_last_lines_of_odd_files(tmp_path: Path) -> None:
    path = tmp_path / "output.log"
    assert last_lines(path, 5) == []
    path.write_bytes(b"")
    assert last_lines(path, 5) == []
    path.write_bytes(b"a\r\n\nb\xff\nunfinished")
    assert last_lines(path, 5) == ["a", "", "b\ufffd", "unfinished"]
    path.write_bytes(b"".join(b"%d\n" % number for number in range(50_000)))
    assert last_lines(path, 20_000) == [str(number) for number in range(30_000, 50_000)]
