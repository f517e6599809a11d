"""What a sentence may add to a deployment: replicas, times, approval, strategy. Each becomes a key of the configuration
for this deployment alone."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from bluegreen.domain.grammar_phrases import phrase
from bluegreen.domain.grammar_words import NUMBER, Words, number_of, plain_number

_SECONDS = {
    "s": 1,
    "sec": 1,
    "second": 1,
    "m": 60,
    "min": 60,
    "minute": 60,
    "h": 3600,
    "hr": 3600,
    "hour": 3600,
    "day": 86400,
}
_TIME = rf"(?:(half) |{NUMBER} ?)?(seconds?|secs?|s|minutes?|mins?|m|hours?|hrs?|h|days?)"
_AND = r"(?:(?:and|but|then) )?"
_OLD_SIDE = r"(?:blue|(?:old|previous) (?:version|one|side|slot|release))"
_PERSON = r"(?:me|us|somebody|someone|person|human|(?:my |our |manual |human )?approval)"
_MOVES = (
    r"(?:switch|switching|switching over|it switches|moving|traffic moves|promotion|promoting|it gets)"
    r"(?: all)?(?: traffic)?"
)

_STRATEGY = phrase(
    r"(?:(?:using|with|as|via|by|through|in) )?(?:own )?(blue-green|blue green|canary)"
    r"(?: (?:strategy|style|method|way|deployment|release|rollout|steps))?"
)
_COUNTS: dict[str, re.Pattern[str]] = {
    "replicas": phrase(rf"{_AND}(?:(?:with|on|using|as|in|at) )?{NUMBER} (?:replicas?|copies|copy|instances?)"),
    "gpus": phrase(rf"{_AND}(?:(?:with|on|using) )?{NUMBER} gpus?(?: (?:each|per replica))?"),
}
_TIMES: dict[str, re.Pattern[str]] = {
    "policy.monitor_seconds": phrase(
        rf"{_AND}(?:watch|monitor|observe|watching|monitoring)(?: (?:it|<s>|green|new version|traffic))? for {_TIME}"
    ),
    "policy.retain_seconds": phrase(
        rf"{_AND}(?:keep|retain|leave|keeping)(?: {_OLD_SIDE})(?: (?:running|around|alive|up|there))? for {_TIME}"
    ),
    "policy.drain_timeout_seconds": phrase(rf"{_AND}drain(?: (?:it|{_OLD_SIDE}))? for(?: up to)? {_TIME}"),
}
_APPROVAL = phrase(
    rf"{_AND}(?:wait|hold|pause|stop) for {_PERSON}(?: to approve(?: it)?)?(?: before {_MOVES})?"
    rf"|{_AND}(?:ask(?: me| us)?|stop|wait|hold|pause) before {_MOVES}|with (?:manual )?approval"
)
_NO_APPROVAL = phrase(r"without (?:waiting for )?(?:my |our |any |manual )?approval")
_DETACH = phrase(r"(?:and |but )?without waiting|in background|(?:and )?return at once")
_AGAIN = phrase(r"again|once more|anyway")


@dataclass(slots=True)
class Options:
    """`problem` is a sentence when the options contradict each other."""

    strategy: str = ""
    overrides: dict[str, str] = field(default_factory=dict)
    force: bool = False
    detach: bool = False
    problem: str = ""

    def set(self, key: str, value: str) -> None:
        if self.overrides.setdefault(key, value) != value:
            self.problem = f"{key} can't be both {self.overrides[key]} and {value}"

    def use(self, strategy: str) -> None:
        strategy = strategy.replace(" ", "-")
        if self.strategy not in ("", strategy):
            self.problem = f"the strategy can't be both {self.strategy} and {strategy}"
        self.strategy = strategy


def seconds_of(match: re.Match[str]) -> float:
    """`10 minutes`, `half an hour`, `an hour`; the last three groups are those of `_TIME`."""
    half, number, unit = match.groups()[-3:]
    count = 0.5 if half else number_of(number) if number else 1.0
    return count * _SECONDS[unit if unit in _SECONDS else unit.removesuffix("s")]


def take_options(words: Words, action: str) -> Options:
    """Takes all options out of the sentence. `action` is the text of the verb, which may name the strategy:
    `do a canary release`."""
    options = Options()
    named = re.search(r"blue-green|blue green|canary", action)
    if named:
        options.use(named.group())
    for key, pattern in _TIMES.items():
        for match in words.take_all(pattern):
            options.set(key, plain_number(seconds_of(match)))
    for key, pattern in _COUNTS.items():
        for match in words.take_all(pattern):
            options.set(key, plain_number(number_of(match.group(1))))
    if words.take_all(_NO_APPROVAL):
        options.set("policy.auto_promote", "true")
    if words.take_all(_APPROVAL):
        options.set("policy.auto_promote", "false")
    for match in words.take_all(_STRATEGY):
        options.use(match.group(1))
    options.detach = bool(words.take_all(_DETACH))
    options.force = bool(words.take_all(_AGAIN))
    return options
