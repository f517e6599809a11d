"""The file of the tokens: what one process writes another sees at once, and nothing strange in it lets anybody in."""

from __future__ import annotations

import errno
import json
import os
import stat
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bluegreen.domain.access import Scope
from bluegreen.domain.errors import StoreError, UnknownName, UsageError
from bluegreen.domain.tokens import Token, digest
from bluegreen.stores import private_files
from bluegreen.stores.tokens import TokenFile

AGENT = Token(
    id="agent234", name="agent", digest=digest("s"), scope=Scope.DEPLOY, created_at=1000.0,
    services=frozenset({"shop", "search"}), may_run_commands=True, requests_per_second=2.5, burst=3, expires_at=2000.0,
)  # fmt: skip
OTHER = Token("ather234", "other", digest("o"), Scope.READ, 1000.0)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "tokens.json"


def test_without_a_file_there_is_no_token(path: Path) -> None:
    assert TokenFile(path).find("agent234") is None
    assert TokenFile(path).all() == []


def test_everything_comes_back(path: Path) -> None:
    tokens = TokenFile(path)
    tokens.add(AGENT)
    tokens.add(OTHER)
    assert TokenFile(path).all() == [AGENT, OTHER] == tokens.all()
    assert tokens.find("agent234") == AGENT
    assert tokens.find("nobody23") is None
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert AGENT.digest in path.read_text()


def test_another_process_is_seen_at_once(path: Path) -> None:
    daemon, command_line = TokenFile(path), TokenFile(path)
    assert daemon.find("agent234") is None
    command_line.add(AGENT)
    assert daemon.find("agent234") == AGENT
    command_line.revoke("agent", 1500.0)
    assert daemon.find("agent234") == replace(AGENT, revoked_at=1500.0)
    path.unlink()
    assert daemon.find("agent234") is None
    command_line.add(OTHER)
    assert daemon.all() == [OTHER]


def test_each_of_many_quick_changes_is_seen(path: Path) -> None:
    """Closer together than the file system's clock can tell, with the same size, and inodes that come back."""
    daemon, command_line = TokenFile(path), TokenFile(path)
    command_line.add(AGENT)
    for number in range(200):
        changed = f"agent{number:03}".translate(str.maketrans("01", "xy"))
        document = json.loads(path.read_text())
        document["tokens"][0]["id"] = changed
        private_files.replace(path, json.dumps(document).encode())
        assert daemon.find(changed) == replace(AGENT, id=changed)


def test_revoking_by_id_by_name_and_twice(path: Path) -> None:
    tokens = TokenFile(path)
    tokens.add(AGENT)
    tokens.add(OTHER)
    assert tokens.revoke("agent234", 1100.0).revoked_at == 1100.0
    assert tokens.revoke("agent", 1200.0).revoked_at == 1100.0
    assert tokens.revoke("other", 1300.0) == replace(OTHER, revoked_at=1300.0)


def test_an_unknown_name_offers_near_ones_that_still_live(path: Path) -> None:
    tokens = TokenFile(path)
    tokens.add(AGENT)
    with pytest.raises(UnknownName) as caught:
        tokens.revoke("agnt", 1100.0)
    assert "'agent'" in caught.value.hint
    tokens.revoke("agent", 1100.0)
    with pytest.raises(UnknownName, match="there is no token"):
        tokens.revoke("agnt", 1100.0)


def test_a_name_is_free_again_when_its_token_is_over(path: Path) -> None:
    tokens = TokenFile(path)
    tokens.add(AGENT)
    again = replace(AGENT, id="again234")
    for name in ("agent", "agent234"):
        with pytest.raises(UsageError, match="already"):
            tokens.add(replace(again, name=name))
    with pytest.raises(UsageError):
        tokens.add(replace(AGENT, name="elsewise"))
    expired = replace(again, created_at=2000.0)
    tokens.add(expired)
    tokens.revoke("agent", 2100.0)
    assert [token.revoked_at for token in tokens.all()] == [None, 2100.0]


def changed_row(**changes: Any) -> Any:
    def change(document: Any) -> Any:
        document["tokens"][0] |= changes
        return document

    return change


def without(key: str) -> Any:
    def change(document: Any) -> Any:
        del document["tokens"][0][key]
        return document

    return change


