"""Sentences as operations: every phrasing of docs/ask.md, and what must never be understood."""

from __future__ import annotations

import re
import shlex
import string
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bluegreen.domain.grammar import MAX_LENGTH, NotUnderstood, Understood, examples, understand
from bluegreen.domain.grammar_phrases import CHANGING, CONDITIONS, NEGATIONS, RESERVED

SERVICES = ("inference-model", "api")
PAGE = (Path(__file__).parents[2] / "docs" / "ask.md").read_text()
UNDERSTOOD_PART, _, REFUSED_PART = PAGE.partition("## What it refuses")
UNDERSTOOD = re.findall(r"^\| ([^|]+?) \| `bluegreen ([^`]+)` \|$", UNDERSTOOD_PART, re.MULTILINE)
REFUSED = re.findall(r"^\| (?!sentence)([^|]+?) \| [^|]+? \|$", REFUSED_PART, re.MULTILINE)
CHANGES = [sentence for sentence, command in UNDERSTOOD if command.split()[0] in CHANGING]
PLAIN_CHANGES = [sentence for sentence in CHANGES if not re.search("because|due to", sentence)]


def command_of(sentence: str, services: tuple[str, ...] = SERVICES) -> str:
    found = understand(sentence, services)
    assert isinstance(found, Understood), f"{sentence!r}: {found.problem}"
    return shlex.join(found.words)


def problem_of(sentence: str, services: tuple[str, ...] = SERVICES) -> str:
    found = understand(sentence, services)
    assert isinstance(found, NotUnderstood), f"{sentence!r} is {found}"
    return found.problem


def changes(sentence: str, services: tuple[str, ...] = SERVICES) -> bool:
    found = understand(sentence, services)
    return isinstance(found, Understood) and found.changes


@pytest.mark.parametrize(("sentence", "command"), UNDERSTOOD)
def test_every_phrasing_of_the_page_is_the_command_beside_it(sentence: str, command: str) -> None:
    assert command_of(sentence) == command


def test_the_page_has_enough_of_them() -> None:
    assert len(UNDERSTOOD) >= 60
    assert {command.split()[0] for _, command in UNDERSTOOD} == {
        *CHANGING,
        "plan",
        "status",
        "history",
        "logs",
        "report",
    }


@pytest.mark.parametrize("sentence", REFUSED)
def test_every_refusal_of_the_page_is_one_and_says_why(sentence: str) -> None:
    found = understand(sentence, SERVICES)
    assert isinstance(found, NotUnderstood)
    assert found.problem
    assert len(found.examples) == 3


@pytest.mark.parametrize(
    ("sentence", "command"),
    [
        ("promote green", "promote api"),
        ("let the new version have the traffic", "promote api"),
        ("abort", "abort api"),
        ("cancel the deployment", "abort api"),
        ("approve it", "approve api"),
        ("roll it back", "rollback api"),
        ("undo", "rollback api"),
        ("go back", "rollback api"),
        ("deploy v2.0", "deploy api --image v2.0"),
        ("deploy it", "deploy api"),
        ("what happened yesterday", "history api"),
        ("show the logs", "logs api"),
        ("DEPLOY API V2.0-RC1", "deploy api --image V2.0-RC1"),
        ("deploy api's version v2", "deploy api --image v2"),
        ("deploy the “api” service (v2)!", "deploy api --image v2"),
        ("plan v2", "plan api --image v2"),
        ("is everything ok?", "status"),
        ("status of all services", "status"),
        ("I'd like to promote api", "promote api"),
        ("hey, can you please deploy api v2 for me right away? thank you", "deploy api --image v2"),
        ("pls roll back api right now, thx!", "rollback api"),
        ("could you pls redeploy api v2?", "deploy api --image v2"),
        ("roll back api because it doesn't start", "rollback api --reason 'it doesn'\"'\"'t start'"),
        ("roll back api because of --force", "rollback api --reason force"),
        ("deploy localhost:5000/team/api:v2 to api", "deploy api --image localhost:5000/team/api:v2"),
        ("watch api", ""),
    ],
)
def test_with_one_service_its_name_may_be_left_out(sentence: str, command: str) -> None:
    if command:
        assert command_of(sentence, ("api",)) == command
    else:
        assert problem_of(sentence, ("api",))


