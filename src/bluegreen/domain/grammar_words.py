"""A sentence as words: which of them name a service or a version, and which are still unaccounted for."""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import pairwise

from bluegreen.domain.errors import UsageError
from bluegreen.domain.model import ImageReference

SERVICE = "<s>"
VERSION = "<v>"
STRANGE = "<x>"
"""What no pattern may match: characters that the patterns use themselves."""

BREAK = ","
"""Where a part of a sentence ends: comma, full stop and the like."""


def word_set(text: str) -> frozenset[str]:
    return frozenset(text.split())


_BREAKS = ",;:.!?…"
_ENDS = ".,!?;:\"'`()[]{}…“”‘’«»*"
_QUOTES = "\"'`“”‘’«»"
_DASHES = frozenset("-–—")
_SAME = {
    "roll-back": "rollback",
    "roll-out": "rollout",
    "re-deploy": "redeploy",
    "dry-run": "dryrun",
    "blue/green": "blue-green",
    "bluegreen": "blue-green",
    "blue_green": "blue-green",
    "go-ahead": "approval",
    "green-light": "greenlight",
}
_COUNTED = "zero one two three four five six seven eight nine ten eleven twelve"
NUMBERS = {word: number for number, word in enumerate(_COUNTED.split())} | {
    "fifteen": 15,
    "twenty": 20,
    "thirty": 30,
    "forty": 40,
    "fifty": 50,
    "sixty": 60,
    "hundred": 100,
}
NUMBER = rf"([0-9]+(?:\.[0-9]+)?|{'|'.join(NUMBERS)})"
_UNITS = word_set(
    "replica replicas copy copies instance instances gpu gpus s sec secs second seconds m min mins minute minutes h hr "
    "hrs hour hours day days deployment deployments release releases rollout rollouts rollback rollbacks line lines "
    "percent %"
)
MARKERS = word_set("version tag image build revision tagged")
_VERSION = re.compile(
    r"v[0-9]+(?:\.[0-9]+)*(?:(?:[-._]|(?=rc|alpha|beta))[A-Za-z0-9][A-Za-z0-9._-]*)?"
    r"|[0-9]+(?:\.[0-9]+)+(?:(?:[-._]|(?=rc|alpha|beta))[A-Za-z0-9][A-Za-z0-9._-]*)?"
    r"|[0-9]{4}-[0-9]{2}-[0-9]{2}[A-Za-z0-9._-]*"
    r"|(?=[0-9a-f]*[0-9])(?=[0-9a-f]*[a-f])[0-9a-f]{7,40}"
    r"|[0-9]+",
    re.IGNORECASE,
)
_IMAGE = re.compile(
    r"[A-Za-z0-9][A-Za-z0-9._/-]*(?::[0-9]+/[A-Za-z0-9._/-]+)?(?::[A-Za-z0-9_][A-Za-z0-9_.-]*|@sha256:[0-9a-f]{64})"
)
_CLOCK_TIME = re.compile(r"[0-9]{1,2}:[0-9]{2}\S*")
_DIGEST = re.compile(r"sha256:[0-9a-f]*", re.IGNORECASE)
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/-]*")


@dataclass(frozen=True, slots=True)
class Token:
    """`text` as it was written, `norm` as the patterns see it."""

    text: str
    norm: str
    quoted: bool = False


