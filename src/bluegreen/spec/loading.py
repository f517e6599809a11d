"""Reads `bluegreen.toml`: a frozen Configuration, or every problem at once."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from bluegreen.domain.errors import ConfigurationError, UsageError
from bluegreen.spec import contradictions
from bluegreen.spec.configuration import Configuration
from bluegreen.spec.convert import to_configuration
from bluegreen.spec.file_model import Document
from bluegreen.spec.problems import from_validation, written

MAX_FILE_BYTES = 16 * 1024 * 1024
_PLACE = re.compile(r"^(?P<what>.*) \(at (?:line (?P<line>\d+), column (?P<column>\d+)|end of document)\)$", re.S)
_EXAMPLE = """A small one to start with:

  [services.hello]
  hosts = ["*"]
  image = "hello:v1"
  command = ["python3", "-m", "http.server", "{port}"]
  health = { path = "/" }"""


def load(path: Path) -> Configuration:
    """Reads and checks the file. Raises ConfigurationError with all problems, UsageError when it can't be read."""
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise ConfigurationError(str(path), [f"is larger than {MAX_FILE_BYTES // 2**20} MiB"])
        content = path.read_bytes()
    except FileNotFoundError:
        raise UsageError(f"there is no configuration file {path}", hint=_EXAMPLE) from None
    except OSError as error:
        raise UsageError(f"{path} can't be read: {error.strerror}", hint="Name another with --config") from error
    try:
        text = content.decode()
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ConfigurationError(str(path), [f"line {line}: is not UTF-8 text"]) from None
    absolute = path.absolute()
    return _parse(text, source=str(path), path=absolute, base_directory=absolute.parent)


def parse(text: str, *, source: str, base_directory: Path) -> Configuration:
    """The same for a text that is no file. `source` is what errors call it. Raises ConfigurationError."""
    absolute = base_directory.absolute()
    return _parse(text, source=source, path=absolute / source, base_directory=absolute)


def _parse(text: str, *, source: str, path: Path, base_directory: Path) -> Configuration:
    raw = _read_toml(text, source)
    problems = list(contradictions.in_document(raw))
    document: Document | None = None
    try:
        document = Document.model_validate(raw)
    except ValidationError as error:
        problems += from_validation(error)
    if document is None or problems:
        raise ConfigurationError(source, written(problems))
    return to_configuration(document, path, base_directory)


def _read_toml(text: str, source: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        place = _PLACE.match(str(error))
        what = place["what"] if place else str(error)
        if place and place["line"]:
            line, column = place["line"], place["column"]
        else:
            # Python names the end of the document without numbers.
            line, column = str(text.count("\n") + 1), str(len(text) - (text.rfind("\n") + 1) + 1)
        problem = f"line {line}, column {column}: not TOML: {what[:1].lower()}{what[1:]}"
    except (ValueError, RecursionError) as error:
        nested = isinstance(error, RecursionError)
        problem = "is nested too deeply" if nested else "has a number with too many digits"
    raise ConfigurationError(source, [problem])
