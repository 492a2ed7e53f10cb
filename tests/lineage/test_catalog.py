"""What goes in comes out to whom it may, the gate's standing is in the data, and plans, states and releases are kept once."""

from __future__ import annotations

import pytest
from lineage_world import (
    ANN,
    BOB,
    DEFAULT,
    NOW,
    Scans,
    World,
    digest,
    row,
)
from sqlmodel import col, delete

from lineage import gate
from lineage.catalog import counts_by_status, training_contents
from lineage.errors import GateClosed
from lineage.tables import AdmissionRow, FindingRow, IngestRow, QuarantineRow, RecordRow, RecordSubjectRow, VaultRow
from lineage.vault import Shredded

HELLO = "Anneliese Quistgaard asks about her lamp."


def read(world: World, *ids: str) -> list[str]:
    with world.database.reader() as session:
        return [r.content.text for r in training_contents(session, ids, keystore=world.keystore)]


def restrict(world: World, record_id: str, by: str | None) -> None:
    with world.database.transaction() as session:
        session.get_one(RecordRow, record_id).restricted_by = by


# --- in and out -----------------------------------------------------------------------------------------------------------


def test_an_admitted_record_comes_back_as_it_may_be_learnt(world: World) -> None:
    world.register(ANN, BOB)
    (mine, other) = world.ingest(row(HELLO, ANN), row(f"{HELLO} Bertram Ostrander answers.", ANN, given_id="2"))
    assert read(world, other, mine) == [f"{HELLO} [NAME] answers.", HELLO] or "Ostrander" not in read(world, other)[0]
    assert read(world, mine) == [HELLO]
    relations = {(r.record_id, r.subject_key, r.relation) for r in world.rows(RecordSubjectRow)}
    assert relations == {
        (mine, world.key(ANN), "declared"), (other, world.key(ANN), "declared"), (other, world.key(BOB), "mentioned"),
    }  # fmt: skip


def test_the_tables_hold_no_word_of_the_text_and_no_identifier(world: World) -> None:
    world.register(ANN, BOB)
    world.ingest(row(f"{HELLO} Mail bertram@ostrander.example.", ANN, given_id="anneliese@quistgaard.example"))
    with world.database.engine.connect() as connection:
        dump = "\n".join(connection.connection.dbapi_connection.iterdump())
    for value in ("Quistgaard", "quistgaard", "ostrander", "lamp", ANN, BOB):
        assert value not in dump


def test_ingesting_the_same_again_changes_nothing(world: World) -> None:
    rows = (row(HELLO, ANN), row("The shop is closed."), row("A lamp.", ANN, given_id="7"))
    ids = world.ingest(*rows)
    before = world.rows(VaultRow)
    again, held = world.ingest_reporting(*rows)
    assert again == ids
    assert held == dict.fromkeys(ids, "same")
    assert world.rows(VaultRow) == before


def test_a_known_id_with_another_content_is_a_conflict(world: World) -> None:
    (record_id,) = world.ingest(row(HELLO, ANN, given_id="7"))
    _, held = world.ingest_reporting(row("Another text.", ANN, given_id="7"))
    assert held == {record_id: "conflict"}
    assert read(world, record_id) == [HELLO]


def test_the_same_text_of_two_people_is_two_records(world: World) -> None:
    ids = world.ingest(row("My lamp is broken.", ANN), row("My lamp is broken.", BOB), row("My lamp is broken."))
    assert len(set(ids)) == 3
    assert len({r.given_hmac for r in world.rows(RecordRow)}) == 1


def test_only_admitted_and_unrestricted_records_are_read_for_learning(world: World) -> None:
    fine, waits = world.ingest(
        row(HELLO, ANN), row("A rare word: quagga.", given_id="q"), scanner=Scans({"quagga": "ODD"})
    )
    assert counts(world) == {"admitted": 1, "quarantined": 1}
    with pytest.raises(GateClosed, match="1 of 2 records"):
        read(world, fine, waits)
    restrict(world, fine, "case-1")
    with pytest.raises(GateClosed):
        read(world, fine)
    restrict(world, fine, None)
    assert read(world, fine) == [HELLO]
    with pytest.raises(GateClosed):
        read(world, "never heard of")
    with world.database.transaction() as session:
        session.exec(delete(AdmissionRow))
    with pytest.raises(GateClosed):
        read(world, fine)


