"""A case that does not erase takes its redactions back: nothing of it is left, but for what is somebody else's to decide."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from datetime import date
from itertools import pairwise

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from lineage_world import ANN, BOB, CLEO, DANA, DEFAULT, FORMS, INES, NOW, STRICT, Scans, World, open_world, row
from sqlmodel import select

from lineage import desk, ledger, nearness, renewal
from lineage.admit import Gate
from lineage.case import CaseFile
from lineage.catalog import GateStamp, contents_of, given_id
from lineage.closure import Reach, find_closure, freed_contents
from lineage.decisions import Choice, lay_over
from lineage.evidence import add_evidence, case_records, contract, save_closure
from lineage.nearness import Edge, Found
from lineage.purge import forget_rows
from lineage.records import canonical_bytes
from lineage.register import RegisterIndex
from lineage.sought import searched_forms
from lineage.stages import Stage
from lineage.subjects import load_forms, load_suppression
from lineage.tables import (
    AdmissionRow,
    FindingRow,
    FindingSubjectRow,
    NearEdgeRow,
    ParentRow,
    QuarantineRow,
    RecordRow,
    RecordSubjectRow,
    SupersededRow,
    TombstoneRow,
)
from lineage.tombstones import bury, bury_contents
from lineage.unredaction import take_back
from lineage.vault import record_key
from pipelines.superseding import shred_old_texts

NAMES = {person: FORMS[person]["name"] for person in (ANN, BOB, CLEO)}
SCANNER = Scans({"lamp": "DATE_TIME", "heron": "IP_ADDRESS"})
WORDS = ("lamp", "heron", "ladder")


def gate_of(world: World) -> Gate:
    with world.database.reader() as session:
        return Gate(SCANNER, RegisterIndex([]), load_suppression(session, world.keyring), DEFAULT, STRICT)


def approved(world: World, person: str) -> str:
    """A case whose preview is approved, as the preview job and a DPO leave it."""
    intake = desk.Intake([person], "b", "portal", date(2026, 1, 31))
    case_id = desk.file_case(world.workspace, intake, actor=INES, now=NOW).id
    return approve(world, case_id)


def approve(world: World, case_id: str) -> str:
    key, forms = searched_forms(world.workspace, case_id)
    with world.database.transaction() as session:
        mine = frozenset(r for r, _ in renewal.superseded(session, "redacted", by=case_id))
        reach = Reach(gate=lambda: gate_of(world), redacted=mine)
        found = find_closure(session, key, forms, keystore=world.keystore, reach=reach)
        closure = lay_over(session, case_id, found, handle=lambda r: world.keyring.handle(case_id, r))
        digest = add_evidence(session, case_id, "contract", contract(session, case_id, closure, world.keyring), now=NOW)
        save_closure(session, case_id, closure, world.keyring)
        CaseFile(session, case_id).preview_ready(digest, now=NOW)
    desk.approve(world.workspace, case_id, actor=DANA, digest=digest, now=NOW)
    return case_id


def contain(world: World, case_id: str) -> list[str]:
    """Restrict and redact, as `pipelines.containing` does, with a scanner that knows a few words; returns what is redacted."""
    key, forms = searched_forms(world.workspace, case_id)
    with world.database.transaction() as session:
        lines = case_records(session, case_id)
        for line in lines:
            if line.decision == "erase":
                session.get_one(RecordRow, line.record_id).restricted_by = case_id
        kept = [line.record_id for line in lines if line.decision == "keep"]
        take_back(session, world.workspace, case_id, only=kept, now=NOW)
        done = {r for r, _ in renewal.superseded(session, "redacted", by=case_id)}
        planned = sorted(line.record_id for line in lines if line.decision == "redact")
        todo = [r for r in planned if r not in done]
        batch = []
        for record, new in freed_contents(session, todo, RegisterIndex(forms), gate_of(world), world.keystore):
            held, given = (
                session.get_one(RecordRow, record.record_id),
                world.keyring.content(canonical_bytes(new.given)),
            )
            judged = renewal.judged_anew(
                session, held, new.given, new.decision, given_hmac=given, keystore=world.keystore
            )
            batch.append(judged)
        stamp = GateStamp(case_id, 0, DEFAULT.digest, "scanner", NOW)
        renewal.redact(session, batch, subject_key=key, stamp=stamp, keyring=world.keyring, keystore=world.keystore)
        add_evidence(session, case_id, "before", {"adapters": {}}, now=NOW)
        CaseFile(session, case_id).advance(Stage.CONTAINED, now=NOW)
    return planned


def withdraw(world: World, case_id: str) -> None:
    desk.withdraw(world.workspace, case_id, actor=INES, reason="Told us by telephone.", now=NOW)


def refuse(world: World, case_id: str, record_id: str) -> None:
    """A contained case comes back to a DPO when something is decided anew; then it may be refused."""
    handle = world.keyring.handle(case_id, record_id)
    desk.decide_record(world.workspace, case_id, handle, Choice("erase"), actor=DANA, now=NOW)
    desk.refuse(world.workspace, case_id, actor=DANA, reason="Needed for a claim, Art. 17(3)(e).", now=NOW)


def everything(world: World) -> dict[str, object]:
    """All that is kept of every record and of what it says, but for the numbers of rows and versions."""
    with world.database.reader() as session:

        def of(table: type) -> list[dict[str, object]]:
            return [row.model_dump() for row in session.exec(select(table)).all()]

        links = [(link["finding_id"], link["subject_key"], link["declared"]) for link in of(FindingSubjectRow)]
        findings = [
            {**found, "id": sorted((k, d) for i, k, d in links if i == found["id"])} for found in of(FindingRow)
        ]
        ids = [record["id"] for record in of(RecordRow)]
        texts = {r.record_id: r.content.as_json() for r in contents_of(session, ids, keystore=world.keystore)}
        tables = (AdmissionRow, RecordSubjectRow, ParentRow, QuarantineRow, NearEdgeRow)
        return {
            "texts": texts,
            "given ids": {i: given_id(session, i, keystore=world.keystore) for i in texts},
            "records": sorted(({**record, "version": 0} for record in of(RecordRow)), key=repr),
            "findings": sorted(findings, key=repr),
        } | {table.__tablename__: sorted(of(table), key=repr) for table in tables}


def text(world: World, record_id: str) -> str:
    return str(everything(world)["texts"][record_id])  # type: ignore[index]


def events(world: World, case_id: str) -> list[dict[str, object]]:
    with world.database.reader() as session:
        found = ledger.events_of_case(session, case_id)
    taken_back = [event.payload for event in found if event.kind == "redactions.taken_back"]
    return [{name: count for name, count in payload.items() if name != "case"} for payload in taken_back]


def mentions(*people: str) -> str:
    return " and ".join(NAMES[person] for person in people)


@pytest.fixture
def late(world: World) -> tuple[World, str, str]:
    """A record of Ann's, and one of Bob's that mentions Ann and Cleo, who were registered only after it came in."""
    own, other = world.ingest(
        row("The lamp is broken.", ANN, given_id="1"),
        row(f"The lamp of {mentions(ANN, CLEO)} is red.", BOB, given_id="2", parents=["9"]),
        scanner=SCANNER,
    )
    world.register(ANN, BOB, CLEO)
    return world, own, other


# --- the law -------------------------------------------------------------------------------------------------------------

corpora = st.lists(
    st.tuples(
        st.sampled_from((None, ANN, BOB, CLEO)),
        st.sets(st.sampled_from((ANN, BOB, CLEO)), max_size=3),
        st.sampled_from(WORDS),
        st.booleans(),
    ),
    min_size=1,
    max_size=6,
)


@given(
    corpus=corpora,
    known=st.sets(st.sampled_from((ANN, BOB, CLEO))),
    askers=st.permutations((ANN, BOB, CLEO)),
    count=st.integers(1, 3),
    ends=st.permutations((0, 1, 2)),
)
@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
def test_contained_and_withdrawn_is_as_if_nobody_had_asked(
    empty_workspace, tmp_path_factory, corpus, known, askers, count, ends
) -> None:
    """Whoever asks first or last, and whoever takes it back first or last."""
    world = open_world(shutil.copytree(empty_workspace, tmp_path_factory.mktemp("w") / "ws"))
    world.register(*sorted(known))
    rows = [
        row(f"Ticket {n}: the {word} of {mentions(*sorted(named))} is red.", *([who] if who else []),
            given_id=str(n), parents=[str(n - 1)] if derived else [])
        for n, (who, named, word, derived) in enumerate(corpus)
    ]  # fmt: skip
    ids = world.ingest(*rows, scanner=SCANNER)
    world.register(ANN, BOB, CLEO)
    save_pairs(world, ids)
    before = everything(world)
    cases = [approved_if_any(world, person) for person in askers[:count]]
    for case_id in cases:
        if case_id:
            contain(world, case_id)
    for case_id in (cases[n] for n in ends if n < count):
        if case_id:
            withdraw(world, case_id)
    assert everything(world) == before, "LAW nothing of a case that does not erase is left"
    with world.database.reader() as session:
        assert renewal.superseded(session, "redacted") == ()
        assert renewal.locked_ids(session, ids) == set()


def approved_if_any(world: World, person: str) -> str:
    """The person's case, unless nothing is held of them."""
    with world.database.reader() as session:
        forms = load_forms(session, world.keystore, world.key(person))
        held = find_closure(session, world.key(person), forms, keystore=world.keystore).records
    return approved(world, person) if held else ""


