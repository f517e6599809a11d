"""Sentences of people as operations: `roll out v2.1 of inference-model` is `deploy`. English only; docs/ask.md.

No model and no guessing. A sentence that changes something is understood only when every word of it has a place in
the grammar; a negation, a condition or a second command makes it not understood, never half done.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from bluegreen.domain import grammar_phrases as g
from bluegreen.domain.errors import UsageError
from bluegreen.domain.grammar_checks import (
    MENTIONS,
    Reading,
    left_over,
    negation,
    no_order,
    one_thing_now,
    second_command,
    wrong,
)
from bluegreen.domain.grammar_command import command_words
from bluegreen.domain.grammar_options import take_options
from bluegreen.domain.grammar_reason import split_reason
from bluegreen.domain.grammar_steps import take_steps
from bluegreen.domain.grammar_words import BREAK, NUMBER, Words, is_version, nearest, normal_form, number_of, word_set
from bluegreen.domain.text import require_plain_text

MAX_LENGTH = 500
"""Characters of a sentence."""

_WITH_REASON = {"deploy": "note", "rollback": "reason", "abort": "reason", "approve": "reason"}
_KNOWN = sorted(
    word_set(
        "deploy release ship upgrade rollout rollback revert undo promote approve abort cancel status history logs "
        "report"
    )
)
"""Offered to who mistyped one."""


@dataclass(frozen=True, slots=True)
class Understood:
    """`arguments` are those of the operation (control/requests.py). `words` is the command line that does the same,
    without `bluegreen` before it. `unused` are words that change nothing. `side` is the slot that the sentence named
    for a promotion or a rollback: whoever carries it out must see whether that is the slot it is about.
    """

    operation: str
    arguments: Mapping[str, Any]
    words: tuple[str, ...]
    unused: tuple[str, ...] = ()
    side: str = ""

    @property
    def changes(self) -> bool:
        return self.operation in g.CHANGING


@dataclass(frozen=True, slots=True)
class NotUnderstood:
    """`problem` is a sentence, `understood` are the parts that made sense, `unknown` the words that did not."""

    problem: str
    understood: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()
    examples: tuple[str, ...] = ()


def understand(sentence: str, services: Sequence[str]) -> Understood | NotUnderstood:
    """What the sentence asks for. `services` are the names that there are; one alone need not be said.

    Never raises, whatever the text.
    """
    try:
        require_plain_text("sentence", sentence.strip(), max_length=MAX_LENGTH, empty=False)
    except UsageError as error:
        return NotUnderstood(error.message, examples=examples(services))
    found = _understand(sentence, services)
    if isinstance(found, NotUnderstood):
        found = replace(found, examples=examples(services))
    return found


def examples(services: Sequence[str]) -> tuple[str, ...]:
    """Three sentences that are understood here."""
    name = services[0] if services else "inference-model"
    if normal_form(name) in g.RESERVED or is_version(name):
        name = f'service "{name}"'
    return (f"deploy {name} v2.0 using blue-green", f"roll back {name} because errors went up", f"how is {name} doing?")


def _understand(sentence: str, services: Sequence[str]) -> Understood | NotUnderstood:
    rest, reason, doubt = split_reason(sentence)
    words = Words(rest)
    words.tag_services(services, g.RESERVED)
    words.take_all(_SERVICE_WORD_BESIDE)
    reading = Reading(words, services, reason)
    problem = doubt or negation(words)
    if problem:
        return _not(reading, problem)
    asked = tuple(token.norm for token in words.tokens)
    words.drop(g.DROPPED)
    for pattern in g.POLITE:
        words.drop_leading(BREAK)
        words.take_all(pattern)
    reading.steps = take_steps(words)
    second = second_command(words.text.split())
    if second:
        return _not(reading, f"it asks for more than one thing: {second!r} is a second one")
    words.drop(BREAK)
    words.tag_versions(g.RESERVED)
    problem = _read_action(reading) or _read_rest(reading) or one_thing_now(reading, asked) or wrong(reading)
    marked = "?" in rest or sentence.rstrip(_CLOSING).endswith("?")
    problem = problem or left_over(reading) or no_order(reading, asked, marked)
    if problem:
        return _not(reading, problem)
    return _result(reading)


_SERVICE_WORD_BESIDE = g.phrase(r"service(?= <s>)")
_CLOSING = "!. \"')”’»"


def _read_action(reading: Reading) -> str:
    words = reading.words
    for operation, pattern in g.ACTIONS:
        match = words.take(pattern)
        if match is not None:
            reading.operation, reading.action = operation, match.group().strip()
            reading.count = next((group for group in match.groups() if group and _is_number(group)), "")
            break
    else:
        near = nearest([word for word in words.left if len(word) > 3], _KNOWN, likeness=0.75)
        meant = f"; did you mean {near!r}?" if near else ""
        return f"there is no action in it that I know{meant}"
    if reading.operation in ("deploy", "plan"):
        reading.options = take_options(words, reading.action)
        if reading.steps:
            reading.options.use("canary")
            reading.options.set("canary.steps", reading.steps)
    elif reading.steps:
        return f"it names shares of the traffic ({reading.steps}), which only a new canary takes"
    return ""


def _is_number(text: str) -> bool:
    return re.fullmatch(NUMBER, text) is not None


def _read_rest(reading: Reading) -> str:
    """Objects of the action, the side, the count, and which service it is about."""
    words, operation = reading.words, reading.operation
    if operation in ("promote", "rollback", "logs"):
        # The verb may hold it: `give green the traffic`.
        sides = {*g.COLOR.findall(reading.action), *(match.group(1) for match in words.take_all(g.SIDE))}
        if len(sides) > 1:
            return "it names both blue and green"
        reading.side = next(iter(sides), "")
    counted = {"history": g.LIMIT, "logs": g.LINES}.get(operation)
    if counted is not None and (match := words.take(counted)) is not None:
        reading.count = match.group(1)
    for pattern in g.OBJECTS.get(operation, ()):
        words.take_all(pattern)
    return ""


def _result(reading: Reading) -> Understood:
    operation, options = reading.operation, reading.options
    service = next(iter(reading.words.services), "")
    if not service and len(reading.services) == 1 and operation != "status":
        service = reading.services[0]
    whose = "deployment" if operation == "report" else "service"
    arguments: dict[str, Any] = {whose: service} if service or operation != "status" else {}
    if operation in ("deploy", "plan"):
        given = {"image": next(iter(reading.words.versions), ""), "strategy": options.strategy}
        arguments |= {name: value for name, value in given.items() if value}
        arguments |= {"overrides": options.overrides} if options.overrides else {}
        arguments |= {"force": True} if options.force and operation == "deploy" else {}
    elif operation in ("history", "logs"):
        if reading.side and operation == "logs":
            arguments["slot"] = reading.side
        if reading.count:
            arguments["limit" if operation == "history" else "lines"] = int(number_of(reading.count))
    unused = reading.words.left
    if reading.reason and operation in _WITH_REASON:
        arguments[_WITH_REASON[operation]] = reading.reason
    elif reading.reason:
        unused += (f"because {reading.reason}",)
    side = reading.side if reading.changes else ""
    words = command_words(operation, arguments, detach=options.detach)
    return Understood(operation, arguments, words, unused, side)


def _not(reading: Reading, problem: str) -> NotUnderstood:
    words = reading.words
    parts = [f"action: {reading.operation}"] if reading.operation else []
    parts += [f"service: {name}" for name in words.services]
    parts += [f"version: {version}" for version in words.versions]
    parts += [f"strategy: {reading.options.strategy}"] if reading.options.strategy else []
    parts += [f"{key} = {value}" for key, value in reading.options.overrides.items()]
    parts += [f"reason: {reading.reason}"] if reading.reason else []
    words.take_all(MENTIONS)
    words.drop(g.FILLERS)
    return NotUnderstood(problem, tuple(parts), words.left)
