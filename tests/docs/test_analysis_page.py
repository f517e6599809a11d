"""docs/analysis.md: the command in it answers as it says, and each query in the documentation is PromQL."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import pytest

from bluegreen.domain.promql import PLACEHOLDERS, filled
from bluegreen.probes.prometheus import PrometheusSource
from bluegreen.spec.loading import parse
from bluegreen.spec.metrics_settings import PrometheusSettings
from tests.docs.pages import ROOT, blocks_of
from tests.integration.probe_servers import Handler, answering, hanging, serving
from tests.support.prometheus import prometheus

PAGE = ROOT / "docs" / "analysis.md"


@pytest.mark.parametrize(
    ("handler", "exit_code", "words"),
    [
        (answering(200, b'{"label": "cat"}'), 1, "1 of 2 answers are right"),
        (answering(200, b'{"label": "cow"}'), 1, "0 of 2 answers are right"),
        (answering(503), 2, "could not ask"),
        (None, 2, "could not ask"),
    ],
    ids=["half", "none", "sick", "gone"],
)
async def test_the_command_fails_with_1_and_does_not_tell_with_2(
    handler: Handler | None, exit_code: int, words: str, tmp_path: Path
) -> None:
    (block,) = blocks_of(PAGE, "python")
    script = tmp_path / "compare-answers"
    script.write_text(block.text)
    async with serving(handler or hanging) as endpoint:
        url = f"http://{endpoint}" if handler else "http://127.0.0.1:1"
        process = await asyncio.create_subprocess_exec(
            sys.executable, str(script), stdout=subprocess.PIPE, env={**os.environ, "GREEN_URL": url}
        )
        out, _ = await process.communicate()
    assert (process.returncode, words in out.decode()) == (exit_code, True), out


async def test_each_query_in_the_documentation_is_promql(tmp_path: Path) -> None:
    queries = [
        filled(analysis.query, {name: name for name in PLACEHOLDERS})
        for page in (PAGE, PAGE.with_name("configuration.md"))
        for block in blocks_of(page, "toml")
        for service in parse(block.text, source=page.name, base_directory=ROOT).services.values()
        for analysis in service.analyses
        if analysis.query
    ]
    assert len(queries) >= 4
    async with prometheus(tmp_path, "127.0.0.1:1", "token") as found:
        source = PrometheusSource(PrometheusSettings(found.url), {})
        for query in queries:
            result = await source.query(query, timeout_seconds=10)
            assert result.problem == "", query
        await source.aclose()
