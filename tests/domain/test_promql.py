"""Placeholders in PromQL: whatever a value holds, it stays one string in the query."""

from __future__ import annotations

import ast
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bluegreen.domain.promql import filled, problem_in

VALUES = {"service": "shop", "workload": "shop-1-green", "slot": "green", "version": "v2.0"}
ANY_VALUE = st.text(st.characters(exclude_categories=["Cs"]))


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ('x{service="{service}"}', 'x{service="shop"}'),
        ("x{service='{service}', slot=\"{slot}\"}", "x{service='shop', slot=\"green\"}"),
        ('x{job="{service}-{slot}"}', 'x{job="shop-green"}'),
        ('x{version=~"{version}|{version}-.*"}', 'x{version=~"v2\\\\.0|v2\\\\.0-.*"}'),
        ('x{version !~ "{version}"}', 'x{version !~ "v2\\\\.0"}'),
        ('x{version="{version}", a=~"b"}', 'x{version="v2.0", a=~"b"}'),
        ('x{path="/users/{id}"}', 'x{path="/users/{id}"}'),
        ("x{path=`/users/{id}`}", "x{path=`/users/{id}`}"),
        ('x{a=~"[0-9]{2}"} # {service}', 'x{a=~"[0-9]{2}"} # {service}'),
        ('x{a="\\"{service}\\""}', 'x{a="\\"shop\\""}'),
    ],
)
def test_in_quotes_they_are_replaced_and_nothing_else_is(query: str, expected: str) -> None:
    assert problem_in(query) == ""
    assert filled(query, VALUES) == expected


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("", "must not be empty"),
        ("x" * 10_001, "at most 10000 characters"),
        ("x{service}", "must stand in quotes"),
        ("x{foo}", "is no PromQL"),
        ('x{a="{servce}"}', "did you mean {service}?"),
        ("x{a=`{service}`}", 'write it in "quotes"'),
        ('x{a="b}', "never closed"),
        ('x{a="b\n"}', "never closed"),
        ("x{a=`b}", "never closed"),
    ],
)
def test_what_cannot_be_meant_is_said(query: str, words: str) -> None:
    assert words in problem_in(query)


@given(value=ANY_VALUE, quote=st.sampled_from(["'", '"']))
def test_no_value_gets_out_of_its_string(value: str, quote: str) -> None:
    query = filled(f"x{{version={quote}{{version}}{quote}}}", {"version": value})
    literal = query.removeprefix("x{version=").removesuffix("}")
    assert ast.literal_eval(literal) == value, "Python's escapes are Go's, for those that are used"
    assert problem_in(query) in ("", problem_in(query) if "{" in value else "")


@given(value=ANY_VALUE)
def test_in_a_regular_expression_a_value_means_itself(value: str) -> None:
    query = filled('x{version=~"{version}"}', {"version": value})
    pattern = ast.literal_eval(query.removeprefix("x{version=~").removesuffix("}"))
    assert re.fullmatch(pattern, value)


@given(st.text())
def test_any_text_is_judged_and_filled(query: str) -> None:
    problem_in(query)
    assert filled(query, {}) == query
