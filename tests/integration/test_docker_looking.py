"""What is remembered between two looks at containers, so that looking is cheap, and what makes it be asked again."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from bluegreen.domain.model import Endpoint
from bluegreen.runtimes.docker.listening import BELIEVED_SECONDS, Inside
from bluegreen.runtimes.docker.records import Records, ReplicaRecord, WorkloadRecord
from tests.support_runtime import make_request


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def container(started_at: str) -> Mapping[str, Any]:
    """This process, as if it ran in one."""
    return {"State": {"StartedAt": started_at, "Pid": os.getpid()}}


def test_that_a_run_listens_is_believed_for_a_while_and_of_another_run_nothing() -> None:
    clock = Clock()
    inside = Inside(monotonic=clock)
    with socket.socket() as listener:
        listener.bind(("", 0))
        port = int(listener.getsockname()[1])
        somewhere = Endpoint("127.0.0.1", port)
        assert not inside(container("first"), somewhere, port), "it is bound and does not listen"
        listener.listen()
        assert inside(container("first"), somewhere, port)
    assert inside(container("first"), somewhere, port)
    assert not inside(container("second"), somewhere, port)
    clock.now += BELIEVED_SECONDS
    assert not inside(container("first"), somewhere, port)


def test_a_record_that_another_controller_writes_is_read_again(tmp_path: Path) -> None:
    mine, theirs = Records(tmp_path), Records(tmp_path)
    record = WorkloadRecord(make_request(()), 1.0, 8080, "sha256:1", (ReplicaRecord(4000),))
    mine.save(record)
    assert mine.load(record.workload.id) == record
    changed = record.with_replica(0, replace(record.replicas[0], restarts=1))
    theirs.save(changed)
    assert mine.load(record.workload.id) == changed
    theirs.move_to_stopped(record.workload.id)
    assert mine.load(record.workload.id) is None
