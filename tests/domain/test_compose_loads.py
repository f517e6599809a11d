"""Whatever comes out of a Compose file is a configuration, and whatever goes in is imported or refused."""

from __future__ import annotations

import contextlib
import tomllib
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from bluegreen.domain.errors import UsageError
from bluegreen.spec.compose.toml import document
from tests.domain.compose_files import imported_tree

TEXT = st.text(max_size=20) | st.text("abc{}$\\\"'/:,=.-_ \n#0189é\x7f", max_size=20)
NAMES = st.text("abcXYZ_-.019", min_size=1, max_size=50)
COUNTS = st.integers(0, 2**40).map(str)
NUMBERS = COUNTS | st.floats(0, 1e9).map(str)
SIZES = st.builds("{}{}".format, st.integers(0, 10**9), st.sampled_from(["", "b", "k", "m", "gb", "TiB"]))
DURATIONS = st.builds("{}{}".format, st.integers(0, 10**6), st.sampled_from(["us", "ms", "s", "m", "h", "m30s"]))
PORTS = st.integers(1, 65535)
JUNK = st.recursive(
    st.none() | st.booleans() | TEXT | NUMBERS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=5,
)


def mapping(**values: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """With some of the keys."""
    return st.fixed_dictionaries({}, optional=values)


HEALTH = mapping(
    test=st.builds("curl -f http://localhost:{}{}".format, PORTS, TEXT.map("/".__add__))
    | st.lists(TEXT, max_size=3).map(["CMD"].__add__),
    interval=DURATIONS,
    timeout=DURATIONS,
    retries=COUNTS,
    start_period=DURATIONS,
    disable=st.booleans(),
)
RESOURCES = mapping(
    limits=mapping(cpus=NUMBERS, memory=SIZES, pids=COUNTS),
    reservations=mapping(
        cpus=NUMBERS,
        memory=SIZES,
        devices=st.lists(mapping(capabilities=st.just(["gpu"]), count=COUNTS | st.just("all")), max_size=2),
    ),
)
PUBLISHED = st.lists(PORTS.map(str) | st.builds("{}:{}".format, PORTS, PORTS), min_size=1, max_size=3)
SERVICE = mapping(
    networks=st.lists(NAMES, max_size=2),
    pids_limit=COUNTS,
    read_only=st.booleans(),
    stop_signal=NAMES,
    pull_policy=NAMES | st.sampled_from(["always", "if_not_present"]),
    image=st.just("shop/web:v1") | st.builds("registry:5000/{}:{}".format, NAMES, NAMES),
    expose=st.lists(PORTS.map(str), max_size=2),
    environment=st.dictionaries(
        NAMES | st.sampled_from(["PORT", "CUDA_VISIBLE_DEVICES", "VIRTUAL_HOST"]), TEXT, max_size=4
    )
    | st.lists(TEXT, max_size=3),
    labels=st.dictionaries(NAMES, TEXT, max_size=3)
    | st.builds(lambda host: {"traefik.http.routers.a.rule": f"Host(`{host}`)"}, TEXT),
    command=st.lists(TEXT, max_size=3) | st.text("ab{}- ", max_size=9),
    entrypoint=st.lists(TEXT, max_size=3) | st.text("ab{}- ", max_size=9),
    working_dir=TEXT | TEXT.map("/".__add__),
    healthcheck=HEALTH,
    deploy=mapping(replicas=COUNTS, resources=RESOURCES),
    gpus=COUNTS | st.just("all"),
    volumes=st.lists(st.builds("{}:/{}".format, NAMES, st.text("abc/", max_size=4)), max_size=3)
    | st.lists(st.builds("{}/{}:/{}:ro".format, st.sampled_from([".", "..", "~", "/srv"]), NAMES, NAMES), max_size=2),
    stop_grace_period=DURATIONS,
    shm_size=SIZES,
    scale=COUNTS,
    cpus=NUMBERS,
    mem_limit=SIZES,
    user=TEXT,
    cap_drop=st.lists(st.sampled_from(["ALL", "net_raw", "CAP_CHOWN"]), max_size=2),
    tmpfs=st.text("abc/:=", max_size=5).map("/".__add__),
).flatmap(lambda service: PUBLISHED.map(lambda ports: {**service, "ports": ports}))


def check(services: dict[str, Any]) -> None:
    with contextlib.suppress(UsageError):
        result = imported_tree({"services": services}, {"abc": "value"})
        assert result.loaded().services.keys() == result.services.keys()


@given(st.dictionaries(NAMES, SERVICE, min_size=1, max_size=3))
@settings(max_examples=150, deadline=None)
def test_any_service_becomes_one_that_loads(services: dict[str, Any]) -> None:
    check(services)


@given(SERVICE, st.data())
@settings(max_examples=100, deadline=None)
def test_any_value_at_any_key_is_imported_or_refused(service: dict[str, Any], data: st.DataObject) -> None:
    keys = st.sampled_from(
        [*service, "networks", "secrets", "env_file", "gpus", "deploy", "volumes", "runtime", "depends_on"]
    )
    check({"web": {"image": "a:1", "ports": ["80"], **service, data.draw(keys): data.draw(JUNK)}})


@given(st.dictionaries(st.text(min_size=1, max_size=5), st.recursive(
    st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=6,
)))  # fmt: skip
@settings(deadline=None)
def test_a_document_that_is_written_is_the_one_that_is_read(tables: dict[str, Any]) -> None:
    assert tomllib.loads(document(tables, {})) == tables
