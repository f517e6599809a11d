"""The audit log: what was written stays as it was, or somebody is told."""

from __future__ import annotations

import asyncio
import errno
import hashlib
import json
import os
import signal
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bluegreen.control.ports import AuditEntry
from bluegreen.domain.errors import StoreError
from bluegreen.stores.audit import AuditFile, damaged_path, head_path
from bluegreen.stores.audit_chain import GENESIS, LOST, MAX_LINE_BYTES, RECOVERED, Place, chained, head_of, line_of
from bluegreen.stores.audit_reading import latest, verify


def entry(number: int = 1, **changes: Any) -> AuditEntry:
    fields: dict[str, Any] = {
        "at": 1000.0 + number, "who": "agent", "door": "http", "what": f"deploy_{number}",
        "arguments": {"service": "shop", "number": number}, "result": "ok", **changes,
    }  # fmt: skip
    return AuditEntry(**fields)


def written(path: Path, count: int) -> list[bytes]:
    """The lines of a log with so many entries."""
    log = AuditFile(path)
    for number in range(1, count + 1):
        log.write(entry(number))
    return path.read_bytes().splitlines(keepends=True) if count else []


@contextmanager
def temporary_log() -> Iterator[Path]:
    """Hypothesis runs many examples within one test, each needs its own."""
    with tempfile.TemporaryDirectory() as directory:
        yield Path(directory) / "audit.jsonl"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "audit.jsonl"


async def test_an_entry_stands_in_its_line_with_its_hash(path: Path) -> None:
    log = AuditFile(path)
    await log.append(entry(1))
    await log.append(entry(2, result="forbidden: scope"))
    first, second = (json.loads(line) for line in path.read_text().splitlines())
    assert (first["sequence"], first["previous"], first["who"], first["what"]) == (1, GENESIS, "agent", "deploy_1")
    assert (second["sequence"], second["previous"], second["result"]) == (2, first["hash"], "forbidden: scope")
    said = second.pop("hash")
    canonical = json.dumps(second, sort_keys=True, separators=(",", ":")).encode()
    assert said == hashlib.sha256(canonical).hexdigest()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    found = verify(path)
    assert (found.ok, found.entries, found.end) == (True, 2, Place(2, said))


def test_a_log_that_is_not_there_yet_is_fine_and_stays_away(path: Path) -> None:
    assert verify(path).ok
    assert latest(path, 5).entries == ()
    assert not path.parent.exists()


def test_the_chain_goes_on_after_a_restart_and_with_several_writers(path: Path) -> None:
    one, other = AuditFile(path), AuditFile(path)
    for number, log in enumerate((one, other, other, one, AuditFile(path), one), 1):
        assert log.write(entry(number)).sequence == number
    assert verify(path).ok
    assert [found.what for found in latest(path, 2).entries] == ["deploy_5", "deploy_6"]


async def test_appends_at_the_same_time_keep_the_chain_and_their_order(path: Path) -> None:
    log = AuditFile(path)
    await asyncio.gather(*(log.append(entry(number)) for number in range(1, 101)))
    assert verify(path).entries == 100
    assert [found.what for found in latest(path, 100).entries] == [f"deploy_{number}" for number in range(1, 101)]


def test_processes_that_append_at_the_same_time_keep_the_chain(path: Path) -> None:
    writers = [subprocess.Popen([sys.executable, "-c", WRITER, str(path), "40"]) for _ in range(3)]
    assert [writer.wait(60) for writer in writers] == [0, 0, 0]
    found = verify(path)
    assert (found.problem, found.entries) == ("", 120)


WRITER = """
import sys
from pathlib import Path
from bluegreen.control.ports import AuditEntry
from bluegreen.stores.audit import AuditFile
log = AuditFile(Path(sys.argv[1]))
for number in range(int(sys.argv[2])):
    log.write(AuditEntry(1.0, "agent", "http", "deploy", {"padding": "x" * 2000}, "ok"))
    print(number, flush=True)
"""


@pytest.mark.parametrize("after", [1, 7, 23])
def test_a_writer_that_is_killed_leaves_a_chain_that_goes_on(path: Path, after: int) -> None:
    for _ in range(3):
        with subprocess.Popen(
            [sys.executable, "-c", WRITER, str(path), "1000000"], stdout=subprocess.PIPE, text=True
        ) as writer:
            assert writer.stdout is not None
            acknowledged = [writer.stdout.readline() for _ in range(after)]
            writer.send_signal(signal.SIGKILL)
        assert acknowledged[-1] == f"{after - 1}\n"
    AuditFile(path).write(entry(1))
    found = verify(path)
    assert found.ok, found.problem
    assert found.entries >= 3 * after + 1