def save_pairs(world: World, ids: Sequence[str]) -> None:
    """As if an earlier search had found that each record is a near copy of the next."""
    pairs = sorted({(min(pair), max(pair)) for pair in pairwise(ids)})
    edges = tuple(Edge(a, b, 0.9) for a, b in pairs if a != b)
    with world.database.transaction() as session:
        nearness.save_found(session, Found(edges, frozenset()), ids)


def test_two_near_records_that_two_cases_redact_are_near_again(world: World) -> None:
    """Found by the law above: each text was redacted while the other was, and they come back one after the other."""
    ids = world.ingest(row(f"The lamp of {mentions(ANN)}.", BOB), row(f"The lamp of {mentions(CLEO)}.", BOB))
    world.register(ANN, CLEO)
    save_pairs(world, ids)
    before = everything(world)
    first, second = contained(world, ANN), contained(world, CLEO)
    assert everything(world)["near_edge"] == []
    withdraw(world, first)
    withdraw(world, second)
    assert everything(world)["near_edge"] == before["near_edge"] != []


# --- one case ------------------------------------------------------------------------------------------------------------


def test_a_withdrawn_case_gives_the_text_back_under_a_new_key(late) -> None:
    world, _, other = late
    before = everything(world)
    case_id = approved(world, ANN)
    assert contain(world, case_id) == [other]
    assert NAMES[ANN] not in text(world, other), "the control: it was redacted"
    withdraw(world, case_id)
    assert everything(world) == before
    assert events(world, case_id) == [{"records": 1}]
    names = [record_key(other), record_key(other, 1), record_key(other, 2)]
    assert world.keystore.holding(names) == set(names)
    assert shred_old_texts(world.workspace) == 2
    assert world.keystore.holding(names) == {record_key(other, 2)}, "LAW no key is left of a text that is replaced"
    assert NAMES[ANN] in text(world, other)
    assert shred_old_texts(world.workspace) == 0


