"""What the command line makes of views and events, without a process; and that its documentation is true."""

from __future__ import annotations

import dataclasses
import functools
import re
import subprocess
import sys
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

import pytest

from bluegreen.control import report_views
from bluegreen.control import views as v
from bluegreen.control.simulating import SimulationView
from bluegreen.domain import events as e
from bluegreen.domain.baseline import Baseline
from bluegreen.domain.deployment import Deployment, apply, requested
from bluegreen.domain.errors import BluegreenError
from bluegreen.domain.model import Color, Resources, RouteTarget, Workload
from bluegreen.interfaces.cli import reference
from bluegreen.interfaces.cli.app import PATHS, build
from bluegreen.interfaces.cli.daemon_process import last_error
from bluegreen.interfaces.cli.decoding import decode
from bluegreen.interfaces.cli.doctor import Finding
from bluegreen.interfaces.cli.location import command_line, state_directory_of
from bluegreen.interfaces.cli.metric_series import MetricChart, MetricSeries, SwitchMark
from bluegreen.interfaces.cli.output import duration, printable, share
from bluegreen.interfaces.cli.sentences import Timeline, sentence
from bluegreen.spec.loading import load

DOCS = Path(__file__).parents[2] / "docs"
GREEN = Workload("shop-2", "shop", Color.GREEN, "shop:v2", "v2", 1, Resources())
REPORT_VIEWS: list[type[Any]] = [
    view for view in vars(report_views).values() if isinstance(view, type) and view.__module__ == report_views.__name__
]
VIEWS: list[type[Any]] = [
    kind for kind in vars(v).values() if dataclasses.is_dataclass(kind) and isinstance(kind, type)
]


def seen(sequence: int, event: e.Event) -> v.EventView:
    return v.EventView(sequence, "shop-1", "shop", 100.0 + sequence, event.kind, dataclasses.asdict(event))


WALK: list[e.Event] = [
    e.DeploymentRequested("shop:v2", "blue-green", (100,), "ada"),
    e.PreflightPassed(GREEN, ("room",)),
    e.ActionStarted("start"),
    e.GreenStarted(("127.0.0.1:4000",)),
    e.HealthPassed("1/1 replicas healthy"),
    e.Verified(),
    e.TrafficSwitched((RouteTarget(Color.GREEN, "shop-2"),), 1, 0.4),
    e.MonitoringPassed("fine", 100, 0),
    e.RetentionEnded("first deployment"),
    e.DeploymentCompleted(),
]


def test_the_timeline_has_the_phases_of_the_daemon() -> None:
    timeline, state = Timeline(), None
    for number, event in enumerate(WALK, 1):
        if isinstance(event, e.DeploymentRequested):
            state = requested("shop-1", "shop", 100.0 + number, event)
        else:
            assert isinstance(state, Deployment)
            state = apply(state, 100.0 + number, event)
        timeline.add(seen(number, event))
        assert timeline.phase == state.phase
    assert all(span.ended_at is not None for span in timeline.spans[:-1])


@pytest.mark.parametrize("kind", sorted(e.EVENT_KINDS))
def test_every_event_has_a_sentence(kind: str) -> None:
    cls = e.EVENT_KINDS[kind]
    filled = {
        field.name: _example(field) for field in dataclasses.fields(cls) if field.default is dataclasses.MISSING
        and field.default_factory is dataclasses.MISSING
    }  # fmt: skip
    text = sentence(seen(1, cls(**filled)))
    assert text
    assert "\n" not in text
    if filled:
        assert text != kind.replace("_", " "), "the facts are in it, so it did not fall back to the bare name"


def _example(field: dataclasses.Field[Any]) -> object:
    given = {"green": GREEN, "targets": (RouteTarget(Color.GREEN, "shop-2"),), "color": Color.GREEN}
    named = {
        "steps": (100,),
        "generation": 3,
        "healthy": True,
        "baseline": Baseline(),
        "received_bytes": 1,
        "total_bytes": 3,
    }
    return {**given, **named}.get(field.name, f"the {field.name}")


def test_a_kind_from_a_newer_daemon_is_shown_by_its_name() -> None:
    assert sentence(v.EventView(1, "d", "s", 0.0, "green_painted", {})) == "green painted"


@pytest.mark.parametrize("view", VIEWS)
def test_every_view_survives_the_way_through_json(view: type[Any]) -> None:
    assert decode(view, dataclasses.asdict(_filled(view))) == _filled(view)


