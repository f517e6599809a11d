"""A driver that is asked from a thread, because one that hangs can't be interrupted."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Generic, Protocol, TypeVar

log = logging.getLogger(__name__)

ANSWER_SECONDS = 2.0
"""A device that has fallen off its bus keeps the driver busy for minutes; the others' numbers don't wait for it."""
RETRY_SECONDS = 60.0
"""How long a driver that could not be opened, or knows none of the devices any more, is left alone."""


class Closable(Protocol):
    def close(self) -> None: ...


Driver = TypeVar("Driver", bound=Closable)


class PatientDriver(Generic[Driver]):
    """Asks from a thread of its own, which neither the caller nor the end of the process waits for when it hangs.
    `purpose` says in the log what is not done without answers."""

    def __init__(
        self,
        open_driver: Callable[[], Driver],
        purpose: str,
        *,
        answer_seconds: float = ANSWER_SECONDS,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._open_driver = open_driver
        self._purpose = purpose
        self._answer_seconds = answer_seconds
        self._monotonic = monotonic
        self._driver: Driver | None = None
        self._retry_at = 0.0
        self._asking: threading.Thread | None = None
        self.was_opened = False
        """Whether there has been a driver since this object was made."""

    def ask(self, question: Callable[[Driver], bool], *, quiet: bool = False) -> None:
        """Blocks for `answer_seconds` at most; one caller at a time. The question keeps what it hears, and returns
        whether the driver still knows a device; it may go on after this has returned, and is not asked when there is no
        driver or the last question has no answer yet. `quiet` says nothing of a driver that can't be opened."""
        if self._asking is not None and self._asking.is_alive():
            return
        self._asking = threading.Thread(target=self._ask, args=(question, quiet), name="gpus", daemon=True)
        self._asking.start()
        self._asking.join(self._answer_seconds)
        if self._asking.is_alive():
            log.warning("the GPU driver did not answer within %g s; %s", self._answer_seconds, self._purpose)

    def _ask(self, question: Callable[[Driver], bool], quiet: bool) -> None:
        driver = self._driver or self._opened(logging.DEBUG if quiet else logging.WARNING)
        if driver is None:
            return
        if not question(driver):
            # A driver that was updated or restarted knows its devices again only after a new beginning.
            driver.close()
            self._driver, self._retry_at = None, self._monotonic() + RETRY_SECONDS

    def _opened(self, level: int) -> Driver | None:
        if self._monotonic() < self._retry_at:
            return None
        try:
            self._driver = self._open_driver()
            self.was_opened = True
        except Exception as problem:  # Every kind of "there is none": not installed, no driver, no permission.
            log.log(level, "%s: %s", self._purpose, problem)
            self._retry_at = self._monotonic() + RETRY_SECONDS
        return self._driver