def test_a_refused_case_gives_the_text_back(late) -> None:
    world, own, _ = late
    before = everything(world)
    case_id = approved(world, ANN)
    contain(world, case_id)
    refuse(world, case_id, own)
    assert everything(world) == before
    assert events(world, case_id) == [{"records": 1}]


def test_taken_back_once_is_taken_back(late) -> None:
    world, _, _ = late
    case_id = contained(world, ANN)
    withdraw(world, case_id)
    once = everything(world)
    withdraw(world, case_id)
    assert (everything(world), len(events(world, case_id))) == (once, 1)


def test_what_was_learnt_from_the_redacted_text_stays_known_until_it_is_destroyed(late) -> None:
    """A later case that redacts the record has to destroy it as well."""
    world, _, other = late
    case_id = approved(world, ANN)
    contain(world, case_id)
    with world.database.reader() as session:
        redacted = session.get_one(RecordRow, other).content_hmac
    withdraw(world, case_id)
    with world.database.reader() as session:
        assert renewal.superseded(session, "unredacted") == ((other, redacted),)
    second = approved(world, CLEO)
    contain(world, second)
    with world.database.reader() as session:
        before = {row.content_hmac for row in renewal.before_redaction(session, second, [other])}
    assert redacted in before


def test_the_same_person_may_ask_again(late) -> None:
    world, _, other = late
    withdraw(world, contained(world, ANN))
    again = contained(world, ANN)
    assert NAMES[ANN] not in text(world, other)
    with world.database.reader() as session:
        assert [record for record, _ in renewal.superseded(session, "redacted", by=again)] == [other]
        assert renewal.superseded(session, "unredacted") == (), "it says again what it said then"