def _filled(view: type[Any]) -> Any:
    def value(wanted: Any) -> Any:
        if dataclasses.is_dataclass(wanted) and isinstance(wanted, type):
            return _filled(wanted)
        if get_origin(wanted) is tuple:
            return (value(get_args(wanted)[0]),)
        if get_origin(wanted) is dict:
            return {"blue": value(get_args(wanted)[1])}
        if get_origin(wanted) is not None:
            return value(get_args(wanted)[0])
        return {str: "text", int: 3, float: 0.5, bool: True}.get(wanted)

    return view(**{name: value(hint) for name, hint in get_type_hints(view).items()})


def test_fields_of_a_newer_daemon_are_left_out_and_missing_ones_are_an_error() -> None:
    assert decode(v.MessageView, {"message": "hello", "colour": "red"}) == v.MessageView("hello")
    with pytest.raises(BluegreenError, match="MessageView"):
        decode(v.MessageView, {})


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0.0 s"),
        (-1, "0.0 s"),
        (9.96, "10 s"),
        (59.7, "1 min"),
        (200, "3 min 20 s"),
        (3600, "1 h"),
        (7500, "2 h 5 min"),
    ],
)
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_nothing_from_outside_steers_the_terminal() -> None:
    assert printable("a\x1b[31mred\x1b[0m \x1b]0;title\x07b\x07\x9b2Jc\td") == "ared b2Jc    d"
    assert share(0.0123) == "1.23 %"
    assert share(None) == "-"


def test_the_daemons_last_error_is_found_in_its_output() -> None:
    written = "10:00 INFO starting\nerror: old\n10:01 INFO x\nerror: the port 8080 is taken\nSee: ss -ltnp"
    assert last_error(written) == "the port 8080 is taken\nSee: ss -ltnp"
    assert last_error("Traceback (most recent call last):\n  ...\nValueError: 3").endswith(
        "unexpectedly: ValueError: 3"
    )
    assert last_error("a\nb") == "a\nb"


def test_commands_in_hints_mean_the_same_configuration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("BLUEGREEN_CONFIG", raising=False)
    assert command_line("up", Path("bluegreen.toml")) == "bluegreen up"
    assert command_line("up", Path("a b.toml")) == "bluegreen up --config 'a b.toml'"
    monkeypatch.setenv("BLUEGREEN_CONFIG", "other.toml")
    assert command_line("up", Path("other.toml")) == "bluegreen up"


def test_the_state_directory_is_the_one_that_the_daemon_finds(tmp_path: Path) -> None:
    for number, text in enumerate(("", '[daemon]\nstate_dir = "here"', '[daemon]\nstate_dir = "~/there"')):
        path = tmp_path / f"{number}.toml"
        path.write_text(text)
        assert state_directory_of(path) == load(path).daemon.state_dir


def test_docs_cli_is_written_from_the_commands() -> None:
    written = (DOCS / "cli.md").read_text()
    assert written == reference.text(), "run: python -m bluegreen.interfaces.cli.reference > docs/cli.md"
    app = build()
    for path in PATHS:
        name, command = " ".join(path), functools.reduce(lambda group, word: group[word], path, app)
        section = written.partition(f"## bluegreen {name}\n")[2].partition("\n## ")[0]
        for argument in command.assemble_argument_collection(default_parameter=app.default_parameter):
            assert argument.parameter.help, f"{name} {argument.names} is not described"
            for option in argument.names:
                assert not option.startswith("-") or option in section


def test_docs_json_describes_every_field_of_every_view() -> None:
    written = (DOCS / "json.md").read_text()
    for view in [*VIEWS, *REPORT_VIEWS, SimulationView, Finding, Resources, MetricChart, MetricSeries, SwitchMark]:
        section = written.partition(f"\n## {view.__name__}\n")[2].partition("\n## ")[0]
        described = re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE)
        assert described == [field.name for field in dataclasses.fields(view)], view.__name__


def test_asking_the_daemon_needs_no_heavy_imports(tmp_path: Path) -> None:
    code = (
        "import sys; from bluegreen.interfaces.cli.app import run; run(['status', '--config', sys.argv[1]]);"
        "print([name for name in ('pydantic', 'httpx', 'starlette', 'rich', 'asyncio') if name in sys.modules])"
    )
    config = tmp_path / "bluegreen.toml"
    config.write_text("")
    result = subprocess.run([sys.executable, "-c", code, str(config)], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"
