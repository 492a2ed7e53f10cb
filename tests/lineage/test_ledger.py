"""The ledger: every event in its place, in the transaction it belongs to, and no field can be changed unnoticed."""

from __future__ import annotations

import pytest
from lineage_world import NOW, World, after
from sqlmodel import col, select

from lineage import ledger
from lineage.chain import GENESIS, Broken, Intact, link
from lineage.errors import WrongUsage
from lineage.tables import LedgerRow


@pytest.fixture
def told(world: World) -> World:
    """Four events, two of them of a case."""
    with world.database.transaction() as session:
        ledger.append(session, at=NOW, kind="ingest.finished", payload={"admitted": 3})
        ledger.append(session, at=after(hours=1), kind="case.received", payload={"by": "ines"}, case_id="case-1")
        ledger.append(session, at=after(hours=2), kind="case.approved", payload={"by": "dana"}, case_id="case-1")
        ledger.append(session, at=after(hours=3, microseconds=500), kind="case.received", payload={}, case_id="case-2")
    return world


def verdict(world: World) -> Intact | Broken:
    with world.database.reader() as session:
        return ledger.verify(session)


def change(world: World, seq: int, /, **fields: object) -> None:
    with world.database.transaction() as session:
        row = session.get_one(LedgerRow, seq)
        for name, value in fields.items():
            setattr(row, name, value)


def test_an_empty_ledger_is_intact(world: World) -> None:
    assert verdict(world) == Intact(GENESIS, 0)
    with world.database.reader() as session:
        assert ledger.head(session) == (0, GENESIS)


def test_what_was_appended_verifies_and_comes_back(told: World) -> None:
    found = verdict(told)
    with told.database.reader() as session:
        assert ledger.head(session) == (4, found.head)
        events = ledger.events_of_case(session, "case-1")
    assert found.length == 4
    assert [(e.seq, e.kind, e.payload["by"]) for e in events] == [
        (2, "case.received", "ines"),
        (3, "case.approved", "dana"),
    ]
    assert events[0].at == after(hours=1)


TAMPERING = {
    "at": ["2026-01-31T10:30:00.000001+00:00", "2026-01-31T10:30:00", "yesterday", ""],
    "kind": ["case.receiveD", ""],
    "case_id": ["case-2", ""],
    "payload": ['{"by":"inez","case":"case-1"}', '{"by":"ines"}', "{}", "not json", "[]", "null", ""],
    "previous": ["0" * 64, "", "f" * 64],
    "digest": ["f" * 64, ""],
    "seq": [7, 0, -1],
}


@pytest.mark.parametrize(
    ("field", "value"), [(field, value) for field, values in TAMPERING.items() for value in values]
)
def test_no_stored_field_can_be_changed_unnoticed(told: World, field: str, value: object) -> None:
    change(told, 2, **{field: value})
    found = verdict(told)
    assert isinstance(found, Broken)
    assert found.seq <= 3


def test_every_column_is_covered_by_the_test_above() -> None:
    assert set(TAMPERING) == set(LedgerRow.model_fields)


@pytest.mark.parametrize("seq", [1, 2, 3])
def test_a_removed_event_is_missed(told: World, seq: int) -> None:
    with told.database.transaction() as session:
        session.delete(session.get_one(LedgerRow, seq))
    assert verdict(told) == Broken(seq, f"number {seq} is missing or out of order")


def test_two_events_that_changed_places_are_noticed(told: World) -> None:
    with told.database.reader() as session:
        two, three = (session.get_one(LedgerRow, seq).model_dump() for seq in (2, 3))
    change(told, 2, **{**three, "seq": 2})
    change(told, 3, **{**two, "seq": 3})
    assert isinstance(verdict(told), Broken)


def test_a_recomputed_event_breaks_the_next_one(told: World) -> None:
    """Whoever forges an event and its digest must forge every later one, and the head stands in certificates."""
    with told.database.reader() as session:
        true = ledger.events_of_case(session, "case-1")[0]
    forged = link(true.previous, 2, true.at, true.kind, {"by": "nobody", "case": "case-1"})
    change(told, 2, payload='{"by":"nobody","case":"case-1"}', digest=forged.digest)
    assert verdict(told) == Broken(3, "event 3 does not name the digest of the event before it")


def test_a_rolled_back_transaction_leaves_no_event_and_no_gap(told: World) -> None:
    def approve_and_fail() -> None:
        with told.database.transaction() as session:
            ledger.append(session, at=NOW, kind="case.approved", payload={}, case_id="case-2")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        approve_and_fail()
    assert verdict(told).length == 4
    with told.database.transaction() as session:
        ledger.append(session, at=NOW, kind="case.refused", payload={}, case_id="case-2")
    assert verdict(told).length == 5


def test_a_refused_event_leaves_nothing(told: World) -> None:
    for at, payload in ((NOW.replace(tzinfo=None), {}), (NOW, {"x": object()}), (NOW, {"x": float("nan")})):
        with pytest.raises(WrongUsage), told.database.transaction() as session:
            ledger.append(session, at=at, kind="k", payload=payload)
    assert verdict(told).length == 4


def test_events_of_one_transaction_follow_each_other(world: World) -> None:
    with world.database.transaction() as session:
        made = [ledger.append(session, at=NOW, kind=f"k{i}", payload={"i": i}) for i in range(5)]
        digests = session.exec(select(LedgerRow.digest).order_by(col(LedgerRow.seq))).all()
    assert [event.seq for event in made] == [1, 2, 3, 4, 5]
    assert list(digests) == [event.digest for event in made]
    assert verdict(world) == Intact(made[-1].digest, 5)
