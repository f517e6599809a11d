"""The evidence of the verdicts for many deployments at once: `bluegreen.domain` written once more in numpy, because a
scenario is sixty million looks. `bench.simulation_proof` compares both."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from bluegreen.domain.arrivals import RECENT_SECONDS
from bluegreen.domain.sequential import FIRST_STAKE, ODDS_RATIOS, STAKES

Counts = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

RATIOS = np.array(ODDS_RATIOS)[:, None]
LOG_STAKES = np.log(np.array(STAKES))[:, None]


def unlaid(seconds: Counts | int) -> Floats:
    return np.asarray((1.0 - FIRST_STAKE) / (np.asarray(seconds) + 1.0), np.float64)


def log_sum(values: Floats) -> Floats:
    """Over the first axis."""
    highest = values.max(axis=0)
    return np.asarray(highest + np.log(np.exp(values - highest).sum(axis=0)), np.float64)


class Evidences:
    """`domain.sequential.Evidence` of many deployments."""

    def __init__(self, deployments: int) -> None:
        self._paths = np.repeat(np.log(FIRST_STAKE) + LOG_STAKES, deployments, axis=1)
        self._seconds = np.zeros(deployments, np.int64)

    def add(self, which: Counts, gains: Floats, seconds: float) -> None:
        """`gains` (odds ratios x deployments) belong to the deployments `which`."""
        late = which[self._seconds[which] < int(seconds)]
        if len(late):
            laid = unlaid(self._seconds[late]) - unlaid(int(seconds))
            self._paths[:, late] = np.logaddexp(self._paths[:, late], np.log(laid) + LOG_STAKES)
            self._seconds[late] = int(seconds)
        self._paths[:, which] += gains

    def values(self, which: Counts) -> Floats:
        return log_sum(np.vstack([self._paths[:, which], np.log(unlaid(self._seconds[which]))]))


class Arrived:
    """`domain.arrivals.Arrivals` of many deployments, for one limit or one for each.

    The stakes on later seconds are only worked out where they could matter: `_most` is what they can have become on
    each ratio at most, if all events since they were last worked out count for all of them.
    """

    def __init__(
        self,
        deployments: int,
        limit: float | Floats,
        seconds: float,
        keep_seconds: float,
        waited: Counts | None = None,
    ) -> None:
        """What is older than `keep_seconds` is settled: no answer takes longer, or a minute, as in the domain."""
        self._keep = min(RECENT_SECONDS, int(keep_seconds) + 2)
        normal = 1.0 - limit + RATIOS * limit
        shape = (len(RATIOS), deployments)
        self._bad = np.broadcast_to(np.log(RATIOS / normal), shape)
        self._good = np.broadcast_to(np.log(normal), shape)
        self._total, self._events = (np.zeros(deployments, np.int64) for _ in range(2))
        self._by_second = np.zeros((2, int(seconds) + 2, deployments), np.int64)
        nothing = np.zeros(deployments, np.int64)
        self._waited = self._waiting = nothing if waited is None else waited
        self._waiting_at = np.repeat(self._waited[None], int(seconds) + 2, axis=0)
        self._counted_at = nothing.copy()
        self._settled = np.full(shape, -np.inf)
        self._laid = self._now = 0
        self._most = np.repeat(np.log(1.0 - FIRST_STAKE) + LOG_STAKES, deployments, axis=1)
        self._since = np.zeros(deployments, np.int64)

    def add(
        self, requests: Counts, events: Counts, came: list[tuple[int, Counts]], seconds: float, waiting: Counts
    ) -> None:
        while self._now < int(seconds):
            self._now += 1
            self._waiting_at[self._now] = self._waiting_at[self._now - 1]
        self._waiting = waiting
        np.copyto(self._waiting_at[self._now], waiting, where=requests > 0)
        np.copyto(self._counted_at, self._now, where=requests > 0)
        while self._laid < self._now - self._keep - 1:
            self._settle(self._laid + 1)
        self._total += requests
        self._events += events
        self._since += events
        self._by_second[0, self._now] += requests - events
        for second, some in came:
            if second > self._laid:
                self._by_second[1, second] += some

    def _settle(self, second: int) -> None:
        stake = np.log(unlaid(second - 1) - unlaid(second)) + LOG_STAKES
        self._settled = np.logaddexp(self._settled, stake) + self._gains(self._by_second[:, second], slice(None))
        self._laid = second

    def _gains(self, counted: Counts, which: Counts | slice) -> Floats:
        """`counted` are the good ones and the events."""
        return np.asarray(counted[1] * self._bad[:, which] - counted[0] * self._good[:, which], np.float64)

    def _first(self, which: Counts) -> Floats:
        good = (self._total - self._events + self._grown())[which]
        gains = self._gains(np.stack([good, self._events[which]]), which)
        return np.asarray(np.log(FIRST_STAKE) + LOG_STAKES + gains, np.float64)

    def _grown(self) -> Counts:
        return np.asarray(np.maximum(0, self._waiting - self._waited), np.int64)

    def _later(self, which: Counts, *, waiting: bool) -> Floats:
        """What the stakes on each ratio have become, the one that is not laid yet included."""
        seconds = np.arange(self._laid + 1, self._now + 1)
        events, good = self._by_second[1, seconds][:, which], self._by_second[0, seconds][:, which]
        bad, well = self._bad[:, None, which], self._good[:, None, which]
        gains = events[None] * bad - good[None] * well
        since = np.cumsum(gains[:, ::-1], axis=1)[:, ::-1]
        grown = np.zeros((len(seconds) + 1, len(which)), np.int64)
        if waiting:
            grown[0] = self._grown()[which]
            grown[1:] = np.maximum(0, self._waiting[which] - self._waiting_at[seconds - 1][:, which])
            # The domain lays stakes when something is counted; those after it have not seen who waits.
            grown[1:] *= seconds[:, None] <= self._counted_at[which]
        stakes = np.log(unlaid(seconds - 1) - unlaid(seconds))[None, :, None] + LOG_STAKES[:, None]
        paths = [np.broadcast_to(np.log(unlaid(self._now)) + LOG_STAKES[:, None], (len(RATIOS), 1, len(which)))]
        settled = self._settled[:, None, which] - grown[None, :1] * well
        paths += [stakes + since - grown[None, 1:] * well, settled + since[:, :1]] if len(seconds) else [settled]
        return log_sum(np.concatenate(paths, axis=1).swapaxes(0, 1))

    def values(self, which: Counts) -> Floats:
        at_most = self._later(which, waiting=False)
        self._most[:, which], self._since[which] = at_most, 0
        later = self._later(which, waiting=True) if (self._waiting[which] > 0).any() else at_most
        return log_sum(np.vstack([self._first(which), later]))

    def beyond(self, which: Counts, bound: Floats) -> Counts:
        """Those of `which` whose evidence has reached their bound."""
        most = self._most[:, which] + self._since[which] * self._bad[:, which]
        at_most = log_sum(np.vstack([self._first(which), most]))
        suspected = at_most >= bound
        suspects: Counts = which[suspected]
        if not len(suspects):
            return suspects
        found: Counts = suspects[self.values(suspects) >= bound[suspected]]
        return found
