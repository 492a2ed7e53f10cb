"""What a journal says against what a database and a key store have seen: who was brought back, and who only seems so."""

from __future__ import annotations

from dataclasses import replace

import pytest
from lineage_world import ANN, BOB, INES, NOW, World, digest, filing_dates, row
from sqlmodel import Session

from lineage import journal, ledger, replay
from lineage.case import Filing, file_request
from lineage.errors import NotAcceptable, RefusedByRule
from lineage.evidence import add_evidence
from lineage.journal import BEGUN, DESTROYED, Entry
from lineage.replay import REPLAYED, reach_of, require_replayed
from lineage.stages import Stage
from lineage.tables import CaseRow
from lineage.vault import record_key
from lineage.workspace import open_workspace

CASE, PURGE = "case-00000001", "e" * 64
GONE = digest("a record that is gone")
ENTRY = Entry(CASE, PURGE, "2026-03-02T09:00:00+00:00", (GONE,), digest("somebody"))


def tell(world: World, *kinds: str, entry: Entry = ENTRY) -> None:
    for kind in kinds:
        journal.append(world.journal, replace(entry, kind=kind))


def stand(session: Session, stage: str, **fields: object) -> CaseRow:
    filing = Filing(CASE, digest("somebody"), b"sealed", "b", "portal", **filing_dates())
    file_request(session, filing, actor=INES, now=NOW)
    case = session.get_one(CaseRow, CASE)
    for name, value in {"stage": stage, **fields}.items():
        setattr(case, name, value)
    return case


def found(world: World) -> list[str]:
    with world.database.reader() as session:
        return [each.what for each in replay.pending(world.journal, session, keystore=world.keystore)]


def none(session: Session) -> None:
    """The case is not in this database."""


def at(stage: str, **fields: object):
    return lambda session: stand(session, stage, **fields)


def destroyed(session: Session) -> None:
    stand(session, "FAILED", purge_digest=PURGE)
    add_evidence(session, CASE, "destroyed", {"rows": {}}, now=NOW)


def seen(purge: str):
    return lambda session: ledger.append(session, at=NOW, kind=REPLAYED, payload={"purge": purge}, case_id=CASE)


APPROVED = {"purge_digest": PURGE, "evidence_digest": PURGE}
BOTH = (BEGUN, DESTROYED)


@pytest.mark.parametrize(
    ("kinds", "here", "undone"),
    [
        (BOTH, none, True), (BOTH, at("ASSESSMENT"), True), (BOTH, at("PURGE_APPROVED", **APPROVED), True),
        (BOTH, at("REFUSED"), True), (BOTH, at("ASSESSMENT", reopen_reason="Late."), True), (BOTH, destroyed, False),
        (BOTH, at("PURGED"), False), (BOTH, at("SIGNED_OFF"), False), (BOTH, at("CLOSED"), False), (BOTH, seen(PURGE), False),
        (BOTH, seen("another"), True),
        ((BEGUN,), none, True), ((BEGUN,), at("EVIDENCE_READY"), False), ((BEGUN,), at("PURGE_APPROVED", **APPROVED), False),
        ((BEGUN,), at("PURGED"), False), ((BEGUN,), at("ASSESSMENT", reopen_reason="Late."), False),
        (("",), none, True), (("",), at("EVIDENCE_READY"), True), (("",), at("PURGE_APPROVED", **APPROVED), False),
        (("",), at("FAILED", **APPROVED), False), (("",), at("PURGE_APPROVED", purge_digest="other"), True),
        (("",), at("ASSESSMENT", reopen_reason="Late."), False), (("",), destroyed, False), (("",), seen(PURGE), False),
    ],
)  # fmt: skip
def test_a_database_is_restored_when_it_has_not_seen_what_the_journal_has(world: World, kinds, here, undone) -> None:
    assert found(world) == []
    tell(world, *kinds)
    with world.database.transaction() as session:
        here(session)
    assert found(world) == (["rows"] if undone else [])
    if undone:
        with pytest.raises(RefusedByRule, match="undone an erasure that was") as refused:
            open_workspace(world.settings.workspace)
        assert not {CASE, GONE, PURGE} & set((str(refused.value) + refused.value.hint).split())
    else:
        open_workspace(world.settings.workspace)


def test_an_earlier_purge_of_a_case_that_destroyed_nothing_is_not_asked_for(world: World) -> None:
    tell(world, BEGUN, entry=replace(ENTRY, purge_digest="first", record_ids=(digest("approved then"),)))
    tell(world, *BOTH)
    with world.database.reader() as session:
        (only,) = replay.pending(world.journal, session)
    assert only.erasure.record_ids == (GONE,)


def test_a_damaged_journal_opens_nothing(world: World) -> None:
    tell(world, *BOTH)
    world.journal.write_bytes(b"nonsense\n" + world.journal.read_bytes())
    with pytest.raises(NotAcceptable, match="Line 1 "):
        require_replayed(world.workspace)


# --- keys -----------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "stage", "back"),
    [
        (record_key(GONE), Stage.PURGED, True), (record_key(GONE, 3), Stage.SIGNED_OFF, True),
        (f"subject:{digest('somebody')}", Stage.CLOSED, True), (f"case:{CASE}", Stage.SIGNED_OFF, True),
        (f"case:{CASE}", Stage.PURGED, False), (record_key(GONE), Stage.PURGE_APPROVED, False),
        (record_key(digest("another")), Stage.SIGNED_OFF, False), ("case:another", Stage.SIGNED_OFF, False),
    ],
)  # fmt: skip
def test_a_key_store_is_restored_when_it_has_a_key_of_a_finished_purge(world: World, name, stage, back) -> None:
    tell(world, *BOTH)
    with world.database.transaction() as session:
        stand(session, stage)
        add_evidence(session, CASE, "destroyed", {"rows": {}}, now=NOW)
    world.keystore.seal([(name, b"text")])
    assert found(world) == (["keys"] if back else [])


def test_who_came_back_as_a_new_matter_keeps_the_new_keys(world: World) -> None:
    """The same id, the same person: after a lifting, or under words that no tombstone stops."""
    (held,) = world.ingest(row("My lamp is whole.", ANN, given_id="1"))
    world.register(ANN)
    tell(world, *BOTH, entry=replace(ENTRY, record_ids=(held, GONE), subject_key=world.key(ANN)))
    with world.database.transaction() as session:
        stand(session, "SIGNED_OFF")
    assert found(world) == []
    world.keystore.seal([(record_key(GONE), b"text")])
    assert found(world) == ["keys"]


# --- what a replay reaches ------------------------------------------------------------------------------------------------------


def test_a_replay_reaches_whatever_is_the_persons_here_and_what_the_dpo_kept_stays(world: World) -> None:
    world.register(ANN)
    ids = world.ingest(
        row("My lamp is broken.", ANN, given_id="1"), row("Told later to be Bob's.", ANN, given_id="2"),
        row("Needed for a claim.", ANN, given_id="3"), row("I met Anneliese Quistgaard.", BOB, given_id="4"),
        row("A quiet day.", BOB, given_id="5"),
    )  # fmt: skip
    tell(world, *BOTH, entry=replace(ENTRY, record_ids=(ids[0],), subject_key=world.key(ANN), kept_ids=(ids[2],)))
    with world.database.reader() as session:
        (back,) = replay.pending(world.journal, session)
        reached = reach_of(session, back.erasure)
    assert set(reached.erased) == {ids[0], ids[1]}
    assert reached.redacted == (ids[3],)