def test_arguments_are_those_of_the_operation() -> None:
    found = understand("deploy api v2 with 3 replicas and watch it for 10 minutes because it is late", SERVICES)
    assert isinstance(found, Understood)
    assert found.operation == "deploy"
    assert found.arguments == {
        "service": "api",
        "image": "v2",
        "overrides": {"policy.monitor_seconds": "600", "replicas": "3"},
        "note": "it is late",
    }


def test_the_side_that_was_named_is_told() -> None:
    for sentence, side in (("promote green of api", "green"), ("switch api back to blue", "blue"), ("undo api", "")):
        found = understand(sentence, SERVICES)
        assert isinstance(found, Understood)
        assert found.side == side


@pytest.mark.parametrize("side", ["blue", "green"])
@pytest.mark.parametrize("sentence", ["let {} of api have the traffic", "give {} all the traffic of api"])
def test_a_side_within_the_verb_is_told_too(sentence: str, side: str) -> None:
    found = understand(sentence.format(side), SERVICES)
    assert isinstance(found, Understood)
    assert (found.operation, found.side) == ("promote", side)


def test_words_that_change_nothing_are_told_when_it_only_looks() -> None:
    found = understand("what happened to api yesterday", SERVICES)
    assert isinstance(found, Understood)
    assert found.unused == ("yesterday",)


def test_a_word_of_an_unknown_service_is_not_ignored() -> None:
    assert "did you mean 'api'" in problem_of("how is apis doing", SERVICES)
    assert "'web'" in problem_of("history of web", ("api",))


@pytest.mark.parametrize(
    ("sentence", "says"),
    [
        ("", "must not be empty"),
        ("   ", "must not be empty"),
        ("deploy api v2" + "!" * MAX_LENGTH, "at most"),
        ("deploy api v2 using canary and blue-green", "both"),
        ("deploy api v2 with 2 replicas and 3 replicas", "both"),
        ("promote blue and green of api", ""),
        ("deploy the inference-model and the api to v2", "2 services"),
        ("last 2.5 deployments of api", "whole number"),
        ("undo", "which service: inference-model, api"),
        ("deploy api v2 at 12:30", ""),
        ("deploy api https://example.com/v2", ""),
        ("deploy api ../../etc:passwd", ""),
        ("deploy api <v> <s>", ""),
        ("deploy api bob@example.com", ""),
        ("roll back api because", "nothing follows"),
        ("roll back api because of errors, only if they go on", ""),
        ("bob will deploy api v2", ""),
        ("we rolled back api", ""),
        ("did you deploy api v2?", ""),
        ("would you say that api should be promoted?", ""),
        ("stop waiting and promote api", ""),
        ("approve and release api", "more than one thing"),
        ("cancel api & deploy v2", "more than one thing"),
        ("roll back api. Then deploy v3.", "more than one thing"),
        ("Déployer api v2", ""),
        ("thanks for the rollback of api", "thanks"),
        ("thank you very much for the deploy of api v2", "thanks"),
        ("roll back api because of errors?", "question"),
        ("deploy api v2 because errors went up (ok?)", "question"),
        ("redeploy api", "which version"),
        ("deploy api again", "which version"),
        ("update on api", "which version"),
        ("upgrade api", "which version"),
        ("Bitte api auf v2 aktualisieren", ""),
    ],
)
def test_other_things_that_are_not_understood(sentence: str, says: str) -> None:
    assert says in problem_of(sentence)


def test_api_v2_is_a_version_of_api_also_where_there_is_a_service_of_that_name() -> None:
    assert command_of("deploy api v2", ("api", "api-v2")) == "deploy api --image v2"
    assert command_of("deploy api-v2 v3", ("api", "api-v2")) == "deploy api-v2 --image v3"
    assert problem_of("roll back api gateway", ("api", "api-gateway"))


def test_a_service_named_like_a_word_of_the_grammar_must_be_marked() -> None:
    names = ("history", "api")
    assert command_of("history of api", names) == "history api"
    assert command_of("roll back service history", names) == "rollback history"
    assert command_of('show the history of "history"', names) == "history history"
    assert "service users" in problem_of("deploy users v2", ("users", "api"))


def test_without_services_it_says_so() -> None:
    assert "no service" in problem_of("roll back", ())
    assert command_of("status", ()) == "status"


# -- whatever the text -------------------------------------------------------------------------------------------------

