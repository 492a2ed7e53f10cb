"""One builder per shard: the living keep their lease, the dead do not, and whoever lost it publishes nothing."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta

import psutil
import pytest
from lineage_world import NOW, World, after

import lineage.lease
from lineage.errors import Fault
from lineage.lease import Lease, check, held
from lineage.tables import LeaseRow

NAME = "shard:support:0"
ELSEWHERE = "another-machine:17:1.00"


def now() -> datetime:
    return NOW


def stored(world: World) -> LeaseRow:
    (row,) = world.rows(LeaseRow)
    return row


def put(world: World, holder: str, *, token: int = 7, expires_at: datetime = NOW + timedelta(seconds=60)) -> None:
    with world.database.transaction() as session:
        session.add(LeaseRow(name=NAME, token=token, holder=holder, expires_at=expires_at))


def take(world: World, clock=now) -> Lease:
    with held(world.database, NAME, clock) as lease:
        return lease


def publish(world: World, lease: Lease) -> None:
    with world.database.transaction() as session:
        check(session, lease)


def test_a_second_holder_is_refused_and_may_come_later(world: World) -> None:
    with held(world.database, NAME, now) as lease:
        publish(world, lease)
        with pytest.raises(Fault, match="Another process is working"):
            take(world)
        publish(world, lease)
    assert take(world).token == lease.token + 1


def test_leases_of_other_names_do_not_meet(world: World) -> None:
    with held(world.database, NAME, now), held(world.database, "shard:support:1", now) as other:
        publish(world, other)


def test_a_lease_is_given_back_when_the_work_fails(world: World) -> None:
    def fail() -> None:
        with held(world.database, NAME, now):
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert stored(world).holder == ""
    take(world)


def test_the_lease_of_a_dead_process_of_this_machine_is_free_at_once(world: World) -> None:
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    holder = f"{socket.gethostname()}:{process.pid}:{psutil.Process(process.pid).create_time():.2f}"
    put(world, holder)
    with pytest.raises(Fault):
        take(world)
    process.communicate(b"\n")
    assert take(world).token == 8


def test_a_new_process_under_an_old_number_is_not_the_holder(world: World) -> None:
    me = psutil.Process()
    put(world, f"{socket.gethostname()}:{me.pid}:{me.create_time() - 1000:.2f}")
    assert take(world).token == 8


def test_a_lease_of_another_machine_is_kept_until_it_expires(world: World) -> None:
    put(world, ELSEWHERE, expires_at=after(seconds=60))
    with pytest.raises(Fault):
        take(world)
    with pytest.raises(Fault):
        take(world, lambda: after(seconds=59))
    assert take(world, lambda: after(seconds=60)).token == 8


def test_whoever_lost_the_lease_publishes_nothing(world: World) -> None:
    """We slept past our expiry, somebody else took over: our token is old, whatever else we believe."""
    with held(world.database, NAME, now) as ours:
        with world.database.transaction() as session:
            row = session.get_one(LeaseRow, NAME)
            row.token, row.holder = row.token + 1, ELSEWHERE
        with pytest.raises(Fault, match="nothing was published"):
            publish(world, ours)
    assert stored(world).holder == ELSEWHERE, "what we give back is not theirs"
    with pytest.raises(Fault):
        publish(world, Lease("shard:never:0", 1))


def test_a_heartbeat_keeps_it_alive(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lineage.lease, "LIFETIME", timedelta(seconds=0.2))

    def real() -> datetime:
        return datetime.now(UTC)

    with held(world.database, NAME, real) as lease:
        first = stored(world).expires_at
        end = time.monotonic() + 5
        while stored(world).expires_at <= first + timedelta(seconds=0.2) and time.monotonic() < end:
            time.sleep(0.02)
        assert stored(world).expires_at > first + timedelta(seconds=0.2)
        publish(world, lease)
    last = stored(world).expires_at
    time.sleep(0.15)
    assert stored(world).expires_at == last, "it goes on beating after the work"


def test_the_heart_stops_for_a_lease_that_was_lost(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lineage.lease, "LIFETIME", timedelta(seconds=0.1))
    with held(world.database, NAME, now):
        with world.database.transaction() as session:
            row = session.get_one(LeaseRow, NAME)
            row.token, row.expires_at = row.token + 1, after(days=3)
        time.sleep(0.15)
    assert stored(world).expires_at == after(days=3)
