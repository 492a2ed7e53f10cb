"""The quarantine: counted and filtered, shown without what was found, and ruled upon by a reviewer with a reason."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest
from case_world import filing
from hypothesis import given
from hypothesis import strategies as st
from lineage_world import ANN, BOB, DANA, DEFAULT, INES, MILO, NOW, Scans, World, after, digest, row
from sqlmodel import select

from lineage import ledger
from lineage.access import Actor, Role
from lineage.admit import UNREAD
from lineage.case import file_request
from lineage.catalog import training_contents
from lineage.errors import RefusedByRule, WrongUsage
from lineage.hidden import MOVED
from lineage.policy import load_policy
from lineage.records import PlainText
from lineage.review import Which, _mask, counted, look_at, masked, queue, sources, tally
from lineage.rulings import BECAUSE, Ruling, allowed, block, clear_out, expire, release, rule
from lineage.scan import ScanFailed
from lineage.spans import moved, replaced
from lineage.tables import (
    AdmissionRow,
    CaseRecordRow,
    FindingRow,
    LedgerRow,
    QuarantineRow,
    RecordRow,
    VaultRow,
)
from lineage.vault import Shredded

TEXT = "The quagga of Anneliese Quistgaard ran to bertram@ostrander.example in May."


def quarantined(world: World, text: str = TEXT, scanner: Scans | None = None, given_id: str = "1", **names) -> str:
    (record_id,) = world.ingest(row(text, ANN, given_id=given_id, **names), scanner=scanner or Scans({"quagga": "ODD"}))
    assert [q.record_id for q in world.rows(QuarantineRow) if q.record_id == record_id]
    return record_id


def shown(world: World, record_id: str) -> str:
    with world.database.reader() as session:
        found = masked(session, record_id, keystore=world.keystore)
    return "\n".join(text for _, text in found.segments)


def let_go(world: World, *records: str, actor: Actor = DANA, because: str = "harmless") -> list[str]:
    with world.database.transaction() as session:
        return release(session, records, Ruling(actor, because, NOW), policy_digest=DEFAULT.digest)


def waiting(world: World, which: Which | None = None, keep_days: int = 0):
    with world.database.reader() as session:
        return queue(session, which, keep_days=keep_days)


def events(world: World) -> list[tuple[str, dict]]:
    return [(e.kind, json.loads(e.payload)) for e in world.rows(LedgerRow)]


# --- shown ---------------------------------------------------------------------------------------------------------------


def test_no_value_of_a_finding_is_shown(world: World) -> None:
    world.register(ANN, BOB)
    record_id = quarantined(world, "The quagga of Anneliese Quistgaard is well.")
    assert shown(world, record_id) == "The <ODD> of <PERSON> is well."


def test_a_redaction_in_the_segment_does_not_hide_the_rest(world: World) -> None:
    """A reviewer can judge: what was taken out is a stand-in, what still stands is hidden where it stands now."""
    world.register(ANN, BOB)
    assert shown(world, quarantined(world)) == "The <ODD> of <PERSON> ran to [EMAIL] in May."
    text = "Mail bertram@ostrander.example after a good long while about the quagga, which sleeps."
    assert shown(world, quarantined(world, text, given_id="2")) == (
        "Mail [EMAIL] after a good long while about the <ODD>, which sleeps."
    )


def test_a_record_judged_before_places_were_kept_is_hidden_where_they_moved(world: World) -> None:
    world.register(ANN, BOB)
    record_id = quarantined(world)
    with world.database.transaction() as session:
        for found in session.exec(select(FindingRow)).all():
            found.kept_start = found.kept_end_exclusive = None
    assert shown(world, record_id) == MOVED


@pytest.mark.parametrize("reason", ["scan_failed", "scan_timeout"])
def test_what_was_not_scanned_is_neither_shown_nor_released(world: World, reason: str) -> None:
    """No finding is known, so nothing could be masked: the text would stand there in the clear."""
    record_id = quarantined(world, scanner=Scans(failure=ScanFailed(reason)))
    text = shown(world, record_id)
    assert "[hidden: " in text
    for value in ("quagga", "Quistgaard", "ostrander", "May"):
        assert value not in text
    assert [w.releasable for w in waiting(world)] == [False]
    with pytest.raises(RefusedByRule, match="cannot be released") as refusal:
        let_go(world, record_id)
    assert "ingest it again" in refusal.value.hint
    assert world.rows(AdmissionRow) == []


def test_an_unforeseen_error_of_the_scanner_is_a_failed_scan(world: World) -> None:
    record_id = quarantined(world, scanner=Scans(failure=ZeroDivisionError("Quistgaard")))
    assert world.rows(QuarantineRow)[0].reason in UNREAD
    assert "Quistgaard" not in shown(world, record_id)


def test_who_looks_is_a_reviewer_and_stands_in_the_ledger_without_the_record(world: World) -> None:
    record_id = quarantined(world)
    for actor in (INES, MILO, Actor("axel", Role.AUDITOR)):
        with pytest.raises(RefusedByRule):
            look_at(world.workspace, record_id, actor=actor, now=NOW)
    assert events(world) == []
    seen = look_at(world.workspace, record_id[:12], actor=DANA, now=NOW)
    assert [label for label, _ in seen.segments] == ["text"]
    assert "quagga" not in repr(seen)
    assert "The" not in repr(seen)
    ((kind, payload),) = events(world)
    assert (kind, payload["by"], payload["reason"]) == ("review.shown", "dana", "unlisted_type")
    assert payload["record"] == world.keyring.handle("review", record_id)
    assert record_id[:12] not in json.dumps(payload)


SPANS = st.lists(
    st.tuples(st.integers(0, 19), st.integers(1, 20), st.sampled_from(["X", "A_VERY_LONG_TYPE"])), max_size=5
)
ALPHABET = "abcdefghijklmnopqrst"


def finding(number: int, start: int, end: int, kind: str = "X", action: str = "quarantine") -> FindingRow:
    return FindingRow(
        id=number, record_id="r", segment=0, span_start=start, span_end_exclusive=end, kept_start=start,
        kept_end_exclusive=end, entity_type=kind, score=1.0, action=action, recognizer="t", value_hmac="",
    )  # fmt: skip


@given(spans=SPANS)
def test_overlapping_findings_hide_every_one_of_their_characters(spans: list[tuple[int, int, str]]) -> None:
    findings = [finding(i, s, min(s + length, len(ALPHABET)), kind) for i, (s, length, kind) in enumerate(spans)]
    hidden = {i for f in findings for i in range(f.span_start, f.span_end_exclusive)}
    out = _mask(ALPHABET, findings)
    assert [c for c in out if c.islower()] == [c for i, c in enumerate(ALPHABET) if i not in hidden]


PLACES = st.tuples(st.integers(0, 19), st.integers(1, 20)).map(lambda p: (p[0], min(p[0] + p[1], len(ALPHABET))))


@given(place=PLACES, cuts=st.lists(st.integers(0, 20), max_size=8, unique=True), width=st.integers(0, 9))
def test_a_moved_place_holds_what_it_held_and_the_whole_of_what_it_cut(
    place: tuple[int, int], cuts: list[int], width: int
) -> None:
    ends = sorted(cuts)
    parts = [((a, b), "#" * width) for a, b in zip(ends[::2], ends[1::2], strict=False)]
    text = replaced(ALPHABET, parts)
    start, end = moved(place, parts)
    gone = {i for (a, b), _ in parts for i in range(a, b)}
    left = [c for i, c in enumerate(ALPHABET) if place[0] <= i < place[1] and i not in gone]
    assert [c for c in text[start:end] if c != "#"] == left
    touched = sum(a < place[1] and place[0] < b for (a, b), _ in parts)
    assert text[start:end].count("#") == touched * width


# --- the queue -----------------------------------------------------------------------------------------------------------


def test_the_queue_is_oldest_first_and_without_text(world: World) -> None:
    one, other = quarantined(world), quarantined(world, "Another quagga.", given_id="2")
    with world.database.transaction() as session:
        session.get_one(QuarantineRow, other).since = NOW.replace(year=2025)
    items = waiting(world)
    assert [w.record_id for w in items] == [other, one]
    assert "quagga" not in repr(items)


def test_the_queue_is_filtered_by_reason_source_status_and_age(world: World) -> None:
    odd = quarantined(world)
    failed = quarantined(world, scanner=Scans(failure=ScanFailed("scan_failed")), given_id="2", source="mails")
    with world.database.transaction() as session:
        session.get_one(QuarantineRow, failed).since = after(days=-20)

    def found(**which) -> list[str]:
        return [w.record_id for w in waiting(world, Which(**which))]

    assert found() == [failed, odd]
    assert found(reason="unlisted_type") == found(source="tickets") == [odd]
    assert found(before=after(days=-14)) == found(reason="scan_failed") == [failed]
    assert found(status="blocked") == found(reason="unlisted_type", source="mails") == []
    assert counted(waiting(world)) == {"quarantined": {"scan_failed": 1, "unlisted_type": 1}}
    with world.database.reader() as session:
        assert tally(session) == counted(waiting(world))
        assert sources(session) == ["mails", "tickets"]
        assert [w.record_id for w in queue(session, limit=1)] == [failed]
    assert not Which(status="blocked").narrowed
    assert Which(source="mails").narrowed


def test_the_queue_says_when_a_record_expires(world: World) -> None:
    quarantined(world)
    assert [w.expires for w in waiting(world, keep_days=90)] == [after(days=90)]
    assert [w.expires for w in waiting(world)] == [None]


# --- rulings -------------------------------------------------------------------------------------------------------------


def test_a_release_admits_under_the_reviewers_name_and_for_a_reason(world: World) -> None:
    record_id = quarantined(world, "One quagga.")
    assert let_go(world, record_id[:10]) == [record_id]
    (admission,) = world.rows(AdmissionRow)
    assert (admission.record_id, admission.verdict, admission.reviewer, admission.because) == (
        record_id, "released", "dana", "harmless",
    )  # fmt: skip
    assert world.rows(QuarantineRow) == []
    with world.database.reader() as session:
        (record,) = training_contents(session, [record_id], keystore=world.keystore)
        assert record.content.text == "One quagga."
        assert ledger.verify(session).length == 1
    expected = {"by": "dana", "because": "harmless", "records": 1, "reasons": {"unlisted_type": 1}}
    assert events(world) == [("review.released", expected)]
    with pytest.raises(WrongUsage):
        let_go(world, record_id)


@pytest.mark.parametrize("because", ["", "Anneliese Quistgaard said so", "unclear", "expired"])
def test_a_reason_is_a_code_and_never_a_sentence(world: World, because: str) -> None:
    record_id = quarantined(world)
    with pytest.raises(WrongUsage) as refusal:
        let_go(world, record_id, because=because)
    assert "Quistgaard" not in str(refusal.value) + refusal.value.hint
    assert events(world) == []
    assert not set(BECAUSE["release"]) & set(BECAUSE["block"])


@pytest.mark.parametrize("actor", [INES, MILO, Actor("axel", Role.AUDITOR)])
def test_only_a_dpo_or_admin_decides(world: World, actor: Actor) -> None:
    record_id = quarantined(world)
    with pytest.raises(RefusedByRule):
        let_go(world, record_id, actor=actor)
    with pytest.raises(RefusedByRule), world.database.transaction() as session:
        block(session, [record_id], Ruling(actor, "unclear", NOW))
    assert len(world.rows(VaultRow)) == 1


def test_many_are_ruled_upon_together_or_not_at_all(world: World) -> None:
    good = [quarantined(world, f"A quagga {i}.", given_id=str(i)) for i in range(3)]
    bad = quarantined(world, scanner=Scans(failure=ScanFailed("scan_failed")), given_id="9")
    with pytest.raises(RefusedByRule):
        let_go(world, *good, bad)
    assert (world.rows(AdmissionRow), events(world)) == ([], [])
    assert [w.record_id for w in allowed(waiting(world), "release")] == sorted(good)
    assert len(allowed(waiting(world), "block")) == 4
    assert let_go(world, *good) == good
    assert [payload["records"] for _, payload in events(world)] == [3]


def test_a_blocked_record_loses_its_text_and_never_comes_out(world: World) -> None:
    record_id = quarantined(world)
    (copy,) = world.rows(VaultRow)
    assert rule(world.workspace, "block", [record_id], Ruling(DANA, "unclear", NOW)) == 1
    assert world.rows(VaultRow) == []
    assert [r.status for r in world.rows(RecordRow)] == ["blocked"]
    with pytest.raises(Shredded):
        world.keystore.open([(f"record:{record_id}", copy.ciphertext)])
    with pytest.raises(WrongUsage, match="not kept"):
        shown(world, record_id)
    with pytest.raises(RefusedByRule):
        let_go(world, record_id)
    with pytest.raises(RefusedByRule, match="cannot be blocked"):
        rule(world.workspace, "block", [record_id], Ruling(DANA, "unclear", NOW))
    (item,) = waiting(world)
    assert (item.status, item.because, item.reviewer, item.expires) == ("blocked", "unclear", "dana", None)


def test_the_key_of_a_rectified_text_is_shredded_too(world: World) -> None:
    """Every version of a record is sealed under a key of its own."""
    record_id = quarantined(world)
    with world.database.transaction() as session:
        session.get_one(RecordRow, record_id).version = 1
    names = [f"record:{record_id}", f"record:{record_id}/1"]
    sealed = world.keystore.seal([(name, b"text") for name in names])
    rule(world.workspace, "block", [record_id], Ruling(DANA, "personal", NOW))
    for name, text in zip(names, sealed, strict=True):
        with pytest.raises(Shredded):
            world.keystore.open([(name, text)])


def test_a_rectification_on_its_way_keeps_its_key_when_the_old_text_is_blocked(world: World) -> None:
    """A mended text is sealed first and its row committed after; the shredding falls in between."""
    record_id = quarantined(world)
    (sealed,) = world.keystore.seal([(f"record:{record_id}/1", b"mended")])
    rule(world.workspace, "block", [record_id], Ruling(DANA, "bad-source", NOW))
    clear_out(world.workspace, now=NOW)
    assert world.keystore.open([(f"record:{record_id}/1", sealed)]) == [b"mended"]


def listed_in_a_case(world: World, record_id: str, decision: str = "erase") -> None:
    with world.database.transaction() as session:
        file_request(session, filing("case-1"), actor=INES, now=NOW)
        session.flush()
        session.add(
            CaseRecordRow(case_id="case-1", handle="h", record_id=record_id, relation="declared", decision=decision)
        )


def test_what_an_open_case_will_change_is_left_to_the_case(world: World) -> None:
    """A legal hold on it may still come, and a release would admit what is about to be erased."""
    record_id = quarantined(world)
    listed_in_a_case(world, record_id)
    assert [w.in_case for w in waiting(world)] == [True]
    assert allowed(waiting(world), "block") == []
    with pytest.raises(RefusedByRule, match="open erasure case"):
        let_go(world, record_id)
    with pytest.raises(RefusedByRule, match="open erasure case"):
        rule(world.workspace, "block", [record_id], Ruling(DANA, "unclear", NOW))
    with world.database.transaction() as session:
        assert expire(session, keep_days=1, now=after(days=400)) == []
    assert len(world.rows(VaultRow)) == 1


def test_what_a_case_keeps_or_has_restricted_is_told_apart(world: World) -> None:
    record_id = quarantined(world)
    listed_in_a_case(world, record_id, decision="keep")
    assert [w.in_case for w in waiting(world)] == [False]
    with world.database.transaction() as session:
        session.get_one(RecordRow, record_id).restricted_by = "case-0"
    assert [w.in_case for w in waiting(world)] == [True]


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


# --- expiry --------------------------------------------------------------------------------------------------------------


def test_what_nobody_ruled_upon_in_time_is_blocked_by_itself(world: World) -> None:
    old, young = quarantined(world), quarantined(world, "Another quagga.", given_id="2")
    with world.database.transaction() as session:
        session.get_one(QuarantineRow, old).since = after(days=-90)
        session.get_one(QuarantineRow, young).since = after(days=-90) + timedelta(seconds=1)
    with world.database.transaction() as session:
        assert expire(session, keep_days=0, now=after(days=9000)) == []
        assert expire(session, keep_days=90, now=NOW) == [old]
        assert expire(session, keep_days=90, now=NOW) == []
    assert [(w.status, w.because, w.reviewer) for w in waiting(world)] == [
        ("blocked", "expired", ""),
        ("quarantined", "", ""),
    ]
    assert len(world.rows(VaultRow)) == 1
    assert events(world) == [("review.expired", {"records": 1, "reasons": {"unlisted_type": 1}, "days": 90})]


# --- what is kept, and learnt --------------------------------------------------------------------------------------------


def test_what_is_kept_and_learnt_is_the_redacted_text_only(world: World) -> None:
    """Under the strict policy: no form of anybody in any sealed text, nor in any file of the workspace."""
    world.register(ANN, BOB)
    strict = load_policy("strict")
    text = "Anneliese Quistgaard (acc 7741 2290) wrote to bertram@ostrander.example."
    (record_id,) = world.ingest(row(text, "C-1001", given_id="1"), policy=strict)
    with world.database.reader() as session:
        (learnt,) = training_contents(session, [record_id], keystore=world.keystore)
    assert isinstance(learnt.content, PlainText)
    assert learnt.content.text.endswith(" wrote to [EMAIL].")
    assert learnt.content.text.startswith("[PERSON-")
    (sealed,) = world.rows(VaultRow)
    (plain,) = world.keystore.open([(f"record:{record_id}", sealed.ciphertext)])
    files = b"".join(path.read_bytes() for path in world.home.rglob("*") if path.is_file())
    for value in (b"Anneliese", b"Quistgaard", b"7741 2290", b"77412290", b"ostrander"):  # four digits stand in any key
        assert value.lower() not in plain.lower()
        assert value.lower() not in files.lower()
