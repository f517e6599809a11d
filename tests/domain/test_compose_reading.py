"""YAML, variables and files of variables, as Compose reads them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bluegreen.domain.errors import ConfigurationError
from bluegreen.spec.compose.env_file import parse_env_file
from bluegreen.spec.compose.interpolation import fill, fill_tree
from bluegreen.spec.compose.units import mebibytes, number, seconds, whole
from bluegreen.spec.compose.yaml_text import parse_yaml
from tests.domain.compose_files import imported

VARIABLES = {"A": "1", "EMPTY": "", "NAME": "x"}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("${A}", "1"),
        ("$A-$NAME", "1-x"),
        ("${MISSING}", ""),
        ("${EMPTY:-d}", "d"),
        ("${EMPTY-d}", ""),
        ("${MISSING-d}", "d"),
        ("${MISSING:-${ALSO:-${A}}}", "1"),
        ("${MISSING:-$NAME/y}", "x/y"),
        ("${A:+alt}", "alt"),
        ("${EMPTY:+alt}", ""),
        ("${EMPTY+alt}", "alt"),
        ("${MISSING+alt}", ""),
        ("${A:?needed}", "1"),
        ("${EMPTY?needed}", ""),
        ("$$A and $${A}", "$A and ${A}"),
        ("costs $5, 100%$", "costs $5, 100%$"),
    ],
)
def test_variables_are_filled_in_as_the_specification_says(text: str, value: str) -> None:
    assert fill(text, VARIABLES).text == value


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("${MISSING:?set MISSING to $NAME}", "the variable MISSING is required: set MISSING to x"),
        ("${EMPTY:?}", "the variable EMPTY is required: it has no value"),
        ("${A", "has a ${ without its }"),
        ("${1A}", "${1A} is no variable"),
        ("${A/x/y}", "${A/x/y} is no variable that Compose knows"),
    ],
)
def test_what_is_no_variable_is_told(text: str, problem: str) -> None:
    with pytest.raises(ValueError, match=r"variable|without") as caught:
        fill(text, VARIABLES)
    assert problem in str(caught.value)


@given(st.text())
def test_a_text_with_doubled_dollars_is_the_text(text: str) -> None:
    assert fill(text.replace("$", "$$"), VARIABLES).text == text


def test_every_problem_is_told_with_the_path_of_its_key() -> None:
    with pytest.raises(ConfigurationError) as caught:
        imported("services: {web: {image: '${TAG:?no tag}', ports: [80], environment: {A: '${'}}}")
    assert caught.value.problems == (
        "services.web.environment.A: has a ${ without its }; write $$ for a dollar that is meant literally",
        "services.web.image: the variable TAG is required: no tag",
    )


def test_text_that_a_configuration_can_not_hold_is_a_problem() -> None:
    assert fill_tree({"a": "$A"}, {"A": "\udcff"}).problems[0].location == ("a",)


def test_yaml_is_read_without_the_surprises_of_its_older_version() -> None:
    tree = parse_yaml("{on: yes, ports: [22:22, 0123], tag: 1.10, day: 2001-01-01, nothing: ~, flag: true}", "f")
    assert tree == {
        "on": "yes", "ports": ["22:22", "0123"], "tag": "1.10", "day": "2001-01-01", "nothing": None, "flag": True,
    }  # fmt: skip


def test_anchors_and_merge_keys_work_and_own_keys_come_first() -> None:
    tree = parse_yaml("x: &a {k: 1, l: 2}\ny: &b {k: 3}\nz: {<<: [*a, *b], l: 4}\nw: {<<: *b}", "f")
    assert tree["z"] == {"k": "1", "l": "4"}
    assert tree["w"] == {"k": "3"}


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("a: [", "line 1, column 5: not YAML"),
        ("a: 1\na: 2", "line 2, column 1: not YAML: the key 'a' stands twice"),
        ("a: b: c", "line 1, column 5: not YAML"),
        ("a: !!python/object:os.system {}", "could not determine a constructor"),
        ("? [a]\n: b", "a key must be text"),
        ("\x01", "not YAML"),
        ("{a: " * 3000, "nested too deeply"),
    ],
)
def test_what_is_no_yaml_is_told_with_its_line(text: str, problem: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        parse_yaml(text, "compose.yaml")
    assert problem in str(caught.value)


@pytest.mark.parametrize("text", ["", "[]", "services: []", "services: {}", "just text", "version: 3"])
def test_what_is_no_compose_file_is_told(text: str) -> None:
    with pytest.raises(ConfigurationError, match="services: is missing or empty"):
        imported(text)


def test_aliases_of_aliases_do_not_grow_without_a_limit() -> None:
    levels = ["x0: &x0 [a, a, a, a, a, a, a, a, a, a]"]
    levels += [f"x{n}: &x{n} [{', '.join([f'*x{n - 1}'] * 10)}]" for n in range(1, 12)]
    with pytest.raises(ConfigurationError, match="more than 100000 values"):
        imported("\n".join([*levels, "services: {web: {image: a, ports: [80]}}"]))
    with pytest.raises(ConfigurationError, match="recursive node"):
        imported("x: &x [*x]\nservices: {web: {image: a, ports: [80]}}")


def test_a_file_of_variables() -> None:
    text = (
        "\ufeff# comment\nA=1 # behind\nexport B=\"x\\ty $A\"\nC='it\\'s $A'\nD=a#b\nE=\nF: colon\nOUTSIDE\n"
        'H="two\nlines" # behind\r\nI=${NOPE:-d}\nJ=$OUTSIDE\n\nK="$$5"'
    )
    assert parse_env_file(text, {"OUTSIDE": "o", "A": "over"}) == {
        "A": "1", "B": "x\ty over", "C": "it's $A", "D": "a#b", "E": "", "F": "colon", "OUTSIDE": "o",
        "H": "two\nlines", "I": "d", "J": "o", "K": "$5",
    }  # fmt: skip


@pytest.mark.parametrize(("text", "line"), [("A=1\nno variable", 2), ('\nA="x', 2), ("A=${", 1)])
def test_a_wrong_line_is_told_by_its_number(text: str, line: int) -> None:
    with pytest.raises(ValueError, match=f"^line {line}: "):
        parse_env_file(text, {})


def test_units() -> None:
    assert [seconds(text) for text in ("1m30s", "1.5h", "500ms", "0", "5", "1 m", "")] == [
        90.0, 5400.0, 0.5, 0.0, None, None, None,
    ]  # fmt: skip
    assert [mebibytes(text) for text in ("512m", "1gb", "2GiB", "1", "1.5g", "b", "-1", "9" * 400)] == [
        512, 1024, 2048, 1, 1536, None, None, None,
    ]  # fmt: skip
    assert [whole(text) for text in ("2", "2.0", "2.5", "x", True, "1e400")] == [2, 2, None, None, None, None]
    assert number("0.5") == 0.5