@settings(max_examples=150)
@given(st.data())
def test_a_line_cut_anywhere_by_a_crash_is_set_aside_and_the_chain_goes_on(data: st.DataObject) -> None:
    with temporary_log() as path:
        *_, last = written(path, 3)
        head_of_two = verify_head_before_last(path, last)
        kept = data.draw(st.integers(1, len(last) - 1))
        path.write_bytes(path.read_bytes()[: kept - len(last)])
        head_path(path).write_bytes(head_of_two)
        before = verify(path)
        assert (before.ok, before.line, before.entries) == (False, 3, 2)
        AuditFile(path).write(entry(4))
        found = verify(path)
        assert found.ok, found.problem
        noted = [found for found in latest(path, 10).entries if found.what == RECOVERED]
        assert len(noted) == 1
        if kept < len(last) - 1:
            assert damaged_path(path).read_bytes() == last[:kept] + b"\n"
            assert noted[0].arguments["bytes"] == kept
        else:
            assert [found.what for found in latest(path, 10).entries][2] == "deploy_3"


def verify_head_before_last(path: Path, last: bytes) -> bytes:
    """The head as it was before the last line: a crash comes before it is written."""
    line = json.loads(last)
    return head_of(Place(line["sequence"] - 1, line["previous"]))


def test_killed_between_the_line_and_the_head_nothing_is_wrong(path: Path) -> None:
    *_, last = written(path, 3)
    head_path(path).write_bytes(verify_head_before_last(path, last))
    assert verify(path).ok
    AuditFile(path).write(entry(4))
    assert verify(path).entries == 4


@settings(max_examples=300)
@given(st.data())
def test_any_changed_byte_is_found_at_its_line(data: st.DataObject) -> None:
    with temporary_log() as path:
        lines = written(path, data.draw(st.integers(1, 4)))
        content = bytearray(b"".join(lines))
        place = data.draw(st.integers(0, len(content) - 1))
        content[place] ^= data.draw(st.integers(1, 255))
        path.write_bytes(content)
        found = verify(path)
        assert not found.ok
        assert found.line == 1 + bytes(content[:place]).count(b"\n")


@settings(max_examples=200)
@given(st.data())
def test_any_changed_byte_of_the_head_is_found(data: st.DataObject) -> None:
    with temporary_log() as path:
        written(path, 2)
        content = bytearray(head_path(path).read_bytes())
        content[data.draw(st.integers(0, len(content) - 1))] ^= data.draw(st.integers(1, 255))
        head_path(path).write_bytes(content)
        assert not verify(path).ok


@settings(max_examples=60)
@given(st.integers(1, 6), st.data())
def test_any_removed_line_is_found(count: int, data: st.DataObject) -> None:
    with temporary_log() as path:
        lines = written(path, count)
        gone = data.draw(st.integers(0, count - 1))
        path.write_bytes(b"".join(lines[:gone] + lines[gone + 1 :]))
        found = verify(path)
        assert (found.ok, found.line, found.entries) == (False, gone + 1, gone)
        assert "removed" in found.problem if gone < count - 1 else "cut off" in found.problem


@settings(max_examples=60)
@given(st.permutations(range(5)))
def test_any_other_order_is_found(order: list[int]) -> None:
    with temporary_log() as path:
        lines = written(path, 5)
        path.write_bytes(b"".join(lines[position] for position in order))
        found = verify(path)
        if order == list(range(5)):
            assert found.ok
        else:
            first = next(position for position, line in enumerate(order) if position != line)
            assert (found.line, "reordered" in found.problem) == (first + 1, True)


@settings(max_examples=60)
@given(st.integers(0, 4), st.integers(0, 3))
def test_a_line_that_stands_there_twice_is_found(at: int, which: int) -> None:
    with temporary_log() as path:
        lines = written(path, 4)
        lines.insert(at, lines[which])
        path.write_bytes(b"".join(lines))
        assert not verify(path).ok


@settings(max_examples=60)
@given(st.integers(0, 4), st.binary(max_size=80))
def test_anything_else_in_between_is_found(at: int, strange: bytes) -> None:
    with temporary_log() as path:
        lines = written(path, 4)
        lines.insert(at, strange + b"\n")
        path.write_bytes(b"".join(lines))
        assert (verify(path).ok, verify(path).line) == (False, at + 1)


@settings(max_examples=100)
@given(st.data())
def test_any_truncation_is_found_and_stays_found(data: st.DataObject) -> None:
    with temporary_log() as path:
        content = b"".join(written(path, 4))
        path.write_bytes(content[: data.draw(st.integers(0, len(content) - 1))])
        # The newline alone can be put back, so that nothing is lost.
        harmless = len(path.read_bytes()) == len(content) - 1
        assert not verify(path).ok
        AuditFile(path).write(entry(9))
        found = verify(path)
        assert found.ok == harmless
        if not harmless:
            assert "cut off" in found.problem
            assert [line.what for line in latest(path, 3).entries if line.what == LOST] == [LOST]


