"""What makes a sentence not understood: negations, conditions, second commands, words without a place.

Each check gives "" or the sentence that says what is wrong.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from bluegreen.domain import grammar_phrases as g
from bluegreen.domain.grammar_options import Options
from bluegreen.domain.grammar_words import SERVICE, VERSION, Words, nearest, number_of

_WITHOUT_VERSION = {
    "rollback": "a rollback goes to the version before and takes no other; deploy the one you want instead",
    "promote": "promote is for the version that waits or is being watched; leave the version out",
    "approve": "approve is for the version that waits; leave the version out",
    "abort": "abort ends the deployment that is under way; leave the version out",
}
MENTIONS = g.phrase(r"<s>|<v>")


@dataclass(slots=True)
class Reading:
    """What has been made of a sentence so far."""

    words: Words
    services: Sequence[str]
    reason: str = ""
    operation: str = ""
    action: str = ""
    """The words of the verb."""
    options: Options = field(default_factory=Options)
    side: str = ""
    count: str = ""
    steps: str = ""

    @property
    def changes(self) -> bool:
        return self.operation in g.CHANGING

    @property
    def named(self) -> bool:
        return bool(self.words.services)


def negation(words: Words) -> str:
    """Refused in every sentence: what is not to be done, or is not so, is no order and no question of ours."""
    for token in words.tokens:
        if token.norm in g.NEGATIONS or token.norm.endswith("n't"):
            return f"the sentence says {token.text!r}, and sentences with a negation are not carried out at all"
    return ""


def second_command(words: Sequence[str]) -> str:
    """The verb of a second command: one that begins another part of the sentence."""
    verbs, begins = [], True
    for position, word in enumerate(words):
        if begins and word in g.VERBS and " ".join(words[position : position + 2]) not in ("stop before", "stop for"):
            verbs.append(word)
        begins = word in g.JOINS or (begins and word in g.LEADS)
    return verbs[1] if len(verbs) > 1 else ""


def one_thing_now(reading: Reading, asked: tuple[str, ...]) -> str:
    """No condition, no time, no second command."""
    words, changes = reading.words, reading.changes
    others = [(operation, match.group().strip()) for operation, p in g.ACTIONS if (match := p.search(words.text))]
    would_change = changes or any(operation in g.CHANGING for operation, _ in others)
    condition = next((word for word in asked if word in g.CONDITIONS), "")
    if would_change and condition in words.text.split():
        return f"it has a condition or a time ({condition!r}), and I can only do things now"
    if would_change and others:
        second = others[0][1].replace(SERVICE, "").replace(VERSION, "").strip()
        return f"it asks for more than one thing: {reading.operation}, and {second!r} as well"
    return ""


def no_order(reading: Reading, asked: tuple[str, ...], marked: bool) -> str:
    """A question or thanks, about a change. `marked`: there is a question mark. `roll back api?` may mean either, and
    only who says please certainly wants it done."""
    text = " ".join(asked)
    if not reading.changes:
        return ""
    if g.THANKS.search(text):
        return "it gives thanks for something, and orders nothing"
    if (marked or g.ASKED_OF_US.search(text)) and not g.BEGGING.intersection(asked):
        return "it may be a question or an order; give it as an order, without asking, or say please"
    return ""


def wrong(reading: Reading) -> str:
    """What contradicts the operation."""
    words, operation = reading.words, reading.operation
    if reading.options.problem:
        return reading.options.problem
    if len(words.services) > 1:
        return f"it names {len(words.services)} services ({', '.join(words.services)}), and I do one thing at a time"
    if reading.count and not number_of(reading.count).is_integer():
        return f"{reading.count} is no whole number"
    if operation in ("deploy", "plan"):
        if words.bare_digest:
            return "a digest needs its repository before it: registry/name@sha256:…"
        if len(words.versions) > 1:
            return f"it names more than one version: {' and '.join(words.versions)}"
        if not words.versions and (reading.options.force or g.NEWER.search(reading.action)):
            return "it does not say which version; write it out, such as v2.0"
    elif words.versions and operation in _WITHOUT_VERSION:
        return f"it names the version {words.versions[0]}; {_WITHOUT_VERSION[operation]}"
    return ""


def left_over(reading: Reading) -> str:
    """The last check: no word that could matter may be left."""
    words = reading.words
    words.take_all(MENTIONS)
    words.drop(g.FILLERS)
    if not reading.changes:
        words.drop(g.READING_FILLERS)
    left = words.text.split()
    looks = not reading.changes and (reading.named or g.TIMES.issuperset(left))
    if not left or looks:
        return _service_problem(reading)
    hidden = next((word for word in left if word in reading.services), "")
    if hidden:
        return f"{hidden!r} is a word of the grammar, too; if you mean the service, write: service {hidden}"
    near = "" if reading.named else nearest(words.left, reading.services)
    if near:
        return f"there is no service {' '.join(words.left)!r}; did you mean {near!r}?"
    environment = next((word for word in left if word in g.ENVIRONMENTS), "")
    if environment:
        return f"a service belongs to one environment, by its configuration; leave {environment!r} out"
    if "version" in left:
        return "it does not say which version; write it out, such as v2.0"
    return "I don't know what to make of: " + ", ".join(repr(word) for word in words.left)


def _service_problem(reading: Reading) -> str:
    named = reading.words.services
    if named or len(reading.services) == 1 or reading.operation == "status":
        return ""
    listing = ", ".join(reading.services[:20])
    return f"it does not say which service: {listing}" if listing else "there is no service in the configuration yet"
