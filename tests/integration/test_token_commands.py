"""`bluegreen token …` and `bluegreen audit …`: real processes, no daemon."""

from __future__ import annotations

import json
import stat
import tempfile
import time
from pathlib import Path
from typing import Any

import pytest

from bluegreen.control.authentication import Authenticator
from bluegreen.control.clock import SystemClock
from bluegreen.domain.access import Scope
from bluegreen.domain.errors import Unauthenticated
from bluegreen.domain.tokens import parse_text
from bluegreen.interfaces.cli.app import GROUPS, PATHS, run
from bluegreen.spec.paths import audit_log, run_directory, token_file
from bluegreen.stores.audit_reading import verify
from bluegreen.stores.tokens import TokenFile
from tests.integration.cli_support import bluegreen, write_configuration

DAY_SECONDS = 86_400


@pytest.fixture
def config(tmp_path: Path) -> Path:
    return write_configuration(tmp_path)


def tokens_of(config: Path) -> TokenFile:
    return TokenFile(token_file(config.parent / "state"))


def audited(config: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in audit_log(config.parent / "state").read_text().splitlines()]


def quickly(config: Path, capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    """The same without a process."""
    code = run([*arguments, "--config", str(config)])
    written = capsys.readouterr()
    return code, written.out, written.err


def test_stdout_is_the_token_alone_and_it_lets_in(config: Path) -> None:
    made = bluegreen(config, "token", "create", "agent", "--scope", "deploy", "--service", "shop")
    assert made.returncode == 0, made.stderr
    text = made.stdout.removesuffix("\n")
    assert parse_text(text)
    assert "scope deploy" in made.stderr
    assert "90d, unless --expires" in made.stderr
    assert text not in made.stderr
    authenticator = Authenticator(tokens_of(config), SystemClock())
    caller = authenticator.authenticate(f"Bearer {text}", "http")
    assert (caller.name, caller.scope, caller.services) == ("agent", Scope.DEPLOY, frozenset({"shop"}))
    assert not caller.may_run_commands

    assert bluegreen(config, "token", "revoke", "agent").returncode == 0
    with pytest.raises(Unauthenticated, match="was revoked"):
        authenticator.authenticate(f"Bearer {text}", "http")


def test_the_secret_is_nowhere_on_the_disk(config: Path) -> None:
    made = bluegreen(config, "token", "create", "agent", "--scope", "admin")
    presented = parse_text(made.stdout.strip())
    assert presented is not None
    for path in (config.parent / "state").rglob("*"):
        assert presented.secret not in path.read_text(errors="replace"), path
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path


def test_whoever_asks_first_makes_a_state_directory_for_its_owner_alone() -> None:
    # Short: sockets in a deep one would lie elsewhere.
    with tempfile.TemporaryDirectory(prefix="bg-") as directory:
        state = Path(directory) / "state"
        run_directory(state)
        assert {stat.S_IMODE(path.stat().st_mode) for path in (state, *state.iterdir())} == {0o700}


def test_json_has_everything_and_no_digest(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = quickly(
        config, capsys, "token", "create", "ci", "--scope", "switch", "--service", "shop", "--service", "search",
        "--expires", "12h", "--commands", "--requests-per-second", "5", "--burst", "9", "--json",
    )  # fmt: skip
    made = json.loads(out)
    assert (code, err) == (0, "")
    assert (made["name"], made["scope"], made["services"]) == ("ci", "switch", ["search", "shop"])
    assert (made["may_run_commands"], made["requests_per_second"], made["burst"]) == (True, 5.0, 9)
    assert made["expires_at"] == pytest.approx(time.time() + DAY_SECONDS / 2, abs=60)
    presented = parse_text(made["token"])
    assert presented is not None
    assert presented.id == made["id"]
    _, listed, _ = quickly(config, capsys, "token", "list", "--json")
    del made["token"]
    assert json.loads(listed) == {"tokens": [made]}
    assert "digest" not in made


def test_how_long_it_lives(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    quickly(config, capsys, "token", "create", "a", "--scope", "read")
    _, _, said = quickly(config, capsys, "token", "create", "b", "--scope", "read", "--expires", "never")
    assert "never expires" in said
    ninety, never = tokens_of(config).all()
    assert ninety.expires_at == pytest.approx(time.time() + 90 * DAY_SECONDS, abs=60)
    assert never.expires_at is None


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["create", "x"], "--scope"),
        (["create", "x", "--scope", "raed"], 'Did you mean "read"?'),
        (["create", "x", "--scope", "read", "--service", "shpo"], "Did you mean 'shop'?"),
        (["create", "x", "--scope", "read", "--expires", "soon"], "error: expires: 'soon' is neither"),
        (["create", "x", "--scope", "read", "--burst", "0"], "error: --burst: must be above 0"),
        (["create", "x y", "--scope", "read"], "error: name: 'x y'"),
        (["create", "owner", "--scope", "read"], "error: name: 'owner'"),
        (["create", "agent", "--scope", "read"], "there is a token 'agent' already"),
        (["revoke", "agnet"], "Did you mean 'agent'?"),
        (["revoke"], "NAME"),
        (["creat"], 'Did you mean "create"?'),
        (["list", "--jsn"], "See: bluegreen token list --help"),
    ],
)
def test_what_is_wrong_is_said_and_changes_nothing(
    config: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    quickly(config, capsys, "token", "create", "agent", "--scope", "read")
    before = token_file(config.parent / "state").read_bytes()
    code, out, err = quickly(config, capsys, "token", *arguments)
    assert (code, out) == (2, "")
    assert message in err
    assert token_file(config.parent / "state").read_bytes() == before


def test_revoking_twice_says_so(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    quickly(config, capsys, "token", "create", "agent", "--scope", "read")
    assert "is revoked" in quickly(config, capsys, "token", "revoke", "agent")[1]
    code, out, _ = quickly(config, capsys, "token", "revoke", "agent")
    assert code == 0
    assert "was revoked before" in out
    assert [line["what"] for line in audited(config)] == ["token_create", "token_revoke"]


def test_the_list_shows_who_has_one(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "no token yet" in quickly(config, capsys, "token", "list")[1]
    quickly(config, capsys, "token", "create", "agent", "--scope", "deploy", "--service", "shop")
    quickly(config, capsys, "token", "create", "gone", "--scope", "admin")
    quickly(config, capsys, "token", "revoke", "gone")
    _, out, _ = quickly(config, capsys, "token", "list")
    rows = {line.split()[1]: line for line in out.splitlines()[2:]}
    assert "deploy" in rows["agent"]
    assert "shop" in rows["agent"]
    assert rows["agent"].rstrip().endswith("live")
    assert rows["gone"].rstrip().endswith("revoked")


def test_a_damaged_file_is_an_error_and_stays_as_it_is(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    quickly(config, capsys, "token", "create", "agent", "--scope", "read")
    path = token_file(config.parent / "state")
    path.write_text("{")
    for arguments in (["list"], ["create", "x", "--scope", "read"], ["revoke", "agent"]):
        code, out, err = quickly(config, capsys, "token", *arguments)
        assert (code, out) == (1, "")
        assert "is damaged" in err
    assert path.read_text() == "{"


def test_tokens_work_although_the_audit_log_cannot_be_written(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    audit_log(config.parent / "state").mkdir(parents=True)
    code, out, err = quickly(config, capsys, "token", "create", "agent", "--scope", "read")
    assert (code, bool(parse_text(out.strip()))) == (0, True)
    assert "warning: this is not in the audit log" in err


def test_the_audit_log_is_checked_and_listed(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert quickly(config, capsys, "audit", "verify")[0] == 0
    assert "nothing is in the audit log yet" in quickly(config, capsys, "audit", "list")[1]
    for name in ("one", "two", "three"):
        quickly(config, capsys, "token", "create", name, "--scope", "read")
    code, out, _ = quickly(config, capsys, "audit", "verify")
    assert (code, out.startswith("ok: 3 entries, last hash ")) == (0, True)
    assert out.split()[-1] == verify(audit_log(config.parent / "state")).end.hash
    _, out, _ = quickly(config, capsys, "audit", "list", "--lines", "2", "--json")
    listed = json.loads(out)["entries"]
    assert [found["arguments"]["name"] for found in listed] == ["two", "three"]
    assert {found["door"] for found in listed} == {"command line"}
    _, out, _ = quickly(config, capsys, "audit", "list")
    assert out.count("token_create") == 3


def test_a_changed_audit_log_is_found(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("one", "two", "three"):
        quickly(config, capsys, "token", "create", name, "--scope", "read")
    path = audit_log(config.parent / "state")
    path.write_text(path.read_text().replace('"two"', '"too"'))
    code, out, _ = quickly(config, capsys, "audit", "verify")
    assert code == 1
    assert "line 2 was changed" in out
    code, out, _ = quickly(config, capsys, "audit", "verify", "--json")
    found = json.loads(out)
    assert (code, found["ok"], found["entries"], found["line"]) == (1, False, 1, 2)
    _, out, err = quickly(config, capsys, "audit", "list", "--json")
    assert len(json.loads(out)["entries"]) == 2
    assert "1 line can't be read" in err


@pytest.mark.parametrize("lines", ["0", "-1", "100001"])
def test_how_many_lines_has_a_limit(config: Path, capsys: pytest.CaptureFixture[str], lines: str) -> None:
    code, _, err = quickly(config, capsys, "audit", "list", "--lines", lines)
    assert code == 2
    assert "--lines" in err


def test_nothing_in_the_audit_log_steers_the_terminal(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from bluegreen.control.ports import AuditEntry
    from bluegreen.stores.audit import AuditFile

    evil = "\x1b[2Jevil\r\n[red]"
    AuditFile(audit_log(config.parent / "state")).write(AuditEntry(1.0, evil, evil, evil, {evil: evil}, evil))
    _, out, _ = quickly(config, capsys, "audit", "list")
    assert "\x1b" not in out
    assert "\r" not in out
    assert "[red]" in out


@pytest.mark.parametrize("group", GROUPS)
def test_a_group_alone_shows_its_commands(config: Path, capsys: pytest.CaptureFixture[str], group: str) -> None:
    # `bluegreen metrics` alone lacks the metric that it shows.
    alone = [] if group == "metrics" else [[group]]
    for arguments in (*alone, [group, "--help"]):
        assert run(arguments) == 0
        out = capsys.readouterr().out
        assert all(command in out for command in GROUPS[group].commands)


@pytest.mark.parametrize("path", [path for path in PATHS if len(path) > 1], ids=" ".join)
def test_each_command_of_a_group_has_its_own_help(path: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    assert run([*path, "--help"]) == 0
    assert f"bluegreen {' '.join(path)}" in capsys.readouterr().out


@pytest.mark.parametrize("place", [0, 1, 2])
def test_the_configuration_may_be_named_anywhere(
    config: Path, capsys: pytest.CaptureFixture[str], place: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BLUEGREEN_CONFIG", str(config.parent / "none.toml"))
    for option in (["--config", str(config)], [f"--config={config}"]):
        words = ["token", "list"]
        words[place:place] = option
        assert run(words) == 0
        assert "no token yet" in capsys.readouterr().out


def test_an_unknown_group_offers_near_ones(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["tokne", "list"]) == 2
    assert 'Did you mean "token"?' in capsys.readouterr().err
