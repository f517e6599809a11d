"""Free text with a model: it gets the operations as tools, and no way around the gate or the person."""

from __future__ import annotations

import asyncio
import builtins
import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from pydantic_ai import models
from pydantic_ai.messages import ModelMessage, ModelResponse, TextPart, ToolCallPart, ToolReturnPart
from pydantic_ai.models.function import AgentInfo, FunctionModel
from pydantic_ai.models.test import TestModel

from bluegreen.control.operations import OPERATIONS, Operation
from bluegreen.control.schemas import OWNERS_PARAMETERS
from bluegreen.domain.access import Scope
from bluegreen.domain.errors import BluegreenError, Forbidden, UsageError
from bluegreen.interfaces.agent.session import run_sentence
from bluegreen.interfaces.cli import ask_model as ask_model_module
from bluegreen.interfaces.cli.ask_model import ask_model
from bluegreen.interfaces.cli.client import DaemonClient
from tests.integration.cli_support import bluegreen, deployment, fake_daemon, write_configuration
from tests.integration.test_cli_queries import plan
from tests.simulation.world import World
from tests.support.gate import Tools, agent

models.ALLOW_MODEL_REQUESTS = False

Script = list[tuple[str, dict[str, Any]]]


class Scripted:
    """A model that makes these tool calls one after the other and then says `last`; `seen` is what it was answered."""

    def __init__(self, script: Script, last: str = "done") -> None:
        self.script = script
        self.last = last
        self.seen: list[Any] = []
        self.tools: dict[str, Any] = {}

    def __call__(self, messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        self.tools = {tool.name: tool for tool in info.function_tools}
        self.seen += [part.content for part in messages[-1].parts if isinstance(part, ToolReturnPart)]
        if len(self.seen) < len(self.script):
            name, arguments = self.script[len(self.seen)]
            return ModelResponse(parts=[ToolCallPart(name, arguments)])
        return ModelResponse(parts=[TextPart(self.last)])

    @property
    def model(self) -> FunctionModel:
        return FunctionModel(self)


class Calls:
    """What reached the daemon."""

    def __init__(self, answer: Callable[[str], Any] = lambda name: {"ran": name}) -> None:
        self.made: list[tuple[str, Mapping[str, Any]]] = []
        self._answer = answer

    def __call__(self, name: str, arguments: Mapping[str, Any]) -> Any:
        self.made.append((name, arguments))
        return self._answer(name)


def always(_: Operation, __: Mapping[str, Any]) -> bool:
    return True


def never(_: Operation, __: Mapping[str, Any]) -> bool:
    return False


PLAN_AND_DEPLOY: Script = [
    ("bluegreen_plan", {"service": "shop", "image": "v2"}),
    ("bluegreen_deploy", {"service": "shop", "image": "v2"}),
]


def test_the_model_plans_and_deploys() -> None:
    scripted, calls = Scripted(PLAN_AND_DEPLOY, "v2 is being deployed"), Calls()
    answer = run_sentence(scripted.model, "bring v2 out", calls, confirm=always)
    assert calls.made == [("plan", {"service": "shop", "image": "v2"}), ("deploy", {"service": "shop", "image": "v2"})]
    assert scripted.seen == [{"ran": "plan"}, {"ran": "deploy"}]
    assert answer.text == "v2 is being deployed"
    assert answer.calls == ("plan", "deploy")


def test_it_has_every_operation_as_a_tool_and_none_of_the_owners_parameters() -> None:
    scripted = Scripted([])
    run_sentence(scripted.model, "hello", Calls(), confirm=always)
    assert set(scripted.tools) == {operation.tool for operation in OPERATIONS.values()}
    for tool in scripted.tools.values():
        assert tool.description
        assert not set(OWNERS_PARAMETERS) & set(tool.parameters_json_schema["properties"])


def test_without_a_yes_nothing_that_changes_is_called() -> None:
    scripted, calls = Scripted(PLAN_AND_DEPLOY), Calls()
    answer = run_sentence(scripted.model, "bring v2 out", calls, confirm=never)
    assert [name for name, _ in calls.made] == ["plan"]
    assert "said no" in scripted.seen[1]["declined"]
    assert answer.calls == ("plan",)


def test_after_a_no_it_is_not_asked_again() -> None:
    asked: list[str] = []

    def confirm(operation: Operation, _: Mapping[str, Any]) -> bool:
        asked.append(operation.name)
        return len(asked) > 1

    script: Script = [("bluegreen_rollback", {"service": "shop"}), ("bluegreen_abort", {"service": "shop"})]
    calls = Calls()
    run_sentence(Scripted(script).model, "go back", calls, confirm=confirm)
    assert asked == ["rollback"]
    assert calls.made == []


def test_whatever_a_model_does_nothing_changes_without_a_yes() -> None:
    """TestModel calls every tool there is, with arguments of its own."""
    calls = Calls()
    run_sentence(TestModel(), "do everything", calls, confirm=never)
    assert {name for name, _ in calls.made} <= {o.name for o in OPERATIONS.values() if not o.changes}


@pytest.mark.parametrize(
    "arguments",
    [
        {"service": "shop", "imagee": "v2"},
        {"service": "shop", "requested_by": "the owner"},
        {"service": 7},
        {},
    ],
)
def test_arguments_that_are_wrong_are_the_models_problem(arguments: dict[str, Any]) -> None:
    asked: list[str] = []

    def confirm(operation: Operation, _: Mapping[str, Any]) -> bool:
        asked.append(operation.name)
        return True

    scripted, calls = Scripted([("bluegreen_deploy", arguments)]), Calls()
    run_sentence(scripted.model, "deploy", calls, confirm=confirm)
    assert asked == []
    assert calls.made == []
    assert scripted.seen[0]["error"]["code"] == "usage"


def test_a_refusal_comes_back_to_the_model() -> None:
    def refuse(name: str) -> Any:
        raise Forbidden("scope: deploy takes scope deploy, and agent has read", hint="Ask for a token")

    scripted, calls = Scripted([("bluegreen_deploy", {"service": "shop"})], "I may not do that"), Calls(refuse)
    answer = run_sentence(scripted.model, "deploy", calls, confirm=always)
    assert scripted.seen == [
        {
            "error": {
                "code": "forbidden",
                "message": "scope: deploy takes scope deploy, and agent has read",
                "hint": "Ask for a token",
            }
        }
    ]
    assert answer.calls == ()


@pytest.fixture
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    """The world's loop; the model runs in its own, as in the command line's process."""
    made = asyncio.new_event_loop()
    yield made
    made.close()


@pytest.mark.parametrize("scope", list(Scope))
def test_the_scopes_of_the_gate_hold_for_a_model(scope: Scope, loop: asyncio.AbstractEventLoop) -> None:
    """Against the real gate: every operation that the scope does not include is refused, whatever the person says."""
    world = loop.run_until_complete(_world())
    tools = Tools(world, agent(scope))

    def call(name: str, arguments: Mapping[str, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(tools(name, **arguments), loop).result(20)

    script: Script = [
        ("bluegreen_status", {}),
        ("bluegreen_abort", {"service": "app"}),
        ("bluegreen_rollback", {"service": "app"}),
    ]
    scripted = Scripted(script)
    loop.run_until_complete(asyncio.to_thread(run_sentence, scripted.model, "try", call, confirm=always))
    loop.run_until_complete(world.fleet.close())
    codes = [seen.get("error", {}).get("code", "ok") for seen in scripted.seen]
    needed = [OPERATIONS[name].scope for name in ("status", "abort", "rollback")]
    assert [code == "forbidden" for code in codes] == [not scope.includes(one) for one in needed]


def test_a_model_that_never_ends_is_ended() -> None:
    script: Script = [("bluegreen_services", {})] * 1000
    with pytest.raises(BluegreenError, match="gave up"):
        run_sentence(Scripted(script).model, "loop", Calls(), confirm=always)


def test_a_model_that_is_none_is_a_usage_error() -> None:
    with pytest.raises(UsageError, match="--model"):
        run_sentence("nobody:nothing", "hello", Calls(), confirm=always)


def test_without_the_extra_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *arguments: Any, **named: Any) -> Any:
        if name.startswith("pydantic_ai"):
            raise ImportError(name)
        return real(name, *arguments, **named)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(UsageError, match="extra 'agent'") as caught:
        run_sentence("openai:gpt", "hello", Calls(), confirm=always)
    assert "bluegreen[agent]" in caught.value.hint


# -- through the command line ------------------------------------------------------------------------------------------


@pytest.fixture
def config(tmp_path: Path) -> Path:
    return write_configuration(tmp_path)


def use(monkeypatch: pytest.MonkeyPatch, scripted: Scripted) -> None:
    """`--model` names a provider's model; here the scripted one takes its place."""

    def with_scripted(_: str, *arguments: Any, **named: Any) -> Any:
        return run_sentence(scripted.model, *arguments, **named)

    monkeypatch.setattr(ask_model_module, "run_sentence", with_scripted)


def test_calls_go_to_the_daemon_with_the_persons_name(
    config: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    use(monkeypatch, Scripted(PLAN_AND_DEPLOY, "v2 is on its way\x1b[2J"))
    with fake_daemon(config, plan=plan(), deploy=deployment()) as daemon:
        assert ask_model(DaemonClient(config), "bring v2 out", "any:model", yes=True, as_json=False) == 0
    (request,) = daemon.asked("deploy")
    assert request["image"] == "v2"
    assert request["requested_by"].endswith("(model)")
    said = capsys.readouterr()
    assert said.out == "v2 is on its way\n"
    assert said.err.index("bluegreen_plan") < said.err.index("bluegreen_deploy")


def test_without_a_terminal_and_a_yes_changes_are_declined(
    config: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    use(monkeypatch, Scripted(PLAN_AND_DEPLOY))
    with fake_daemon(config, plan=plan(), deploy=deployment()) as daemon:
        ask_model(DaemonClient(config), "bring v2 out", "any:model", yes=False, as_json=True)
    assert daemon.asked("deploy") == []
    said = capsys.readouterr()
    assert json.loads(said.out) == {"text": "done", "calls": ["plan"]}
    assert "declined" in said.err


def test_the_model_of_the_environment_is_only_for_what_the_grammar_does_not_know(config: Path) -> None:
    with fake_daemon(config, plan=plan()) as daemon:
        known = bluegreen(config, "ask", "plan shop v2", BLUEGREEN_MODEL="nobody:nothing")
        unknown = bluegreen(config, "ask", "make shop great", BLUEGREEN_MODEL="nobody:nothing")
    assert known.returncode == 0, known.stderr
    assert len(daemon.asked("plan")) == 1
    assert unknown.returncode == 2
    assert "asking nobody:nothing" in unknown.stderr
    assert "error: --model: 'nobody:nothing'" in unknown.stderr


def test_consent_beforehand_is_not_for_what_only_a_model_understands(config: Path) -> None:
    with fake_daemon(config, plan=plan()):
        said = bluegreen(config, "ask", "don't deploy shop v2", "--yes", BLUEGREEN_MODEL="nobody:nothing")
    assert "nobody:nothing is asked, and asks before it acts" in said.stderr


async def _world() -> World:
    world = World()
    await world.start()
    return world
