"""What is said about a wrong file: the exact sentence, behind the path of the key, all of them at once."""

from __future__ import annotations

from pathlib import Path

import pytest

from bluegreen.domain.errors import ConfigurationError, UsageError
from bluegreen.spec.loading import load
from bluegreen.spec.problems import MAX_PROBLEMS
from tests.domain.spec_documents import parsed

HEAD = '[services.api]\nhosts = ["*"]\ncommand = ["./api"]\n'
SINK = "[[alerts.sink]]\nkind = "
SMOKE = HEAD + "[[services.api.smoke]]\n"
OTHER = '[services.web]\nhosts = ["*"]\ncommand = ["./web"]\n'
REQUEST = 'request = "GET /"\n'


def problems_of(text: str) -> list[str]:
    with pytest.raises(ConfigurationError) as caught:
        parsed(text)
    return list(caught.value.problems)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        # unknown keys
        ("services = {}\nrotuer = {}", "rotuer: unknown key; did you mean 'router'?"),
        (HEAD + "polcy = {}", "services.api.polcy: unknown key; did you mean 'policy'?"),
        (HEAD + "rise = 3", "services.api.rise: unknown key; did you mean 'health.rise'?"),
        (
            HEAD + "health = { tiemout_seconds = 1 }",
            "services.api.health.tiemout_seconds: unknown key; did you mean 'timeout_seconds'?",
        ),
        (HEAD + "xyzzy = 1", "services.api.xyzzy: unknown key"),
        (HEAD + '"a b" = 1', 'services.api."a b": unknown key'),
        # wrong types
        (HEAD + 'replicas = "3"', 'services.api.replicas: must be a whole number, got "3"'),
        (HEAD + "replicas = true", "services.api.replicas: must be a whole number, got true"),
        (HEAD + "replicas = 2.0", "services.api.replicas: must be a whole number, got 2"),
        (HEAD + 'cpus = "1"', 'services.api.cpus: must be a number, got "1"'),
        (HEAD + "cpus = inf", "services.api.cpus: must be a finite number, got inf"),
        (HEAD + "cpus = 0x" + "f" * 5000, "services.api.cpus: must be a number, got a very large number"),
        (HEAD + 'stateful = "yes"', 'services.api.stateful: must be true or false, got "yes"'),
        (HEAD + "stateful = 1", "services.api.stateful: must be true or false, got 1"),
        (HEAD + "image = 3", "services.api.image: must be text in quotes, got 3"),
        (HEAD + "image = 1979-05-27", "services.api.image: must be text in quotes, got a date"),
        (HEAD + "smoke = {}", "services.api.smoke: must be a list, got {}"),
        (HEAD + "env = []", "services.api.env: must be a table, got a list"),
        (HEAD + "health = 3", "services.api.health: must be a table, got 3"),
        ("services = 3", "services: must be a table, got 3"),
        ("services.api = 3", "services.api: must be a table, got 3"),
        (HEAD + "env = { TOKEN = 1234 }", "services.api.env.TOKEN: must be text in quotes, got a whole number"),
        # missing
        ('[services.api]\nhosts = ["*"]', "services.api.command: is missing"),
        ('[services.api]\ncommand = ["x"]', "services.api.hosts: is missing"),
        ('[services.api]\nhosts = []\ncommand = ["x"]', "services.api.hosts: must not be empty"),
        ('[services.api]\nhosts = ["*"]\ncommand = []', "services.api.command: must start with a program"),
        # ranges
        (HEAD + "health = { rise = 0 }", "services.api.health.rise: must be ≥ 1, got 0"),
        (HEAD + "replicas = 65", "services.api.replicas: must be ≤ 64, got 65"),
        (HEAD + "[capacity]\ncpus = 0", "capacity.cpus: must be > 0, got 0"),
        (
            HEAD + "policy = { monitor_seconds = -1 }",
            "services.api.policy.monitor_seconds: must be ≥ 0, got -1",
        ),
        (
            HEAD + "policy = { retain_seconds = -0.5 }",
            "services.api.policy.retain_seconds: must be ≥ 0, got -0.5",
        ),
        (HEAD + "policy = { max_error_rate = 5 }", "services.api.policy.max_error_rate: must be ≤ 1, got 5"),
        (HEAD + "policy = { poll_seconds = 2 }", "services.api.policy.poll_seconds: must be ≤ 0.5, got 2"),
        (HEAD + 'protocol = "h3"', 'services.api.protocol: must be "http1" or "h2c", got "h3"'),
        # names, hosts, addresses
        (
            '[services.Api]\nhosts = ["*"]\ncommand = ["x"]',
            "services.Api: a service name has only a-z, 0-9 and -, and a - neither first nor last",
        ),
        (
            f'[services.{"a" * 41}]\nhosts = ["*"]\ncommand = ["x"]',
            f"services.{'a' * 41}: a service name has at most 40 characters, this one has 41",
        ),
        (
            '[services.api]\nhosts = ["a.com:80"]\ncommand = ["x"]',
            'services.api.hosts[0]: must be a host without a port, got "a.com:80"',
        ),
        (
            '[services.api]\nhosts = ["api.*.com"]\ncommand = ["x"]',
            'services.api.hosts[0]: must be a host such as "api.example.com", "*.example.com" or "*", got "api.*.com"',
        ),
        (
            '[router]\nlisten = "8080"',
            'router.listen: must be an address and a port from 1 to 65535, such as "127.0.0.1:8080", got "8080"',
        ),
        (
            '[router]\nlisten = "127.0.0.1:70000"',
            "router.listen: must be an address and a port from 1 to 65535, "
            'such as "127.0.0.1:8080", got "127.0.0.1:70000"',
        ),
        ('[alerts]\nwebhook_url = "token"', "alerts.webhook_url: must be an http:// or https:// address"),
        (
            HEAD + 'image = "a b"',
            'services.api.image: must be repository:tag, such as "registry/inference-model:v2.0", got "a b"',
        ),
        (
            HEAD + 'health = { path = "health" }',
            'services.api.health.path: must start with "/" and have no spaces, got "health"',
        ),
        # placeholders and environment
        (
            '[services.api]\nhosts = ["*"]\ncommand = ["x", "{prot}"]',
            "services.api.command[1]: unknown placeholder {prot}; did you mean {port}?",
        ),
        (
            HEAD + 'workdir = "{x}"',
            "services.api.workdir: unknown placeholder {x}; there are {port} {image} {repository} {tag} "
            "{color} {replica}, and {{ }} for literal braces",
        ),
        (
            HEAD + 'env = { A = "}" }',
            "services.api.env.A: has a lone }; write }} for a brace that is meant literally",
        ),
        (HEAD + 'workdir = "a\\u0000"', "services.api.workdir: must not hold a NUL character"),
        (
            HEAD + 'env = { A-B = "1" }',
            "services.api.env.A-B: the name of an environment variable has only letters, digits and _",
        ),
        (
            HEAD + 'env = { PORT = "80" }',
            'services.api.env.PORT: is set by bluegreen for each replica; use "{port}" or leave it out',
        ),
        (
            HEAD + 'gpus = 1\nenv = { CUDA_VISIBLE_DEVICES = "0" }',
            "services.api.env.CUDA_VISIBLE_DEVICES: is set by bluegreen when gpus is not 0; leave it out",
        ),
        (
            HEAD + 'labels = { deployment = "x" }',
            "services.api.labels.deployment: is set by bluegreen for each deployment; leave it out",
        ),
        (
            HEAD + 'canary = { set_cookie = true, sticky = "header:X-User" }',
            'services.api.canary.set_cookie: needs the name of the cookie: sticky = "cookie:NAME"',
        ),
        # smoke tests
        (SMOKE + "max_seconds = 1", "services.api.smoke[0]: needs a request or a command"),
        (
            SMOKE + REQUEST + 'command = ["x"]',
            "services.api.smoke[0]: has both request and command; choose one",
        ),
        (
            SMOKE + 'command = ["x"]\nexpect_status = 200',
            "services.api.smoke[0].expect_status: only goes with request, not with command",
        ),
        (
            SMOKE + 'request = "GET /"\njson = 1\nbody = "x"',
            "services.api.smoke[0]: has both json and body; choose one",
        ),
        (
            SMOKE + 'request = "predict"',
            'services.api.smoke[0].request: must be a method and a path, such as "POST /predict", got "predict"',
        ),
        (
            SMOKE + REQUEST + "json = 1979-05-27",
            "services.api.smoke[0].json: must be something JSON has: no dates, times, inf or nan",
        ),
        (
            SMOKE + REQUEST + 'expect_json = { "a[" = 1 }',
            'services.api.smoke[0].expect_json."a[": is not a JMESPath expression',
        ),
        (
            SMOKE + 'request = "HEAD /"\nexpect_json = { a = 1 }',
            "services.api.smoke[0].expect_json: the answer to HEAD has no body to look at",
        ),
        (
            SMOKE + REQUEST + 'headers = { Content-Length = "1" }',
            "services.api.smoke[0].headers.Content-Length: is set by bluegreen itself",
        ),
        (
            SMOKE + REQUEST + 'headers = { X = "a\\nb" }',
            "services.api.smoke[0].headers.X: must be one line of ASCII text",
        ),
        (
            SMOKE + REQUEST + "[[services.api.smoke]]\n" + REQUEST + 'name = "smoke-1"',
            'services.api.smoke[1].name: "smoke-1" is already the name of smoke[0]',
        ),
        # contradictions
        (HEAD + OTHER, "services.web.hosts[0]: \"*\" already belongs to service 'api'"),
        (
            '[services.api]\nhosts = ["a.com", "A.com"]\ncommand = ["x"]',
            'services.api.hosts[1]: "A.com" stands here twice',
        ),
        (
            HEAD + "health = { timeout_seconds = 90 }",
            "services.api.health.timeout_seconds: must be ≤ deadline_seconds (60), got 90",
        ),
        (
            HEAD + "health = { deadline_seconds = 1.5 }",
            "services.api.health.deadline_seconds: must be ≥ timeout_seconds (2), got 1.5",
        ),
        (
            HEAD + "health = { rise = 10, interval_seconds = 5, deadline_seconds = 30 }",
            "services.api.health.deadline_seconds: is too short: rise = 10 checks that are 5 s apart take 45 s, got 30",
        ),
        (
            '[alerts]\nwebhook_url = "https://a/b"\nwebhook_url_env = "A"',
            "alerts: has both webhook_url and webhook_url_env; choose one",
        ),
        (
            SINK + '"pigeon"',
            'alerts.sink[0].kind: must be "webhook", "alertmanager", "apprise" or "file", got "pigeon"',
        ),
        (SINK + '"webhook"', "alerts.sink[0]: needs a url or a url_env"),
        (
            SINK + '"apprise"\nurl = "slack://hunter2"\nurl_env = "A"',
            "alerts.sink[0]: has both url and url_env; choose one",
        ),
        (
            SINK + '"webhook"\nurl = "slack://hunter2"',
            "alerts.sink[0].url: must be an http:// or https:// address",
        ),
        (
            SINK + '"apprise"\nurl = "hunter2"',
            "alerts.sink[0].url: must be an address with a scheme, such as https:// or mailto://",
        ),
        (SINK + '"file"', "alerts.sink[0].path: is missing: a sink of the kind file needs one"),
        (SINK + '"file"\npath = "a"\nurl_env = "A"', 'alerts.sink[0].url_env: does not go with kind = "file"'),
        (
            SINK + '"alertmanager"\nurl_env = "A"\nsecret_env = "B"',
            'alerts.sink[0].secret_env: does not go with kind = "alertmanager"',
        ),
        (
            SINK + '"file"\npath = "a"\n[[alerts.sink]]\nkind = "file"\npath = "b"',
            'alerts.sink[1].name: "file" is already the name of sink[0]',
        ),
        (
            SINK + '"file"\npath = "b"\nname = "log"',
            'alerts.sink[0].name: "log" is already the name of the daemon\'s log',
        ),
        (
            '[alerts]\nwebhook_url = "https://a/b"\n' + SINK + '"webhook"\nurl_env = "A"',
            'alerts.sink[0].name: "webhook" is already the name of alerts.webhook_url',
        ),
        (
            HEAD + "gpu_memory_mb = 8000",
            "services.api.gpu_memory_mb: only goes with gpus: this service has none",
        ),
        (
            HEAD + "replicas = 2\ngpus = 4\n[capacity]\ngpus = 4",
            "services.api.gpus: 2 × 4 is more than capacity.gpus (4); it can never start",
        ),
        # not TOML
        ("a = 1\nb = yes", "line 2, column 5: not TOML: invalid value"),
        ('[router]\nlisten = "127', "line 2, column 14: not TOML: unterminated string"),
        ("a = 1\na = 2", "line 2, column 6: not TOML: cannot overwrite a value"),
        ("a = " + "[" * 100_000, "is nested too deeply"),
        ("a = " + "1" * 10_000, "has a number with too many digits"),
    ],
)
def test_the_exact_sentence(text: str, problem: str) -> None:
    assert problems_of(text) == [problem]


