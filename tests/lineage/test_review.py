"""The quarantine: shown without what was found, released by name, blocked for good."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lineage_world import ANN, BOB, DANA, DEFAULT, INES, MILO, NOW, Scans, World, digest, row

from lineage import ledger
from lineage.access import Actor, Role
from lineage.catalog import training_contents
from lineage.errors import RefusedByRule, WrongUsage
from lineage.review import NOT_RELEASABLE, _mask, block, masked, queue, release
from lineage.scan import ScanFailed
from lineage.tables import AdmissionRow, FindingRow, QuarantineRow, RecordRow, VaultRow
from lineage.vault import Shredded

TEXT = "The quagga of Anneliese Quistgaard ran to bertram@ostrander.example in May."


def quarantined(world: World, text: str = TEXT, scanner: Scans | None = None, given_id: str = "1") -> str:
    (record_id,) = world.ingest(row(text, ANN, given_id=given_id), scanner=scanner or Scans({"quagga": "ODD"}))
    assert [q.record_id for q in world.rows(QuarantineRow) if q.record_id == record_id]
    return record_id


def shown(world: World, record_id: str) -> str:
    with world.database.reader() as session:
        return "\n".join(masked(session, record_id, keystore=world.keystore))


def let_go(world: World, record_id: str, actor: Actor = DANA) -> str:
    with world.database.transaction() as session:
        return release(session, record_id, actor=actor, policy_digest=DEFAULT.digest, now=NOW)


def test_no_value_of_a_finding_is_shown(world: World) -> None:
    world.register(ANN, BOB)
    record_id = quarantined(world, "The quagga of Anneliese Quistgaard is well.")
    text = shown(world, record_id)
    assert "The <ODD> of <PERSON> is well." in text
    assert "quagga" not in text
    assert "Quistgaard" not in text


def test_where_a_redaction_moved_the_places_all_is_hidden(world: World) -> None:
    world.register(ANN, BOB)
    text = shown(world, quarantined(world))
    assert "[hidden: " in text
    for value in ("quagga", "Quistgaard", "ostrander", "May"):
        assert value not in text


def test_a_redaction_in_front_moves_what_stands_behind_it(world: World) -> None:
    world.register(ANN, BOB)
    record_id = quarantined(
        world,
        "Mail bertram@ostrander.example after a good long while about the quagga, which sleeps the whole day long.",
    )
    assert "quagga" not in shown(world, record_id)


@pytest.mark.parametrize("reason", ["scan_failed", "scan_timeout"])
def test_what_was_not_scanned_is_neither_shown_nor_released(world: World, reason: str) -> None:
    """No finding is known, so nothing could be masked: the text would stand there in the clear."""
    record_id = quarantined(world, scanner=Scans(failure=ScanFailed(reason)))
    text = shown(world, record_id)
    assert "[hidden: " in text
    for value in ("quagga", "Quistgaard", "ostrander", "May"):
        assert value not in text
    with world.database.reader() as session:
        assert [w.releasable for w in queue(session)] == [False]
    with pytest.raises(RefusedByRule, match="cannot be released") as refusal:
        let_go(world, record_id)
    assert "ingest it again" in refusal.value.hint
    assert world.rows(AdmissionRow) == []


def test_an_unforeseen_error_of_the_scanner_is_a_failed_scan(world: World) -> None:
    record_id = quarantined(world, scanner=Scans(failure=ZeroDivisionError("Quistgaard")))
    assert world.rows(QuarantineRow)[0].reason in NOT_RELEASABLE
    assert "Quistgaard" not in shown(world, record_id)


SPANS = st.lists(
    st.tuples(st.integers(0, 19), st.integers(1, 20), st.sampled_from(["X", "A_VERY_LONG_TYPE"])), max_size=5
)


@given(spans=SPANS)
def test_overlapping_findings_hide_every_one_of_their_characters(spans: list[tuple[int, int, str]]) -> None:
    text = "abcdefghijklmnopqrst"
    findings = [
        FindingRow(
            id=i, record_id="r", segment=0, span_start=start, span_end_exclusive=min(start + length, len(text)),
            entity_type=kind, score=1.0, action="quarantine", recognizer="t", value_hmac="",
        )
        for i, (start, length, kind) in enumerate(spans)
    ]  # fmt: skip
    hidden = {i for f in findings for i in range(f.span_start, f.span_end_exclusive)}
    out = _mask(text, findings)
    assert [c for c in out if c.islower()] == [c for i, c in enumerate(text) if i not in hidden]


def test_the_queue_is_oldest_first_and_without_text(world: World) -> None:
    one, other = quarantined(world), quarantined(world, "Another quagga.", given_id="2")
    with world.database.transaction() as session:
        session.get_one(QuarantineRow, other).since = NOW.replace(year=2025)
    with world.database.reader() as session:
        waiting = queue(session)
    assert [w.record_id for w in waiting] == [other, one]
    assert "quagga" not in repr(waiting)


def test_a_release_admits_under_the_reviewers_name(world: World) -> None:
    record_id = quarantined(world, "One quagga.")
    assert let_go(world, record_id[:10]) == record_id
    (admission,) = world.rows(AdmissionRow)
    assert (admission.record_id, admission.verdict, admission.reviewer) == (record_id, "released", "dana")
    assert world.rows(QuarantineRow) == []
    with world.database.reader() as session:
        (record,) = training_contents(session, [record_id], keystore=world.keystore)
        assert record.content.text == "One quagga."
        assert ledger.verify(session).length == 1
    with pytest.raises(WrongUsage):
        let_go(world, record_id)


@pytest.mark.parametrize("actor", [INES, MILO, Actor("axel", Role.AUDITOR)])
def test_only_a_dpo_or_admin_decides(world: World, actor: Actor) -> None:
    record_id = quarantined(world)
    with pytest.raises(RefusedByRule):
        let_go(world, record_id, actor)
    with pytest.raises(RefusedByRule), world.database.transaction() as session:
        block(session, record_id, actor=actor, now=NOW)
    assert len(world.rows(VaultRow)) == 1


def test_a_blocked_record_loses_its_text_and_never_comes_out(world: World) -> None:
    record_id = quarantined(world)
    (copy,) = world.rows(VaultRow)
    with world.database.transaction() as session:
        assert block(session, record_id, actor=DANA, now=NOW) == record_id
    world.keystore.shred([f"record:{record_id}"])  # as the command does
    assert world.rows(VaultRow) == []
    assert [r.status for r in world.rows(RecordRow)] == ["blocked"]
    with pytest.raises(Shredded):
        world.keystore.open([(f"record:{record_id}", copy.ciphertext)])
    with pytest.raises(WrongUsage, match="not kept"):
        shown(world, record_id)
    with pytest.raises(RefusedByRule):
        let_go(world, record_id)


@pytest.mark.parametrize("given_prefix", ["", "%", "_", "zzz", digest("x")])
def test_only_a_beginning_of_one_record_means_it(world: World, given_prefix: str) -> None:
    quarantined(world)
    with pytest.raises(WrongUsage, match="quarantined record begins with"):
        let_go(world, given_prefix)


def test_a_beginning_of_two_records_means_neither(world: World) -> None:
    ids = [quarantined(world, f"quagga {i}", given_id=str(i)) for i in range(20)]
    shared = next(i[0] for i in ids if sum(j[0] == i[0] for j in ids) > 1)
    with pytest.raises(WrongUsage, match="More than one"):
        let_go(world, shared)
