"""Every error that `bluegreen` raises on purpose.

BluegreenError                  what, which, the limit, and what to do next
├── UsageError                  the caller asked for something that cannot be meant      (exit 2)
│   ├── ConfigurationError      the file is wrong; carries every problem with its path
│   ├── UnknownName             no such service, deployment or slot; offers near names
│   └── TooLarge                the request is bigger than what is read
├── Refused                     understood, but not now: another deployment, same image  (exit 1)
│   └── RequirementsNotMet      preflight: capacity, state, health check, router
├── AccessError                 the door stays shut, whatever the request says               (exit 4)
│   ├── Unauthenticated         no token, a wrong one, an expired one
│   ├── Forbidden               a token that may not do this; names what it lacks
│   └── RateLimited             too many requests; carries when to come back
├── IllegalEvent                an event that the TRANSITIONS table does not allow; nothing changed
├── StaleRoute                  somebody switched since this decision was made; nothing changed
├── AdapterError                a port could not do what it was asked
│   ├── RouterError             HAProxy did not take or confirm a change
│   ├── RuntimeFailure          a workload could not be started, stopped or read
│   └── StoreError              the event log, or another file of ours, could not be written or read
│       └── StoreDamaged        a file was no longer readable and was moved aside; a new one is in use
└── DaemonUnreachable           nobody answers on the socket                             (exit 3)
"""

from __future__ import annotations

from collections.abc import Sequence


class BluegreenError(Exception):
    """Base of all. `message` says what went wrong, `hint` what to do next; `exit_code` is the command line's."""

    exit_code = 1
    code = "error"

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message}\n{self.hint}" if self.hint else self.message


class UsageError(BluegreenError):
    exit_code = 2
    code = "usage"


class ConfigurationError(UsageError):
    """All the problems of a configuration at once, each `path.of.key: what is wrong`."""

    code = "configuration"

    def __init__(self, source: str, problems: Sequence[str]) -> None:
        self.source = source
        self.problems = tuple(problems)
        count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
        listing = "\n".join(f"  {problem}" for problem in problems)
        super().__init__(f"{source} has {count}:\n{listing}", hint="Check again with: bluegreen validate")


class UnknownName(UsageError):
    code = "unknown_name"


class TooLarge(UsageError):
    code = "too_large"


class Refused(BluegreenError):
    code = "refused"


class RequirementsNotMet(Refused):
    code = "requirements_not_met"


class AccessError(BluegreenError):
    exit_code = 4
    code = "access"


class Unauthenticated(AccessError):
    code = "unauthenticated"


class Forbidden(AccessError):
    code = "forbidden"


class RateLimited(AccessError):
    """`retry_after_seconds` is when the next request will be let in."""

    code = "rate_limited"

    def __init__(self, message: str, *, retry_after_seconds: float, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.retry_after_seconds = retry_after_seconds


class IllegalEvent(BluegreenError):
    code = "illegal_event"


class StaleRoute(BluegreenError):
    code = "stale_route"


class AdapterError(BluegreenError):
    code = "adapter"


class RouterError(AdapterError):
    code = "router"


class RuntimeFailure(AdapterError):
    code = "runtime"


class StoreError(AdapterError):
    code = "store"


class StoreDamaged(StoreError):
    code = "store_damaged"


class DaemonUnreachable(BluegreenError):
    exit_code = 3
    code = "daemon_unreachable"
