"""The shares of a canary in a sentence: `canary 10, 50, 100`, `in steps of 10 and 50 percent`, `a canary at 10%`."""

from __future__ import annotations

import re

from bluegreen.domain.grammar_phrases import phrase
from bluegreen.domain.grammar_words import BREAK, Words

_SHARE = r"[0-9]{1,3}(?: ?(?:%|percent))?"
_STEPS = r"(?:traffic )?(?:steps?|shares?|stages?)(?: of| at)?"
_USERS = r"(?: of (?:all )?(?:traffic|users|requests))?"
_MORE = rf"(?:(?: {BREAK})?(?: and| then| to)? {_SHARE})"
_LIST = phrase(
    rf"(?:(?<=canary )|(?:in|with|at|by|using|of) (?:{_STEPS} )?|{_STEPS} ){_SHARE}{_MORE}+{_USERS}(?: of(?= <s>))?"
)
_FIRST = phrase(rf"(?:at|with|to|for|on|(?<=canary )of) [0-9]{{1,3}} ?(?:%|percent){_USERS}(?: first)?(?: of(?= <s>))?")


def take_steps(words: Words) -> str:
    """The steps as the value of `canary.steps`; "" when the sentence names none. To be called before commas are dropped
    and numbers are read as versions. All of the traffic comes last, said or not."""
    canary = re.search(r"(?<!\S)canary(?!\S)", words.text) is not None
    match = _LIST.search(words.text)
    if match is not None and (canary or re.search(r"steps?|shares?|stages?", match.group())):
        words.take(_LIST)
    elif canary:
        match = words.take(_FIRST)
    else:
        match = None
    if match is None:
        return ""
    steps = [int(number) for number in re.findall(r"[0-9]+", match.group())]
    return str(steps if steps[-1] == 100 else [*steps, 100])
