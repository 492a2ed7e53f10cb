"""A record with a new content: what stays, what is refused, and that it can be read at every moment."""

from __future__ import annotations

import pytest
from lineage_world import ANN, BOB, DEFAULT, FORMS, NOW, STRICT, Scans, World, digest, row

from lineage import renewal
from lineage.admit import Gate, examine
from lineage.catalog import GateStamp, Judged, contents_of
from lineage.identity import identify
from lineage.records import RawRecord
from lineage.register import RegisterIndex
from lineage.subjects import load_forms, load_suppression
from lineage.tables import (
    AdmissionRow,
    FindingRow,
    ParentRow,
    QuarantineRow,
    RecordRow,
    RecordSubjectRow,
    SupersededRow,
    TombstoneRow,
    VaultRow,
)
from lineage.vault import Shredded, record_key

OLD, NEW = "The lamp is red.", "The lamp is blue."


def rectify(world: World, *rows: RawRecord, scanner: Scans | None = None) -> dict[str, str]:
    """Through the gate, as the ingest does it; returns which rows were not taken, and why."""
    with world.database.transaction() as session:
        register = RegisterIndex(load_forms(session, world.keystore))
        gate = Gate(scanner or Scans(), register, load_suppression(session, world.keyring), DEFAULT, STRICT)
        identities = [identify(raw, world.keyring) for raw in rows]
        refused = renewal.standing(session, identities)
        batch = [
            Judged(raw, identity, examine(gate, raw.content, declared=identity.declared))
            for raw, identity in zip(rows, identities, strict=True)
            if identity not in refused
        ]
        stamp = GateStamp("ing-r", 9, DEFAULT.digest, digest("scanner"), NOW)
        late = renewal.rectify(session, batch, stamp=stamp, keyring=world.keyring, keystore=world.keystore)
    return {identity.record_id: why for identity, why in refused.items()} | dict.fromkeys(late, "late")


def text(world: World, record_id: str) -> str:
    with world.database.reader() as session:
        (record,) = contents_of(session, [record_id], keystore=world.keystore)
    return record.content.segments()[0]


def one(world: World, table: type) -> list:
    return world.rows(table)


def test_the_record_is_the_same_with_another_content(world: World) -> None:
    world.register(ANN, BOB)
    (record_id,) = world.ingest(row(f"{OLD} {FORMS[BOB]['name']} saw it.", ANN, given_id="7", parents=["1"]))
    (before,) = one(world, RecordRow)
    assert rectify(world, row(NEW, ANN, given_id="7", parents=["2"])) == {}
    (after,) = one(world, RecordRow)
    kept = ("id", "ingest_id", "generation", "source", "primary_subject", "id_hmac", "status")
    assert [getattr(after, name) for name in kept] == [getattr(before, name) for name in kept]
    assert after.content_hmac != before.content_hmac
    assert after.version == 1
    assert text(world, record_id) == NEW
    assert {r.relation for r in one(world, RecordSubjectRow)} == {"declared"}, "the mention went with the old content"
    assert one(world, FindingRow) == []
    assert len(one(world, ParentRow)) == len(one(world, AdmissionRow)) == 1
    with world.database.reader() as session:
        assert renewal.superseded(session, "rectified") == ((record_id, before.content_hmac),)


def test_what_may_not_be_rectified(world: World) -> None:
    ids = world.ingest(*(row(OLD, ANN, given_id=str(i)) for i in range(3)))
    with world.database.transaction() as session:
        rows = {i: session.get_one(RecordRow, i) for i in ids}
        rows[ids[1]].restricted_by = "case-1"
        session.add(TombstoneRow(kind="given_id", hmac=rows[ids[2]].id_hmac, case_id="case-0", keep_until=NOW.date()))
    said = rectify(
        world, row(NEW, ANN, given_id="9"), row(NEW, BOB, given_id="0"), row(NEW, ANN, given_id="1"),
        row(NEW, ANN, given_id="2"), row(OLD, ANN, given_id="0"),
    )  # fmt: skip
    assert sorted(said.values()) == ["erased", "restricted", "same", "unknown", "unknown"]
    assert {text(world, i) for i in ids} == {OLD}