@pytest.mark.parametrize(
    "change",
    [
        lambda _: [],
        lambda _: {"format": 2, "tokens": []},
        lambda _: {"format": 1},
        lambda _: {"format": 1, "tokens": [3]},
        lambda document: {"format": 1, "tokens": document["tokens"] * 2},
        *map(without, ("id", "name", "digest", "scope", "services", "may_run_commands", "expires_at", "revoked_at")),
        changed_row(scope="root"),
        changed_row(scope=["admin"]),
        changed_row(services="shop"),
        changed_row(services=[3]),
        changed_row(may_run_commands=1),
        changed_row(expires_at="never"),
        changed_row(expires_at=True),
        changed_row(expires_at=10**400),
        changed_row(created_at=None),
        changed_row(requests_per_second=0),
        changed_row(digest=""),
        changed_row(digest="é" * 64),
        changed_row(id="UPPER234"),
        changed_row(id=["a"] * 8),
    ],
)  # fmt: skip
def test_a_file_that_means_something_else_lets_nobody_in(path: Path, change: Any) -> None:
    tokens = TokenFile(path)
    tokens.add(AGENT)
    private_files.replace(path, json.dumps(change(json.loads(path.read_text()))).encode())
    for _ in range(2):
        with pytest.raises(StoreError, match=r"is damaged .*nobody is let in"):
            tokens.find("agent234")
    with pytest.raises(StoreError):
        tokens.add(OTHER)


@pytest.mark.parametrize("content", [b"", b"{", b"\xff", b'{"format": 1, "tokens": NaN}', b"[" * 100_000])
def test_a_file_that_is_no_json_lets_nobody_in(path: Path, content: bytes) -> None:
    tokens = TokenFile(path)
    tokens.add(AGENT)
    assert tokens.find("agent234")
    path.write_bytes(content)
    with pytest.raises(StoreError, match="is damaged"):
        tokens.find("agent234")
    private_files.replace(path, json.dumps({"format": 1, "tokens": []}).encode())
    assert tokens.find("agent234") is None


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o666])
def test_a_file_that_others_may_read_or_write_is_refused(path: Path, mode: int) -> None:
    tokens = TokenFile(path)
    tokens.add(AGENT)
    assert tokens.find("agent234")
    path.chmod(mode)
    with pytest.raises(StoreError, match="must be 0600") as caught:
        tokens.find("agent234")
    assert "chmod 600" in caught.value.hint
    path.chmod(0o600)
    assert tokens.find("agent234")


@pytest.mark.parametrize("kind", ["link", "directory", "pipe"])
def test_what_is_no_file_is_refused(path: Path, kind: str) -> None:
    path.parent.mkdir()
    if kind == "link":
        target = path.with_name("elsewhere")
        TokenFile(target).add(AGENT)
        path.symlink_to(target)
    elif kind == "directory":
        path.mkdir()
    else:
        os.mkfifo(path, 0o600)
    with pytest.raises(StoreError):
        TokenFile(path).find("agent234")


def test_a_token_that_could_not_be_read_again_is_not_written(path: Path) -> None:
    tokens = TokenFile(path)
    tokens.add(AGENT)
    with pytest.raises(StoreError):
        tokens.add(replace(OTHER, id="no id"))
    assert tokens.all() == [AGENT]


def test_a_full_disk_leaves_the_file_as_it_was(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tokens = TokenFile(path)
    tokens.add(AGENT)

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(StoreError, match="No space left on device; nothing was changed"):
        tokens.add(OTHER)
    monkeypatch.undo()
    assert tokens.all() == [AGENT]
    tokens.add(OTHER)
    assert tokens.all() == [AGENT, OTHER]


def test_processes_that_write_at_the_same_time_lose_nothing(path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from bluegreen.stores.tokens import TokenFile;"
        "from bluegreen.domain.tokens import Token, digest; from bluegreen.domain.access import Scope\n"
        "for n in 'abcdefghij': TokenFile(Path(sys.argv[1])).add("
        "Token(sys.argv[2] * 7 + n, sys.argv[2] + n, digest('s'), Scope.READ, 1.0))"
    )
    writers = [subprocess.Popen([sys.executable, "-c", code, str(path), who]) for who in "xyz"]
    assert [writer.wait(60) for writer in writers] == [0, 0, 0]
    assert len(TokenFile(path).all()) == 30


def test_asking_keeps_one_descriptor_and_closing_gives_it_back(path: Path) -> None:
    tokens = TokenFile(path)
    tokens.add(AGENT)
    before = len(os.listdir("/proc/self/fd"))
    for number in range(20):
        private_files.replace(path, path.read_bytes() + b" " * number)
        assert tokens.find("agent234")
    assert len(os.listdir("/proc/self/fd")) <= before + 1
    tokens.close()
    assert len(os.listdir("/proc/self/fd")) <= before
    assert tokens.find("agent234")
