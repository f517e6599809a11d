"""NVML, NVIDIA's library about its devices (the extra `gpu`)."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any


class Nvml:
    """Opened when it is made. Raises ImportError or pynvml.NVMLError when there is none."""

    def __init__(self) -> None:
        import pynvml  # An extra, and slow to import.

        self._nvml: Any = pynvml
        pynvml.nvmlInit()

    def _value(self, ask: Callable[[], Any]) -> Any:
        """None for what the device does not know: a vGPU has no temperature, most have no MIG mode."""
        try:
            return ask()
        except self._nvml.NVMLError:
            return None

    def close(self) -> None:
        with suppress(self._nvml.NVMLError):
            self._nvml.nvmlShutdown()