def test_a_record_that_a_case_restricts_while_it_is_judged_is_left_alone(world: World) -> None:
    (record_id,) = world.ingest(row(OLD, ANN, given_id="7"))
    with world.database.transaction() as session:
        session.get_one(RecordRow, record_id).restricted_by = "case-1"
        gate = Gate(Scans(), RegisterIndex([]), load_suppression(session, world.keyring), DEFAULT, STRICT)
        raw = row(NEW, ANN, given_id="7")
        judged = Judged(raw, identify(raw, world.keyring), examine(gate, raw.content, declared=()))
        stamp = GateStamp("ing-r", 9, DEFAULT.digest, digest("scanner"), NOW)
        assert renewal.rectify(session, [judged], stamp=stamp, keyring=world.keyring, keystore=world.keystore) == {
            record_id
        }
    assert text(world, record_id) == OLD


def test_the_gate_may_stop_the_new_content_and_a_mended_one_opens_it_again(world: World) -> None:
    (record_id,) = world.ingest(row(OLD, ANN, given_id="7"))
    rectify(world, row("A quagga.", ANN, given_id="7"), scanner=Scans({"quagga": "ODD"}))
    assert [r.status for r in one(world, RecordRow)] == ["quarantined"]
    assert one(world, AdmissionRow) == []
    assert [q.record_id for q in one(world, QuarantineRow)] == [record_id]
    rectify(world, row(NEW, ANN, given_id="7"))
    assert [r.status for r in one(world, RecordRow)] == ["admitted"]
    assert one(world, QuarantineRow) == []
    assert text(world, record_id) == NEW


def test_what_a_record_says_again_was_never_superseded(world: World) -> None:
    world.ingest(row(OLD, ANN, given_id="7"))
    rectify(world, row(NEW, ANN, given_id="7"))
    rectify(world, row(OLD, ANN, given_id="7"))
    (record,) = one(world, RecordRow)
    (left,) = one(world, SupersededRow)
    assert left.content_hmac != record.content_hmac


# --- keys: two databases, one order ------------------------------------------------------------------------------------------


def test_a_crash_before_the_commit_leaves_the_old_text_readable(world: World) -> None:
    class Crash(Exception):
        pass

    (record_id,) = world.ingest(row(OLD, ANN, given_id="7"))
    sealed = world.keystore.seal

    def seal_and_die(plains):
        sealed(plains)
        raise Crash

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(world.keystore, "seal", seal_and_die)
        with pytest.raises(Crash):
            rectify(world, row(NEW, ANN, given_id="7"))
    assert text(world, record_id) == OLD
    assert rectify(world, row(NEW, ANN, given_id="7")) == {}
    assert text(world, record_id) == NEW


def test_the_old_key_is_named_until_it_is_shredded(world: World) -> None:
    (record_id,) = world.ingest(row(OLD, ANN, given_id="7"))
    (copy,) = one(world, VaultRow)
    rectify(world, row(NEW, ANN, given_id="7"))
    assert world.keystore.open([(record_key(record_id), copy.ciphertext)]), "not shredded yet: a crash came"
    with world.database.reader() as session:
        names = renewal.keys_left(session)
    assert names == [record_key(record_id)]
    world.keystore.shred(names)
    with world.database.transaction() as session:
        renewal.mark_shredded(session, names)
        assert renewal.keys_left(session) == []
    with pytest.raises(Shredded):
        world.keystore.open([(record_key(record_id), copy.ciphertext)])
    assert text(world, record_id) == NEW


def test_an_erasure_shreds_every_version_of_a_key_and_nothing_else(world: World) -> None:
    keys = world.keystore
    names = ["record:a", "record:a/1", "record:a/12", "record:ab", "record:ab/1", "subject:a"]
    keys.seal([(name, b"x") for name in names])
    assert keys.shred_records(["a", "never"]) == 3
    assert set(keys._find(set(names))) == {"record:ab", "record:ab/1", "subject:a"}


def test_old_keys_are_those_of_earlier_versions_and_not_of_one_that_is_being_made(world: World) -> None:
    """A new text is sealed before its row is committed: whoever shreds in between must not take its key."""
    (record_id,) = world.ingest(row(OLD, ANN, given_id="7"))
    rectify(world, row(NEW, ANN, given_id="7"))
    world.keystore.seal([(record_key(record_id, 2), b"on its way")])
    with world.database.reader() as session:
        assert renewal.old_keys(session, [record_id]) == {record_key(record_id)}


def test_a_second_rectification_of_the_same_changes_nothing(world: World) -> None:
    world.ingest(row(OLD, ANN, given_id="7"))
    rectify(world, row(NEW, ANN, given_id="7"))
    assert rectify(world, row(NEW, ANN, given_id="7")) == {one(world, RecordRow)[0].id: "same"}
    assert [r.version for r in one(world, RecordRow)] == [1]