def contained(world: World, person: str) -> str:
    case_id = approved(world, person)
    contain(world, case_id)
    return case_id


def test_a_record_that_is_kept_after_all_says_again_what_it_said(late) -> None:
    world, _, other = late
    before = text(world, other)
    case_id = contained(world, ANN)
    handle = world.keyring.handle(case_id, other)
    keep = Choice("keep", "b", "Tax law, six years.")
    desk.decide_record(world.workspace, case_id, handle, keep, actor=DANA, now=NOW)
    assert text(world, other) != before, "not before it is approved"
    contain(world, approve(world, case_id))
    assert text(world, other) == before
    assert events(world, case_id) == [{"records": 1}]
    with world.database.reader() as session:
        lines = {line.record_id: line.decision for line in case_records(session, case_id)}
        assert lines[other] == "keep"
        assert renewal.locked_ids(session, [other]) == set()


def test_a_redaction_of_before_this_version_stays_and_is_told(late) -> None:
    world, _, other = late
    case_id = contained(world, ANN)
    with world.database.transaction() as session:
        for old in session.exec(select(SupersededRow)).all():
            old.aftermath = None
    redacted = text(world, other)
    withdraw(world, case_id)
    assert (text(world, other), events(world, case_id)) == (redacted, [{"records": 0, "stay": 1}])


# --- two cases redact one record -----------------------------------------------------------------------------------------


def test_what_another_case_took_out_does_not_come_back(late) -> None:
    world, _, other = late
    before = everything(world)
    first, second = approved(world, ANN), approved(world, CLEO)
    contain(world, first)
    contain(world, second)
    withdraw(world, first)
    assert NAMES[CLEO] not in text(world, other), "LAW what another case took out stays out"
    assert events(world, first) == [{"records": 0, "stay": 1}]
    withdraw(world, second)
    assert everything(world) == before
    assert (events(world, second), events(world, first)[1:]) == ([{"records": 1}], [{"records": 1}])


def test_the_last_redaction_is_undone_and_the_one_below_stands(late) -> None:
    world, _, other = late
    first, second = approved(world, ANN), approved(world, CLEO)
    contain(world, first)
    once = everything(world)
    contain(world, second)
    withdraw(world, second)
    assert everything(world) == once
    assert NAMES[ANN] not in text(world, other)


def test_a_purged_redaction_is_never_undone(late) -> None:
    world, _, other = late
    first, second = approved(world, ANN), approved(world, CLEO)
    contain(world, first)
    contain(world, second)
    purge(world, second)
    clean = text(world, other)
    withdraw(world, first)
    assert text(world, other) == clean
    assert events(world, first) == [], "nothing of it was left to undo"


