"""`bluegreen metrics` against a fake daemon: what it asks, what it prints and draws, and what it refuses."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any

import pytest

from bluegreen.control import tool_views as tv
from bluegreen.control import views as v
from bluegreen.domain.errors import UnknownName
from bluegreen.domain.timespans import iso
from bluegreen.interfaces.cli.app import run
from tests.integration.cli_support import FakeDaemon, bluegreen, deployment, event, fake_daemon, write_configuration

START = 1_795_000_000.0
VALUES: dict[str, list[float | None]] = {"blue": [80.0, 80.0, 40.0, 0.0], "green": [None, None, 40.0, 80.0]}
SINCE = ("--since", iso(START), "--until", iso(START + 40))


@pytest.fixture
def config(tmp_path: Path) -> Path:
    return write_configuration(tmp_path)


def metrics(request: dict[str, Any]) -> Any:
    """Both slots of `shop` have values, other services never ran."""
    if request["metric"] != "request_rate":
        return UnknownName("metric: there is no metric 'request_rat'", hint="Did you mean 'request_rate'?")
    labels = request["labels"]
    known = labels["app"] == "shop"
    values = VALUES[labels.get("deployment", "blue")] if known else [None] * 4
    measured = [value for value in values if value is not None]
    told = (min(measured), max(measured), sum(measured) / len(measured), measured[-1]) if measured else (None,) * 4
    return tv.MetricsView(
        metric="request_rate",
        unit="requests per second",
        workloads=(f"shop-{labels.get('deployment')}-1",) if known else (),
        startTime=iso(START),
        endTime=iso(START + 40),
        stepSeconds=10.0,
        points=tuple(tv.PointView(iso(START + 10 * number), value) for number, value in enumerate(values, 1)),
        summary=tv.SummaryView(*told),
    )


def answers() -> dict[str, Any]:
    def events(_: dict[str, Any]) -> v.EventsView:
        targets = [{"color": "green", "workload_id": "shop-2", "weight": 100}]
        early = event(1, "traffic_switched", targets=targets, generation=1, milliseconds=0.4)
        late = event(2, "traffic_switched", targets=targets, generation=2, milliseconds=0.4)
        moved = [
            v.EventView(found.sequence, found.deployment, found.service, at, found.kind, found.data)
            for found, at in ((early, START - 100), (late, START + 25))
        ]
        return v.EventsView(tuple(moved), True, "completed")

    past = deployment(requested_at=START - 200, switched_at=START + 25, ended_at=START + 30)
    return {"metrics_query": metrics, "history": v.HistoryView("shop", (past,)), "events": events}


def asked(daemon: FakeDaemon) -> list[dict[str, Any]]:
    return [request["labels"] for request in daemon.asked("metrics_query")]


def test_both_slots_of_a_service_side_by_side_with_the_switch(config: Path) -> None:
    with fake_daemon(config, **answers()) as daemon:
        shown = bluegreen(config, "metrics", "request_rate", "--service", "shop", *SINCE, "--step", "10s")
        assert asked(daemon) == [{"app": "shop", "deployment": "blue"}, {"app": "shop", "deployment": "green"}]
        assert {request["step"] for request in daemon.asked("metrics_query")} == {"10s"}
    assert (shown.returncode, shown.stderr) == (0, "")
    assert "▲ 100 % to green (v2)" in shown.stdout
    assert "██▅▁" in shown.stdout and "··▅█" in shown.stdout


def test_json_is_one_document_with_null_for_what_was_not_measured(config: Path) -> None:
    with fake_daemon(config, **answers()):
        shown = bluegreen(config, "metrics", "request_rate", "--service", "shop", *SINCE, "--json")
    document = json.loads(shown.stdout)
    assert [series["slot"] for series in document["series"]] == ["blue", "green"]
    assert [point["value"] for point in document["series"][1]["points"]] == [None, None, 40.0, 80.0]
    assert document["series"][0]["points"][0]["at"] == START + 10
    assert document["switches"] == [
        {"at": START + 25, "deployment": "shop-abc234", "weights": {"green": 100}, "versions": {"green": "v2"}}
    ]


def test_csv_of_one_slot(config: Path) -> None:
    with fake_daemon(config, **answers()):
        shown = bluegreen(config, "metrics", "request_rate", "--service", "shop", "--slot", "green", *SINCE, "--csv")
    rows = list(csv.DictReader(shown.stdout.splitlines()))
    assert [row["shop green"] for row in rows] == ["", "", "40.0", "80.0"]


def test_without_a_service_each_has_a_line_and_those_that_never_ran_none(config: Path) -> None:
    with fake_daemon(config, **answers()) as daemon:
        shown = bluegreen(config, "metrics", "request_rate", *SINCE, "--json")
        assert asked(daemon) == [{"app": "shop"}, {"app": "search"}]
    assert [series["service"] for series in json.loads(shown.stdout)["series"]] == ["shop"]


def test_nothing_measured_is_said_and_no_error(config: Path) -> None:
    with fake_daemon(config, **answers()):
        shown = bluegreen(config, "metrics", "request_rate", "--service", "search", *SINCE)
        drawn = bluegreen(config, "metrics", "request_rate", "--service", "search", *SINCE, "--plot", "none.png")
    assert shown.returncode == 0 and "nothing was measured between" in shown.stdout
    assert drawn.returncode == 1 and "no picture was made" in drawn.stderr
    assert not (config.parent / "none.png").exists()


def test_pictures_have_labels_units_and_the_switch(config: Path) -> None:
    with fake_daemon(config, **answers()):
        for name in ("rate.svg", "rate.png", "again.svg"):
            shown = bluegreen(config, "metrics", "request_rate", "--service", "shop", *SINCE, "--plot", name)
            assert shown.returncode == 0, shown.stderr
            assert f"the picture is in {name}" in shown.stderr
    assert (config.parent / "rate.png").read_bytes().startswith(b"\x89PNG")
    drawn = (config.parent / "rate.svg").read_text()
    texts = {
        "".join(text.itertext()).strip() for text in ElementTree.fromstring(drawn).iter() if text.tag.endswith("}text")
    }
    assert {"request_rate of shop", "requests per second", "shop blue", "shop green", "100 % to green (v2)"} <= texts
    assert drawn == (config.parent / "again.svg").read_text()


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["request_rat"], "Did you mean 'request_rate'?"),
        (["request_rate", "--service", "shoq"], "--service: there is no service 'shoq'\nDid you mean shop?"),
        (["request_rate", "--slot", "red"], '"blue", "green"'),
        (["request_rate", "--plot", "rate.pdf"], "pictures can be .png or .svg"),
        (["request_rate", "--plot", "rate"], "no ending"),
        (["request_rate", "--plot", "missing/rate.png"], "--plot: there is no directory missing"),
        (["request_rate", "--since", "yesterday"], "--since: 'yesterday' is no moment"),
        (["request_rate", "--until", "-1"], "--until: '-1' is no moment"),
        (["request_rate", "--since", "-5m", "--until", "-10m"], "--since: must be before --until"),
        (["request_rate", "--step", "10"], "--step: '10' is no duration"),
        (["request_rate", "--csv", "--json"], "choose one"),
        ([], "METRIC"),
    ],
)
def test_what_is_refused_names_the_option_and_a_way_out(config: Path, arguments: list[str], expected: str) -> None:
    with fake_daemon(config, **answers()):
        shown = bluegreen(config, "metrics", *arguments)
    assert (shown.returncode, shown.stdout) == (2, "")
    assert expected in shown.stderr


def test_more_services_than_fit_are_not_asked_one_by_one(config: Path) -> None:
    many = v.ServicesView(tuple(f"service{number}" for number in range(1000)))
    with fake_daemon(config, **{**answers(), "services": many}) as daemon:
        shown = bluegreen(config, "metrics", "request_rate")
        assert asked(daemon) == []
    assert shown.returncode == 2
    assert "--service: name one; there are 1000 services" in shown.stderr


def test_without_matplotlib_it_says_what_to_install_before_anything_is_asked(
    config: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.chdir(config.parent)
    assert run(["metrics", "request_rate", "--plot", "rate.png", "--config", str(config)]) == 2
    assert "pip install 'bluegreen[plot]'" in capsys.readouterr().err


def test_matplotlib_is_loaded_for_pictures_alone(config: Path) -> None:
    code = (
        "import sys; from bluegreen.interfaces.cli.app import run; "
        f"run(['metrics', 'request_rate', '--service', 'shop', '--config', {str(config)!r}]); "
        "sys.exit('matplotlib' in sys.modules)"
    )
    with fake_daemon(config, **answers()):
        assert subprocess.run([sys.executable, "-c", code], check=False, stdout=subprocess.DEVNULL).returncode == 0