def forged(path: Path, after: int, *entries: AuditEntry) -> bytes:
    """Lines that follow line `after` with right hashes, as somebody who knows how they are made would write them."""
    line = json.loads(path.read_bytes().splitlines()[after - 1])
    place, lines = Place(line["sequence"], line["hash"]), b""
    for made in entries:
        chain = chained(made, place)
        place, lines = chain.place, lines + line_of(chain)
    return lines


def test_a_new_chain_with_right_hashes_does_not_have_the_head(path: Path) -> None:
    lines = written(path, 4)
    path.write_bytes(b"".join(lines[:2]) + forged(path, 2, entry(3, who="nobody"), entry(4)))
    assert "replaced" in verify(path).problem
    path.write_bytes(b"".join(lines[:2]) + forged(path, 2, entry(3, who="nobody")) + lines[3])
    assert "does not follow" in verify(path).problem
    path.write_bytes(b"".join(lines) + forged(path, 4, entry(5), entry(6)))
    assert "inserted" in verify(path).problem


@pytest.mark.parametrize("gone", ["log", "head"])
def test_a_file_that_is_gone_is_noticed(path: Path, gone: str) -> None:
    written(path, 2)
    (path if gone == "log" else head_path(path)).unlink()
    assert not verify(path).ok
    AuditFile(path).write(entry(3))
    assert not verify(path).ok


def test_after_a_last_line_that_cannot_be_read_the_numbers_go_on(path: Path) -> None:
    lines = written(path, 3)
    path.write_bytes(b"".join(lines[:2]) + b"nonsense\n")
    made = AuditFile(path).write(entry(4))
    assert made.sequence == 5
    assert verify(path).line == 3
    assert latest(path, 10).unreadable_lines == 1


def test_a_full_disk_leaves_nothing_of_the_line(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = AuditFile(path)
    log.write(entry(1))
    before = path.read_bytes()
    real = os.write

    def half(descriptor: int, data: Any) -> int:
        if len(data) < 50:
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(descriptor, bytes(data)[:-20])

    for name, failing in (("write", half), ("fsync", None)):
        monkeypatch.setattr(f"os.{name}", failing or _no_space)
        with pytest.raises(StoreError, match="No space left on device"):
            log.write(entry(2))
        monkeypatch.undo()
        assert path.read_bytes() == before
        assert verify(path).ok
    assert log.write(entry(2)).sequence == 2
    assert verify(path).ok


def _no_space(_: int) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


def test_a_log_that_others_may_read_is_refused(path: Path) -> None:
    written(path, 1)
    path.chmod(0o644)
    with pytest.raises(StoreError, match="must be 0600"):
        AuditFile(path).write(entry(2))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text() | st.integers(), inner, max_size=4),
    max_leaves=12,
)
ANY_TEXT = st.text(st.characters(), max_size=30)


@settings(max_examples=200)
@given(ANY_TEXT, ANY_TEXT, st.dictionaries(st.text(), JSON, max_size=4), st.floats())
def test_whatever_is_written_down_is_one_line_that_verifies(
    who: str, result: str, arguments: dict[str, Any], at: float
) -> None:
    with temporary_log() as path:
        log = AuditFile(path)
        log.write(AuditEntry(at, who, "http", "deploy", arguments, result))
        log.write(entry(2))
        assert verify(path).problem == ""
        assert len(path.read_bytes().splitlines()) == 2
        assert not any(byte < 0x20 for line in path.read_bytes().splitlines() for byte in line)
        assert latest(path, 2).entries[0].who == who


def test_what_is_too_large_is_cut_and_the_chain_holds(path: Path) -> None:
    log = AuditFile(path)
    nested: Any = "end"
    for _ in range(5000):
        nested = [nested]
    log.write(entry(1, arguments={"body": "\U0001f600" * 1_000_000}))
    log.write(entry(2, arguments={"deep": nested}))
    log.write(entry(3, arguments={"number": 10**5000}))
    log.write(entry(4, who="\x00" * 10_000, door="\x01" * 10_000, what="\x02" * 10_000, result="\U0001f600" * 10_000))
    log.write(entry(5))
    assert verify(path).ok
    assert max(map(len, path.read_bytes().splitlines())) < MAX_LINE_BYTES
    assert latest(path, 10).entries[0].arguments["bytes"] > 1_000_000
    assert AuditFile(path).write(entry(6)).sequence == 6