def purge(world: World, case_id: str) -> None:
    """Rows and marks, as `pipelines.purging` destroys and lays them."""
    key, forms = searched_forms(world.workspace, case_id)
    with world.database.transaction() as session:
        lines = case_records(session, case_id)
        gone = [line.record_id for line in lines if line.decision == "erase"]
        before = renewal.before_redaction(session, case_id, [r.record_id for r in lines if r.decision == "redact"])
        bury(session, case_id=case_id, record_ids=gone, forms=forms, keyring=world.keyring, on=NOW.date())
        bury_contents(session, [row.given_hmac for row in before], case_id=case_id, on=NOW.date())
        renewal.forget_superseded(session, [(row.record_id, row.content_hmac) for row in before])
        forget_rows(session, case_id=case_id, subject_key=key, record_ids=gone)
        case = CaseFile(session, case_id)
        for step in (Stage.EXECUTING, Stage.VERIFYING):
            case.advance(step, now=NOW)
        case.evidence_ready("e1", now=NOW)
        case.approve_purge(actor=DANA, digest="e1", now=NOW)
        case.purged(now=NOW)


def test_who_is_purged_meanwhile_does_not_come_back_with_the_old_findings(world: World) -> None:
    """Cleo's mention was a constant from the start, so her purge leaves the record as it is, and unlinks it."""
    world.register(CLEO)
    (other,) = world.ingest(row(f"{mentions(ANN)} lent the lamp to {mentions(CLEO)}.", BOB, given_id="2"))
    world.register(ANN, BOB)
    case_id = contained(world, ANN)
    purge(world, contained(world, CLEO))
    with world.database.reader() as session:
        (old,) = session.exec(select(SupersededRow)).all()
        assert world.key(CLEO) not in repr(old.aftermath), "LAW her key is in no row any more"
    withdraw(world, case_id)
    now = everything(world)
    assert NAMES[ANN] in text(world, other)
    assert world.key(CLEO) not in repr(now)
    assert [(f["id"], f["value_hmac"], f["action"]) for f in now["findings"]] == [([], "", "redact")]  # type: ignore[attr-defined]


def test_a_text_that_speaks_of_somebody_erased_meanwhile_does_not_come_back(late) -> None:
    """Ann and Dora share an address: what was taken out for Ann would have been Dora's as well."""
    world, _, other = late
    case_id = contained(world, ANN)
    redacted = text(world, other)
    with world.database.transaction() as session:
        shared = [f for f in load_forms(session, world.keystore, world.key(ANN)) if f.kind == "name"]
        bury(session, case_id="case-d", record_ids=[], forms=shared, keyring=world.keyring, on=NOW.date())
    withdraw(world, case_id)
    assert text(world, other) == redacted
    with world.database.reader() as session:
        assert renewal.superseded(session, "redacted") == (), "nor does anybody keep it"
    shred_old_texts(world.workspace)
    assert world.keystore.holding([record_key(other)]) == set()


def test_a_text_that_was_erased_meanwhile_does_not_come_back(late) -> None:
    """Another record said the same, and was somebody's who was erased."""
    world, _, other = late
    with world.database.reader() as session:
        given = session.get_one(RecordRow, other).given_hmac
    case_id = contained(world, ANN)
    redacted = text(world, other)
    with world.database.transaction() as session:
        session.add(TombstoneRow(kind="content", hmac=given, case_id="case-d", keep_until=date(2031, 1, 1)))
    withdraw(world, case_id)
    assert text(world, other) == redacted


def test_what_an_earlier_case_could_not_take_back_goes_with_the_next_purge_of_the_person(late) -> None:
    world, own, other = late
    first, second = approved(world, ANN), approved(world, CLEO)
    contain(world, first)
    contain(world, second)
    withdraw(world, first)
    again = contained(world, ANN)
    with world.database.reader() as session:
        lines = {line.record_id: line.decision for line in case_records(session, again)}
    assert lines == {own: "erase", other: "redact"}, "LAW the old text lies sealed, so the record is in the closure"
    purge(world, again)
    with world.database.reader() as session:
        kept = {row.by for row in session.exec(select(SupersededRow)).all()}
    assert kept == {second}
    withdraw(world, second)
    assert NAMES[ANN] not in text(world, other)
