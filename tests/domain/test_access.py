"""Who may do what: every operation under every scope, and what a scope may change about a deployment."""

from __future__ import annotations

import pytest

from bluegreen.control.operations import OPERATIONS
from bluegreen.domain.access import OWNER, Caller, Scope, override_problem

READ = {"plan", "status", "history", "deployment", "wait", "events", "report", "logs", "services", "workload_get",
        "workload_list",
        "workload_logs", "metrics_query", "alert_list"}  # fmt: skip
DEPLOY = READ | {
    "deploy",
    "abort",
    "workload_submit",
    "workload_stop",
    "workload_scale",
    "alert_create",
    "alert_silence",
}
SWITCH = DEPLOY | {"approve", "promote", "rollback"}
TABLE = {Scope.READ: READ, Scope.DEPLOY: DEPLOY, Scope.SWITCH: SWITCH, Scope.ADMIN: SWITCH}


def test_the_table_is_of_all_operations() -> None:
    assert TABLE[Scope.ADMIN] == set(OPERATIONS)


@pytest.mark.parametrize("scope", list(Scope))
def test_a_scope_includes_just_these_operations(scope: Scope) -> None:
    assert {name for name, operation in OPERATIONS.items() if scope.includes(operation.scope)} == TABLE[scope]


@pytest.mark.parametrize(
    ("key", "needed"),
    [
        ("replicas", Scope.DEPLOY),
        ("gpus", Scope.DEPLOY),
        ("labels.team", Scope.DEPLOY),
        ("policy.auto_promote", Scope.SWITCH),
        ("policy.max_error_rate", Scope.SWITCH),
        ("health.path", Scope.ADMIN),
        ("hosts", Scope.ADMIN),
        ("stateful", Scope.ADMIN),
    ],
)
def test_what_may_be_changed_for_one_deployment(key: str, needed: Scope) -> None:
    for scope in (Scope.DEPLOY, Scope.SWITCH, Scope.ADMIN):
        assert (override_problem(key, Caller("a", "mcp", scope)) == "") is scope.includes(needed)


@pytest.mark.parametrize("key", ["command", "env.LD_PRELOAD", "env", "workdir"])
def test_what_runs_takes_a_right_of_its_own(key: str) -> None:
    assert override_problem(key, Caller("a", "mcp", Scope.ADMIN)) != ""
    assert override_problem(key, Caller("a", "mcp", Scope.DEPLOY, may_run_commands=True)) == ""
    assert override_problem(key, OWNER) == ""
