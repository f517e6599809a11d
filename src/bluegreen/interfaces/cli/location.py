"""Which configuration file a command means, and where its daemon is. Reads no more of the file than that."""

from __future__ import annotations

import os
import shlex
import tomllib
from pathlib import Path
from typing import NoReturn

from bluegreen.domain.errors import ConfigurationError, UsageError

CONFIG_VARIABLE = "BLUEGREEN_CONFIG"
DEFAULT_CONFIG = Path("bluegreen.toml")
DEFAULT_STATE_DIRECTORY = ".bluegreen"


def state_directory_of(config_path: Path) -> Path:
    """The state directory that the file names, absolute. Checks nothing else of the file: `bluegreen rollback` must
    work although somebody has just broken it elsewhere.

    Raises UsageError when there is no such file, ConfigurationError with every problem when it can't be understood.
    """
    table = _tables(config_path).get("daemon", {})
    stated = table.get("state_dir", DEFAULT_STATE_DIRECTORY) if isinstance(table, dict) else None
    if not isinstance(stated, str) or not stated:
        _explain(config_path)
    return config_path.absolute().parent / os.path.expanduser(str(stated))  # noqa: PTH111 - as spec.convert does


def service_names(config_path: Path) -> list[str]:
    """The services that the file has, for shell completion. Raises like `state_directory_of`."""
    services = _tables(config_path).get("services", {})
    return list(services) if isinstance(services, dict) else []


def default_config() -> Path:
    """What a command uses without `--config`."""
    return Path(os.environ.get(CONFIG_VARIABLE) or DEFAULT_CONFIG)


def command_line(command: str, config_path: Path) -> str:
    """`bluegreen <command>` as it must be typed in this directory to mean the same configuration."""
    if config_path == default_config():
        return f"bluegreen {command}"
    return f"bluegreen {command} --config {shlex.quote(str(config_path))}"


def _tables(config_path: Path) -> dict[str, object]:
    try:
        return tomllib.loads(config_path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UsageError(
            f"there is no configuration file {config_path}",
            hint=f"Name it with --config FILE or {CONFIG_VARIABLE}; what goes into it: docs/configuration.md",
        ) from None
    except OSError as error:
        raise UsageError(
            f"{config_path} can't be read: {error.strerror}", hint=f"Name another with --config or {CONFIG_VARIABLE}"
        ) from error
    except (ValueError, RecursionError):
        _explain(config_path)


def _explain(config_path: Path) -> NoReturn:
    """Lets the real reader say what is wrong. It costs the import of pydantic, which only a broken file pays."""
    from bluegreen.spec.loading import load

    load(config_path)
    raise ConfigurationError(str(config_path), ["daemon.state_dir: must be text"])