WORDS = st.sampled_from(
    [
        *sorted(RESERVED),
        "api",
        "inference",
        "model",
        "inference-model",
        "v2",
        "3",
        "10",
        "minutes",
        "registry/api:v2",
        ",",
    ]
)


@given(st.one_of(st.text(), st.lists(WORDS, max_size=12).map(" ".join)), st.lists(st.text(max_size=10), max_size=3))
@example("deploy <s> <v> ~ <x>", [])
@example("deploy api " + "9" * 400 + " replicas", ["api"])
@example("watch it for " + "9" * 400 + " days", ["api"])
def test_it_never_raises(sentence: str, services: list[str]) -> None:
    for names in (services, list(SERVICES), ["api"]):
        found = understand(sentence, names)
        if isinstance(found, Understood):
            service = found.arguments.get("service", "")
            assert service in names or (found.operation == "status" and not service)
            assert found.words[0] == found.operation
        else:
            assert found.problem


@given(st.data(), st.sampled_from(PLAIN_CHANGES), st.sampled_from([*sorted(NEGATIONS), "don't", "do not", "mustn't"]))
def test_a_negation_anywhere_changes_nothing(data: st.DataObject, sentence: str, negation: str) -> None:
    assert not changes(_with(data, sentence, negation))


@given(st.data(), st.sampled_from(PLAIN_CHANGES), st.sampled_from(sorted(CONDITIONS)))
def test_a_condition_anywhere_changes_nothing(data: st.DataObject, sentence: str, condition: str) -> None:
    written = _with(data, sentence, condition)
    assert not changes(written) or re.search(r"\b(until|before|then|as)\b", written)  # Parts of phrases, too.


@given(st.data(), st.sampled_from(PLAIN_CHANGES), st.text(string.ascii_lowercase, min_size=3, max_size=8))
def test_one_strange_word_is_enough(data: st.DataObject, sentence: str, word: str) -> None:
    written = _with(data, sentence, word)
    if word in RESERVED or re.search(rf"(version|tag|image|build) {word}\b", written):
        return
    assert not changes(written)


@given(
    st.sampled_from(CHANGES),
    st.sampled_from([" and ", ", ", "; ", " then ", " and then ", ". ", ", but ", " & ", " or "]),
    st.sampled_from(["roll back", "deploy v3", "promote", "abort", "approve", "release v3", "do not stop", "undo it"]),
)
def test_two_commands_are_neither_done(sentence: str, joint: str, second: str) -> None:
    assert not changes(sentence.rstrip("?!. ") + joint + second)


@given(st.sampled_from(CHANGES), st.sampled_from(["?", "?!", " ?", "?)"]))
def test_what_may_be_a_question_changes_nothing(sentence: str, mark: str) -> None:
    asked = re.sub(r",? ?\b(please|kindly)\b,?", "", sentence).rstrip("?!. ")
    assert not changes(asked + mark)


@given(st.sampled_from(CHANGES), st.sampled_from(["can you", "could you", "would you", "will you"]))
def test_whoever_asks_us_to_must_say_please(sentence: str, asking: str) -> None:
    if not re.match("i |we |could|please", sentence.lower()):
        assert not changes(f"{asking} {sentence}")
        assert changes(f"{asking} please {sentence}")


@given(st.data(), st.sampled_from(CHANGES), st.sampled_from("\x00\x07\x1b\x7f\x9b\u202e\u200b\u2028\n\t"))
def test_control_characters_are_refused(data: st.DataObject, sentence: str, character: str) -> None:
    position = data.draw(st.integers(1, len(sentence) - 1))
    problem = problem_of(sentence[:position] + character + sentence[position:])
    assert "control character" in problem
    assert character not in problem


@given(st.from_regex(r"[a-z0-9]([a-z0-9-]{0,20}[a-z0-9])?", fullmatch=True))
@example("status")
@example("v2")
@example("roll-back")
@example("because")
def test_the_examples_are_understood_for_every_service(name: str) -> None:
    for sentence in examples([name, "other"]):
        found = understand(sentence, [name, "other"])
        assert isinstance(found, Understood), f"{sentence!r}: {found.problem}"
        assert found.arguments["service"] == name


def _with(data: st.DataObject, sentence: str, word: str) -> str:
    words = sentence.split()
    words.insert(data.draw(st.integers(0, len(words))), word)
    return " ".join(words)
