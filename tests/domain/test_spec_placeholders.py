"""What the configuration accepts is exactly what the runtime can fill in."""

from __future__ import annotations

from hypothesis import example, given
from hypothesis import strategies as st

from bluegreen.domain.errors import UsageError
from bluegreen.runtimes.process.placeholders import fill
from bluegreen.spec.placeholders import PLACEHOLDERS, problem_in

VALUES = dict.fromkeys(PLACEHOLDERS, "value")
PIECES = st.sampled_from(["{", "}", "{{", "}}", "port", "{port}", "{image}", "{ port}", "{}", "x", "$"])


@given(st.lists(PIECES, max_size=8).map("".join))
@example("".join(f"{{{name}}}" for name in PLACEHOLDERS))
def test_configuration_and_runtime_agree(text: str) -> None:
    try:
        fill(text, VALUES, where="command")
        fillable = True
    except UsageError:
        fillable = False
    assert (problem_in(text) == "") is fillable
