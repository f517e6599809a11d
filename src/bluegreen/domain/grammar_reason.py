"""`… because errors went up`: the reason of a sentence, which is kept as it was written."""

from __future__ import annotations

import re

_BECAUSE = re.compile(r"(?<!\S)[(,]?(?:because(?: of)?|due to|reason ?:)(?!\S)", re.IGNORECASE)
_ACTION = (
    r"deploy|redeploy|roll|rollback|revert|undo|promote|approve|abort|cancel|stop|release|ship|switch|move|go|put|let|give"
    r"|upgrade|install|launch|start|show|do|make"
)
_GOES_ON = re.compile(
    r"(?:[,;.!?:–—&+-]\s*|\s(?:and|but|then|so|or|also|yet|plus)\s+)+"
    r"(?:(?:please|then|also|and|but|so|just|you|we|i|only|first)\s+)*"
    rf"(?:do\s*n[o']t|don't|dont|do\s+not|never|not|no|if|unless|only|wait|{_ACTION})\b",
    re.IGNORECASE,
)
_CONDITION = re.compile(r"\b(?:unless|only if|but only|if and when|except)\b", re.IGNORECASE)


def split_reason(sentence: str) -> tuple[str, str, str]:
    """The sentence without its reason, the reason, and why it can't be told where the reason ends ("" mostly).

    A reason goes on to the end. When it seems to hold another order (`because of errors, but don't …`), that is
    a doubt.
    """
    sentence = sentence.replace("’", "'")
    match = _BECAUSE.search(sentence)
    if match is None:
        return sentence, "", ""
    reason = sentence[match.end() :].strip().strip(",.!?;:-–—()\"' ")
    goes_on = _GOES_ON.search(" " + reason) or _CONDITION.search(reason)
    doubt = ""
    if goes_on is not None:
        doubt = f"the reason goes on with {goes_on.group().strip()!r}, which may be another order"
    elif not reason:
        doubt = f"nothing follows {match.group().strip()!r}"
    return sentence[: match.start()], reason, doubt
