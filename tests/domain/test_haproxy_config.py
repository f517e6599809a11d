"""The configuration and the routes of HAProxy, as values."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bluegreen.domain.errors import BluegreenError, ConfigurationError, StaleRoute, UsageError
from bluegreen.domain.model import Color, Endpoint, Route, RouteTarget
from bluegreen.domain.service import Canary, HealthCheck, ServiceSpec
from bluegreen.routers.haproxy import admin, config
from bluegreen.routers.haproxy.config import ProxySettings, Rendered, render
from bluegreen.routers.haproxy.generations import next_entries
from bluegreen.routers.haproxy.routes import (
    Detour,
    RouteEntry,
    decode,
    encode,
    merged,
    parse_table,
    require_valid_targets,
)
from bluegreen.routers.haproxy.slots import assign, slot_count

SETTINGS = ProxySettings("/run/router")
BLUE, GREEN = Color.BLUE, Color.GREEN
ENDPOINTS = [Endpoint("127.0.0.1", 40000 + number) for number in range(6)]
WORKLOAD_IDS = st.from_regex(r"\A[A-Za-z0-9][A-Za-z0-9._-]{0,20}\Z")


def spec(name: str = "app", *hosts: str, replicas: int = 1, path: str = "/health") -> ServiceSpec:
    return ServiceSpec(
        name, hosts or (f"{name}.example",), ("serve",), replicas=replicas, health=HealthCheck(path=path)
    )


def rendered(*specs: ServiceSpec) -> Rendered:
    return render(specs, {}, SETTINGS)


# --- the configuration -------------------------------------------------------------------------------------------


def test_the_endpoints_in_the_text_can_be_read_back_and_do_not_count_as_a_change() -> None:
    before = rendered(spec("app"), spec("app2"))
    text = config.with_slots(before.config, "app", GREEN, (ENDPOINTS[0], None))
    assert config.slots_of(text, "app", GREEN) == (ENDPOINTS[0], None)
    assert config.all_slots(text) == {
        ("app", BLUE): (None, None),
        ("app", GREEN): (ENDPOINTS[0], None),
        ("app2", BLUE): (None, None),
        ("app2", GREEN): (None, None),
    }
    assert Rendered(text, before.hosts, before.suffixes).fingerprint == before.fingerprint
    again = render([spec("app"), spec("app2")], config.all_slots(text), SETTINGS)
    assert again.config == text


def test_a_cookie_is_set_only_for_who_asks_and_goes_over_https_alone_where_that_is_spoken() -> None:
    asks = replace(spec("app"), canary=Canary(sticky="cookie:bg-user", set_cookie=True))
    assert "Set-Cookie" not in rendered(replace(asks, canary=Canary(sticky="cookie:bg-user"))).config
    plain = render([asks, spec("app2")], {}, SETTINGS).config
    secret = render([asks, spec("app2")], {}, replace(SETTINGS, certificate="/etc/site.pem")).config
    assert "Secure" not in plain
    (line,) = [line for line in secret.splitlines() if "Set-Cookie" in line]
    assert 'add-header Set-Cookie "bg-user=%[var(txn.newcomer)]; Path=/; HttpOnly; SameSite=Lax; Secure"' in line
    assert "-m str app }" in line


def test_the_last_backend_of_the_text_can_be_changed_too() -> None:
    text = rendered(spec("app")).config
    changed = config.with_slots(text, "app", GREEN, (None, ENDPOINTS[1]))
    assert config.with_slots(changed, "app", GREEN, (None, None)) == text


def test_what_needs_a_reload_changes_the_fingerprint() -> None:
    base = rendered(spec("app"))
    others = [
        rendered(spec("app"), spec("other")),
        rendered(spec("app", "other.example")),
        rendered(spec("app", "*.app.example")),
        rendered(spec("app", path="/ready")),
        rendered(spec("app", replicas=4)),
        render([spec("app")], {}, ProxySettings("/run/router", threads=2)),
    ]
    prints = {base.fingerprint, *(other.fingerprint for other in others)}
    assert len(prints) == 1 + len(others)
    assert f"description {base.fingerprint}\n" in base.config


def test_a_service_never_loses_server_lines() -> None:
    many = render([spec("app", replicas=7)], {}, SETTINGS)
    fewer = render([spec("app", replicas=1)], config.all_slots(many.config), SETTINGS)
    assert fewer.config == many.config


@pytest.mark.parametrize(
    "host",
    [
        "a b",
        "a\nuse_backend x",
        "a#b",
        "a.example:80",
        "",
        "a'b",
        "*.*",
        "**",
        "é.example",
        ".example",
        "a\\b",
        "-a",
    ],
)
def test_no_host_can_write_a_line_of_its_own(host: str) -> None:
    with pytest.raises(ConfigurationError):
        rendered(spec("app", host))


@given(st.text(max_size=12))
def test_whatever_host_or_path_is_accepted_stays_on_its_line(text: str) -> None:
    try:
        made = rendered(spec("app", text, path=f"/{text}"))
    except ConfigurationError:
        return
    plain = rendered(spec("app", "*") if text == "*" else spec("app"))
    assert made.config.count("\n") == plain.config.count("\n") + (
        made.config.count("set-var(txn.service)") - plain.config.count("set-var(txn.service)")
    )
    for line in (made.hosts + made.suffixes).splitlines():
        assert line.split(" ") == [line.split(" ")[0], "app"]


def test_all_problems_are_told_at_once() -> None:
    with pytest.raises(ConfigurationError) as caught:
        rendered(spec("app", "same.example"), spec("Bad Name"), spec("other", "SAME.example"), spec("third", path="x"))
    assert len(caught.value.problems) == 4


def test_quoting_keeps_everything_but_control_characters() -> None:
    assert config.quoted('it\'s "$HOME" \\ #') == "'it'\"'\"'s \"$HOME\" \\ #'"
    with pytest.raises(UsageError):
        config.quoted("a\nb")


def test_the_longest_suffix_comes_first() -> None:
    made = rendered(spec("app", "*.example"), spec("other", "*.deep.example"))
    assert made.suffixes.splitlines() == [".deep.example other", ".example app"]


def test_only_addresses_can_be_endpoints() -> None:
    assert config.address(Endpoint("::1", 80)) == "::1:80"
    for bad in (Endpoint("host.example", 80), Endpoint("127.0.0.1", 0), Endpoint("1.2.3.4;quit", 80)):
        with pytest.raises(UsageError):
            config.address(bad)


# --- server lines ------------------------------------------------------------------------------------------------


@given(st.lists(st.sets(st.sampled_from(ENDPOINTS), max_size=4), max_size=6))
def test_endpoints_keep_their_line_for_as_long_as_they_stay(steps: list[set[Endpoint]]) -> None:
    slots: tuple[Endpoint | None, ...] = (None,) * 4
    for wanted in steps:
        after = assign(slots, sorted(wanted, key=str))
        assert after is not None
        assert {endpoint for endpoint in after if endpoint} == wanted
        for before, now in zip(slots, after, strict=True):
            if before in wanted:
                assert now == before
        slots = after


def test_there_is_always_a_spare_line() -> None:
    assert [slot_count(endpoints) for endpoints in (0, 1, 2, 3, 4, 8)] == [2, 2, 4, 4, 8, 16]
    assert assign((None, None), ENDPOINTS[:3]) is None


# --- routes ------------------------------------------------------------------------------------------------------


def entries() -> st.SearchStrategy[RouteEntry]:
    def build(generation: int, first: str, second: str, share: int, color: Color) -> RouteEntry:
        targets: tuple[RouteTarget, ...] = (RouteTarget(color, first),)
        if 0 < share < 100:
            targets = (RouteTarget(color, first, share), RouteTarget(color.other, second, 100 - share))
        if share == 0:
            targets = ()
        return RouteEntry(Route("app", generation, targets), first, second if share else "")

    shares = st.integers(0, 100)
    return st.builds(build, st.integers(0, 10**9), WORKLOAD_IDS, WORKLOAD_IDS, shares, st.sampled_from(Color))


@given(entries())
def test_a_route_can_be_read_back(entry: RouteEntry) -> None:
    assert decode("app", encode(entry)) == entry
    assert not set(encode(entry)) & set(" ;\n\"'\\")


def test_a_detour_names_a_replica() -> None:
    targets = (RouteTarget(BLUE, "w1", 70), RouteTarget(GREEN, "w2", 30))
    entry = RouteEntry(Route("app", 4, targets), "w1", "w2")
    assert encode(entry) == "app.blue/w1/4/w1/w2|70|app.green/w2/4/w1/w2"
    detour = {GREEN: Detour(Endpoint("127.0.0.1", 81), "h2c")}
    assert encode(entry, detour) == "app.blue/w1/4/w1/w2|70|detour-h2c/w2/4/w1/w2/127.0.0.1/81"


def test_lines_that_were_cut_off_are_unknown_and_not_wrong() -> None:
    table = parse_table(["app app.blue/w1/3/w1/-", "other other.gre", "x", "", "third none/-/x/-/-"])
    assert {name: entry.route.generation for name, entry in table.items()} == {"app": 3}


def test_the_newest_of_two_tables_wins_service_by_service() -> None:
    old, new = (RouteEntry(Route("app", generation)) for generation in (1, 2))
    other = RouteEntry(Route("other", 5))
    assert merged({"app": old, "other": other}, {"app": new}) == {"app": new, "other": other}
    assert merged({"app": new}, {"app": old}) == {"app": new}


@pytest.mark.parametrize(
    "targets",
    [
        [RouteTarget(BLUE, "w1", 50)],
        [RouteTarget(BLUE, "w1", 50), RouteTarget(BLUE, "w2", 50)],
        [RouteTarget(BLUE, "w1", 150), RouteTarget(GREEN, "w2", -50)],
        [RouteTarget(BLUE, "a b")],
        [RouteTarget(BLUE, "a/b")],
        [RouteTarget(BLUE, "a;quit")],
        [RouteTarget(BLUE, "x" * 121)],
        [RouteTarget(BLUE, "")],
    ],
)
def test_targets_that_cannot_be_meant_are_refused(targets: list[RouteTarget]) -> None:
    with pytest.raises(UsageError):
        require_valid_targets("app", targets)


def test_the_slot_that_lost_its_traffic_is_remembered() -> None:
    first = RouteEntry(Route("app")).moved_to([RouteTarget(BLUE, "w1")])
    second = first.moved_to([RouteTarget(BLUE, "w1", 0), RouteTarget(GREEN, "w2", 100)])
    assert second.route == Route("app", 2, (RouteTarget(GREEN, "w2"),))
    assert (second.occupant(BLUE), second.occupant(GREEN)) == ("w1", "w2")
    assert second.without_occupant(BLUE).occupant(BLUE) == ""


@given(st.integers(0, 5), st.integers(0, 5), st.booleans())
def test_generations_fence_old_decisions(found: int, expected: int, same: bool) -> None:
    now = RouteEntry(Route("app", found, (RouteTarget(BLUE, "w1"),)), "w1", "")
    wanted = [RouteTarget(BLUE, "w1") if same else RouteTarget(GREEN, "w2")]
    try:
        after = next_entries({"app": now}, {"app": wanted}, {"app": expected})["app"]
    except StaleRoute:
        assert found != expected
        return
    assert after.route.generation == expected + 1
    assert after.route.targets == tuple(wanted)


# --- answers of HAProxy ------------------------------------------------------------------------------------------


def test_show_proc_is_read() -> None:
    answer = (
        "#<PID>  <type>  <reloads>  <uptime>  <version>\n"
        "32578  master  1 [failed: 0]  0d00h00m00s  2.8.25\n# workers\n32585  worker  0  0d00h00m00s  2.8.25\n"
        "# old workers\n32580  worker  1  0d00h00m00s  2.8.25\n# programs\n\n"
    )
    assert admin.parse_workers(answer) == [admin.Worker(32585, old=False), admin.Worker(32580, old=True)]
    assert admin.parse_workers("garbage") == []


def test_maps_are_read() -> None:
    assert admin.parse_map("0x10 app app.blue/w/1/w/-\n\n0x20 b none/-/0/-/-\n") == [
        "app app.blue/w/1/w/-",
        "b none/-/0/-/-",
    ]
    assert admin.parse_lookups('type=str, found=yes, idx=tree, key="a", value="b/c", type="str"\nfound=no\n') == {
        "a": "b/c"
    }


def test_errors_are_ours() -> None:
    with pytest.raises(BluegreenError, match="no service"):
        config.with_slots(rendered(spec()).config, "stranger", BLUE, (None,))
