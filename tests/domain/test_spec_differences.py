"""What `bluegreen reload` says about a changed file."""

from __future__ import annotations

from bluegreen.spec.differences import Differences, differences
from tests.domain.spec_documents import FULL, SMALL, parsed


def test_the_same_file_has_no_differences() -> None:
    result = differences(parsed(FULL), parsed(FULL))
    assert result == Differences()
    assert result.none


def test_services_come_go_and_change() -> None:
    changed = FULL.replace("rise = 3", "rise = 4").replace("v1.9", "v2.0").replace("replicas = 2", "replicas = 3")
    result = differences(parsed(FULL + SMALL.replace("*", "api.com")), parsed(changed + NEW))
    assert result.services_added == ("new",)
    assert result.services_removed == ("api",)
    assert result.services_changed == ("inference-model",)
    assert result.services_touching_traffic == ("api",)
    assert result.needs_restart == ()
    assert set(result.applied) == {
        "services.new: added",
        "services.api: removed",
        "services.inference-model.health.rise: 3 → 4",
        'services.inference-model.image: "registry/inference-model:v1.9" → "registry/inference-model:v2.0"'
        " (from the next deployment on)",
        "services.inference-model.replicas: 2 → 3 (from the next deployment on)",
    }


NEW = '[services.new]\nhosts = ["new.com"]\ncommand = ["x"]\n'


def test_what_needs_a_restart() -> None:
    changed = (
        FULL.replace("0.0.0.0:80", "0.0.0.0:81")
        .replace('"state"', '"elsewhere"')
        .replace("bin/haproxy", "haproxy")
        .replace("gpus = 8", "gpus = 4")
    )
    result = differences(parsed(FULL), parsed(changed))
    assert result.applied == ()
    assert set(result.needs_restart) == {
        "daemon.state_dir: changed",
        'router.listen: "0.0.0.0:80" → "0.0.0.0:81"',
        "router.haproxy: changed",
        "capacity.gpus: 8 → 4",
    }


def test_a_service_that_speaks_another_protocol_touches_traffic() -> None:
    result = differences(parsed(FULL), parsed(FULL.replace('"h2c"', '"http1"')))
    assert result.services_touching_traffic == ("inference-model",)


def test_secrets_are_not_shown() -> None:
    old = parsed(SMALL + 'env = { TOKEN = "old-secret", GONE = "old-secret" }')
    new = parsed(SMALL + 'env = { TOKEN = "new-secret" }\n[alerts]\nwebhook_url = "https://a/new-secret"')
    result = differences(old, new)
    assert "secret" not in "".join(result.applied)
    assert set(result.applied) == {
        "alerts.webhook_url: added",
        "services.api.env.TOKEN: changed (from the next deployment on)",
        "services.api.env.GONE: removed (from the next deployment on)",
    }


def test_sinks_are_told_apart_by_their_names() -> None:
    sink = '\n[[alerts.sink]]\nkind = "webhook"\nname = "{}"\nurl = "https://a/{}"\nmin_severity = "{}"'
    old = parsed(SMALL + sink.format("pager", "old-secret", "info") + sink.format("gone", "old-secret", "info"))
    new = parsed(SMALL + sink.format("chat", "new-secret", "info") + sink.format("pager", "new-secret", "critical"))
    result = differences(old, new)
    assert "secret" not in "".join(result.applied).replace("secret_env", "")
    assert set(result.applied) == {
        "alerts.sink.pager.url: changed",
        'alerts.sink.pager.min_severity: "info" → "critical"',
        "alerts.sink.gone: removed",
        "alerts.sink.chat: added",
    }
    assert result.needs_restart == ()


def test_the_first_sink_is_a_difference_too() -> None:
    new = parsed(SMALL + '\n[[alerts.sink]]\nkind = "file"\npath = "a"')
    assert set(differences(parsed(SMALL), new).applied) == {"alerts.sink: added"}