def test_all_problems_at_once_sorted_by_path() -> None:
    text = (
        SMOKE
        + 'replicas = 1\nmax_seconds = "x"\n'
        + "[services.api.health]\nrise = 0\ntimeout_seconds = 90\n"
        + OTHER
        + "polcy = {}\n"
    )
    assert problems_of(text) == [
        "services.api.health.rise: must be ≥ 1, got 0",
        "services.api.health.timeout_seconds: must be ≤ deadline_seconds (60), got 90",
        "services.api.smoke[0]: needs a request or a command",
        'services.api.smoke[0].max_seconds: must be a number, got "x"',
        "services.api.smoke[0].replicas: unknown key",
        "services.web.hosts[0]: \"*\" already belongs to service 'api'",
        "services.web.polcy: unknown key; did you mean 'policy'?",
    ]


def test_the_message_names_the_file_and_says_what_to_do() -> None:
    with pytest.raises(ConfigurationError) as caught:
        parsed(HEAD + "polcy = 1\nreplicas = 0")
    assert str(caught.value) == (
        "bluegreen.toml has 2 problems:\n"
        "  services.api.polcy: unknown key; did you mean 'policy'?\n"
        "  services.api.replicas: must be ≥ 1, got 0\n"
        "Check again with: bluegreen validate"
    )