def test_a_shredded_record_is_not_read(world: World) -> None:
    (record_id,) = world.ingest(row(HELLO, ANN))
    world.keystore.shred([f"record:{record_id}"])
    with pytest.raises(Shredded):
        read(world, record_id)


def test_of_a_blocked_record_no_text_is_kept(world: World) -> None:
    (record_id,) = world.ingest(
        row("Card 4111 1111 1111 1111.", ANN), scanner=Scans({"4111 1111 1111 1111": "CREDIT_CARD"})
    )
    assert counts(world) == {"blocked": 1}
    assert world.rows(VaultRow) == []
    assert [f.record_id for f in world.rows(FindingRow)] == [record_id]
    assert [(q.reason, q.releasable) for q in world.rows(QuarantineRow)] == [("blocked_identifier", False)]


def counts(world: World) -> dict[str, int]:
    with world.database.reader() as session:
        return counts_by_status(session)


# --- the gate's standing ----------------------------------------------------------------------------------------------------


def standing(world: World, *sources: str, policy: str = DEFAULT.digest) -> gate.GateStanding:
    with world.database.reader() as session:
        found = gate.standing(session, sources=sources, policy_digest=policy)
        if found.open:
            assert gate.require_open(session, sources=sources, policy_digest=policy) == found
        else:
            with pytest.raises(GateClosed) as refusal:
                gate.require_open(session, sources=sources, policy_digest=policy)
            assert (str(refusal.value), refusal.value.hint) == (found.reason, found.hint)
            assert found.hint
    return found


def test_the_gate_is_closed_before_anything_was_admitted(world: World) -> None:
    assert "no record was admitted" in standing(world).reason
    world.ingest(row("A rare word: quagga."), scanner=Scans({"quagga": "ODD"}))
    found = standing(world)
    assert (found.open, found.quarantined) == (False, 1)


def test_the_gate_opens_for_admitted_records_whatever_waits_beside_them(world: World) -> None:
    world.ingest(row(HELLO, ANN), row("A quagga."), scanner=Scans({"quagga": "ODD"}))
    found = standing(world)
    assert (found.open, found.admitted, found.quarantined, found.reason) == (True, 1, 1, "")


@pytest.mark.parametrize("status", ["running", "failed"])
def test_an_unfinished_ingest_closes_the_gate_of_its_source_only(world: World, status: str) -> None:
    world.ingest(row(HELLO, ANN))
    with world.database.transaction() as session:
        session.add(IngestRow(id="half", source="chats", generation=9, status=status, requested_at=NOW))
    assert "an ingest did not finish" in standing(world).reason
    assert "an ingest did not finish" in standing(world, "chats").reason
    assert "--source chats" in standing(world).hint
    assert standing(world, "tickets").open


def test_a_record_without_admission_closes_the_gate(world: World) -> None:
    ids = world.ingest(row(HELLO, ANN), row("Another text.", ANN))
    with world.database.transaction() as session:
        session.exec(delete(AdmissionRow).where(col(AdmissionRow.record_id) == ids[0]))
    found = standing(world)
    assert (found.open, found.unadmitted) == (False, 1)
    assert "1 records have no admission" in found.reason
    assert "no record" in standing(world, "elsewhere").reason


def test_another_policy_closes_the_gate(world: World) -> None:
    world.ingest(row(HELLO, ANN))
    found = standing(world, policy=digest("new policy"))
    assert (found.open, found.outdated) == (False, 1)
    assert "under another policy" in found.reason


def test_an_erasure_never_closes_the_gate(world: World) -> None:
    """The admission is each record's own: whatever subset goes, the rest stays admitted."""
    ids = world.ingest(*(row(f"Lamp number {i} works.", ANN, given_id=str(i)) for i in range(4)))
    for gone in ids[:3]:
        with world.database.transaction() as session:
            for table, column in ((AdmissionRow, "record_id"), (VaultRow, "record_id"), (RecordSubjectRow, "record_id"), (RecordRow, "id")):  # fmt: skip
                session.exec(delete(table).where(getattr(table, column) == gone))
        assert standing(world).open
    assert standing(world).admitted == 1
