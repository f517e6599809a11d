"""`bluegreen simulate`, as a process and without a daemon."""

from __future__ import annotations

import json
from pathlib import Path

from tests.integration.cli_support import bluegreen, write_configuration


def test_it_needs_the_file_alone_and_tells_the_same_again(tmp_path: Path) -> None:
    config = write_configuration(tmp_path)
    asked = ("simulate", "shop", "--rate", "100", "--error-rate", "0.2", "--runs", "40")
    first, again = bluegreen(config, *asked), bluegreen(config, *asked)
    assert first.returncode == 0, first.stderr
    assert first.stdout == again.stdout
    assert "until rolled back" in first.stdout and "assumed: requests come at random" in first.stdout
    view = json.loads(bluegreen(config, *asked, "--json").stdout)
    assert (view["service"], view["runs"], view["noticed_share"]) == ("shop", 40, 1.0)


def test_another_policy_can_be_tried_and_errors_name_what_is_wrong(tmp_path: Path) -> None:
    config = write_configuration(tmp_path)
    asked = ("simulate", "shop", "--rate", "1", "--runs", "5", "--json")
    view = json.loads(bluegreen(config, *asked, "--set", "policy.monitor_seconds=7").stdout)
    assert view["monitor_seconds"] == 7
    unknown, wrong = bluegreen(config, "simulate", "shp", "--rate", "1"), bluegreen(config, *asked, "--error-rate", "5")
    assert (unknown.returncode, wrong.returncode) == (2, 2)
    assert "Did you mean 'shop'?" in unknown.stderr
    assert "--error-rate: must be a share between 0 and 1, got 5" in wrong.stderr