def test_a_thousand_problems_stay_readable() -> None:
    problems = problems_of("".join(f"key{number} = 1\n" for number in range(1000)))
    assert len(problems) == MAX_PROBLEMS + 1
    assert problems[-1] == "… and 900 more"


def test_long_texts_and_keys_are_shortened() -> None:
    problems = problems_of(HEAD + f'image = "{"x " * 500}"\n{"k" * 500} = 1')
    assert all(len(problem) < 250 for problem in problems)


def test_secrets_are_not_repeated() -> None:
    text = (
        '[alerts]\nwebhook_url = "hooks.example.com/hunter2"\n'
        + SMOKE
        + REQUEST
        + 'headers = { Authorization = ["hunter2"] }\nbody = ["hunter2"]\n'
        + '[services.api.env]\nTOKEN = ["hunter2"]\nOTHER = "hunter2{"'
        + '\n[[alerts.sink]]\nkind = "apprise"\nurl = "hunter2"\n'
        + '[[alerts.sink]]\nkind = "alertmanager"\nurl = ["hunter2"]'
    )
    problems = problems_of(text)
    assert len(problems) == 7
    assert "hunter2" not in "".join(problems)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as caught:
        load(tmp_path / "bluegreen.toml")
    assert caught.value.message == f"there is no configuration file {tmp_path / 'bluegreen.toml'}"
    _, _, example = caught.value.hint.partition("\n\n")
    assert parsed("\n".join(line.strip() for line in example.splitlines())).services["hello"]


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="can't be read: Is a directory"):
        load(tmp_path)
    path = tmp_path / "bluegreen.toml"
    path.write_bytes(b"# fine\nname = '\xff'\n")
    with pytest.raises(ConfigurationError) as caught:
        load(path)
    assert caught.value.problems == ("line 2: is not UTF-8 text",)