class Words:
    """What is left of a sentence. `take` removes what a pattern matches; what remains at the end was not understood."""

    def __init__(self, sentence: str) -> None:
        self.tokens = [token for word in sentence.split() for token in _tokens(word)]
        self.services: list[str] = []
        self.versions: list[str] = []
        self.bare_digest = False

    @property
    def text(self) -> str:
        return " ".join(token.norm for token in self.tokens)

    @property
    def left(self) -> tuple[str, ...]:
        """The remaining words as they were written."""
        return tuple(token.text for token in self.tokens)

    def take(self, pattern: re.Pattern[str]) -> re.Match[str] | None:
        text = self.text
        match = pattern.search(text)
        if match is None or not match.group().strip():
            return None
        start = match.start() + len(match.group()) - len(match.group().lstrip())
        end = match.end() - len(match.group()) + len(match.group().rstrip())
        first, last = text.count(" ", 0, start), text.count(" ", 0, end)
        del self.tokens[first : last + 1]
        return match

    def take_all(self, pattern: re.Pattern[str]) -> list[re.Match[str]]:
        found = []
        while (match := self.take(pattern)) is not None:
            found.append(match)
        return found

    def drop(self, words: Collection[str]) -> None:
        """Removes every word that carries no meaning of its own."""
        self.tokens = [token for token in self.tokens if token.norm not in words]

    def drop_leading(self, word: str) -> None:
        while self.tokens and self.tokens[0].norm == word:
            del self.tokens[0]

    def tag_services(self, names: Sequence[str], reserved: Collection[str]) -> None:
        """Marks each mention of a service: its name, or with spaces instead of dashes. A name that is a word of the
        grammar counts only in quotes or after the word "service"."""
        position = 0
        by_length = sorted(names, key=len, reverse=True)
        while position < len(self.tokens):
            for name in by_length:
                width = self._mention(position, name, names, reserved)
                if width:
                    written = " ".join(token.text for token in self.tokens[position : position + width])
                    self.tokens[position : position + width] = [Token(written, SERVICE)]
                    if name not in self.services:
                        self.services.append(name)
                    break
            position += 1

    def _mention(self, position: int, name: str, names: Sequence[str], reserved: Collection[str]) -> int:
        """How many words from here on are this service's name; 0 for none."""
        here = self.tokens[position]
        if here.text.lower().removesuffix("'s").replace("_", "-") == name.lower():
            ambiguous = normal_form(name) in reserved or _VERSION.fullmatch(name) is not None
            marked = here.quoted or (position > 0 and self.tokens[position - 1].norm == "service")
            return 0 if ambiguous and not marked else 1
        parts = name.lower().split("-")
        written = [token.norm for token in self.tokens[position : position + len(parts)]]
        if len(parts) < 2 or [*written[:-1], written[-1].removesuffix("'s")] != parts:
            return 0
        prefixes = {"-".join(parts[:count]) for count in range(1, len(parts))}
        if prefixes & set(names) or any(_VERSION.fullmatch(part) for part in parts):
            return 0  # "api v2" is a version of api, also where there is a service api-v2.
        return 0 if all(part in reserved for part in parts) else len(parts)

    def tag_versions(self, reserved: Collection[str]) -> None:
        """Marks versions, tags and images. `version nightly` names one, too, and takes the word before it along."""
        position = 0
        while position < len(self.tokens):
            token = self.tokens[position]
            marked = position > 0 and self.tokens[position - 1].norm in MARKERS
            counted = position + 1 < len(self.tokens) and self.tokens[position + 1].norm in _UNITS
            if _DIGEST.fullmatch(token.text):
                self.bare_digest = True
            named = marked and token.norm not in reserved and _NAME.fullmatch(token.text) is not None
            if token.norm not in (SERVICE, STRANGE) and not counted and (named or is_version(token.text)):
                first = position - 1 if marked else position
                written = " ".join(found.text for found in self.tokens[first : position + 1])
                self.tokens[first : position + 1] = [Token(written, VERSION)]
                if token.text not in self.versions:
                    self.versions.append(token.text)
                position = first
            position += 1


def _tokens(word: str) -> list[Token]:
    """The word, and a break after it when it ends with one."""
    word = word.replace("’", "'")
    text = word.strip(_ENDS)
    ends = [Token(BREAK, BREAK)] if set(word[len(word.rstrip(_ENDS)) :]) & set(_BREAKS) or set(word) <= _DASHES else []
    if not text or set(text) <= _DASHES:
        return ends
    norm = text.lower()
    if "<" in norm or ">" in norm or BREAK in norm:
        norm = STRANGE
    return [Token(text, normal_form(norm), word[0] in _QUOTES), *ends]


def normal_form(word: str) -> str:
    """`roll-back` and `rollback` are the same word."""
    return _SAME.get(word, word)


def is_version(text: str) -> bool:
    """Whether a word by itself is a version or an image with a tag or digest."""
    if _VERSION.fullmatch(text):
        return True
    if not _IMAGE.fullmatch(text) or _CLOCK_TIME.fullmatch(text) or "//" in text or _DIGEST.fullmatch(text):
        return False
    try:
        ImageReference.parse(text)
    except UsageError:
        return False
    return True


def number_of(text: str) -> float:
    return float(NUMBERS[text]) if text in NUMBERS else float(text)


def plain_number(value: float) -> str:
    return f"{value:.15g}"


def nearest(words: Sequence[str], names: Sequence[str], *, likeness: float = 0.65) -> str:
    """The name that one of the words, or two that follow each other, is probably meant to be; "" for none."""
    pairs = [f"{first}-{second}" for first, second in pairwise(words)]
    for word in [*words, *pairs]:
        near = difflib.get_close_matches(word.lower(), list(names), n=1, cutoff=likeness)
        if near:
            return near[0]
    return ""
