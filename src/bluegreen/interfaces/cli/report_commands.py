"""`bluegreen report`."""

from __future__ import annotations

import os
import sys
import tempfile
from datetime import datetime
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from bluegreen.control import requests as r
from bluegreen.control.report_views import ReportView
from bluegreen.domain.errors import BluegreenError, UsageError
from bluegreen.interfaces.cli import options as o
from bluegreen.interfaces.cli.client import DaemonClient
from bluegreen.interfaces.cli.decoding import decode
from bluegreen.interfaces.cli.output import note, print_json

POINTS = 240
"""Of each series: about as many as a chart has room for."""
STANDARD_OUTPUT = Path("-")


def report(
    deployment: Annotated[str, Parameter(help="Id of the deployment, or a service for its newest one.")],
    /,
    *,
    html: Annotated[
        Path | None,
        Parameter(
            name="--html",
            metavar="FILE",
            help="Write one HTML page that needs nothing else; - for stdout.",
            allow_leading_hyphen=True,
        ),
    ] = None,
    md: Annotated[
        tuple[Path, ...] | None,
        Parameter(
            name="--md",
            metavar="[FILE]",
            help="Write Markdown, which is what it does without options too; to stdout without a file.",
            consume_multiple=(0, 1),
            negative=(),
        ),
    ] = None,
    as_json: o.Json = False,
    config: o.Config = o.CONFIG_DEFAULT,
) -> int:
    """Tell everything about one deployment: how it went, plots around the switch, verdicts with numbers, events, logs.

    For people who were not there: `bluegreen report inference-model --html report.html`, and send the file.
    """
    if as_json and (html is not None or md is not None):
        raise UsageError("--json: is not for --html and --md", hint="Ask for one of them")
    if html is not None and str(html).startswith("--"):
        raise UsageError(f"--html: needs a file, got {html}", hint="For stdout: --html -")
    raw = DaemonClient(config).call_raw("report", r.ReportRequest(deployment, POINTS))
    if as_json:
        print_json(raw)
        return 0
    view, zone = decode(ReportView, raw), datetime.now().astimezone().tzinfo
    assert zone is not None, "astimezone gives one"
    if html is not None:
        from bluegreen.interfaces.report.html_page import html_page

        _deliver(html, html_page(view, zone))
    if md is not None or html is None:
        from bluegreen.interfaces.report.markdown import markdown

        _deliver(md[0] if md else STANDARD_OUTPUT, markdown(view, zone))
    return 0


def _deliver(path: Path, text: str) -> None:
    """The whole file or none of it. Raises BluegreenError when it can't be written, UsageError when something else is
    there: a report may be written over, nothing else may."""
    if path == STANDARD_OUTPUT:
        sys.stdout.write(text)
        return
    content = text.encode(errors="replace")
    try:
        if path.exists() and not path.is_file():
            path.write_bytes(content)
            return
        if path.exists() and not _is_report(path):
            raise UsageError(f"{path} is there already and is no report", hint="Name another file, or move it away")
        _write(path, content)
    except OSError as error:
        raise BluegreenError(
            f"{path} can't be written: {error.strerror or error}", hint="Name another file, or - for stdout"
        ) from error
    note(f"written: {path}")


def _is_report(path: Path) -> bool:
    from bluegreen.interfaces.report.recognition import is_report

    with path.open("rb") as file:
        return is_report(file.read())


def _write(path: Path, content: bytes) -> None:
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
        Path(temporary).chmod(0o644)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
