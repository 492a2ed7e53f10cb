"""What follows for one record when the policy changed: the whole table, and who may say so."""

from __future__ import annotations

import itertools
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lineage_world import (
    ANN,
    DANA,
    DEFAULT,
    INES,
    MILO,
    NOW,
    STRICT,
    Scans,
    World,
    after,
    digest,
    record_training,
    row,
)  # fmt: skip
from sqlmodel import Session

from lineage import rescan
from lineage.admit import Gate, examine
from lineage.catalog import GateStamp, contents_of
from lineage.comparison import GRAVEST_FIRST, comparison
from lineage.errors import RefusedByRule, WrongUsage
from lineage.plans import TRUNK
from lineage.register import RegisterIndex
from lineage.rescan import Line, Outcome, Rules, Was, outcome
from lineage.rescanned import Held, line_of, put_new_decision
from lineage.subjects import load_suppression
from lineage.tables import RecordRow, RescanRecordRow
from pipelines.cli.gate_rescan import MEANING

VERDICTS = ("allow", "redact", "quarantine", "block")
RULES = Rules("p", "s", "r")
WAS = [Was(*flags) for flags in itertools.product((True, False), repeat=4)]


@pytest.mark.parametrize(
    ("was", "verdict", "changed", "expected"),
    [
        (Was(admitted=True, learnt=True), "allow", False, "keep"),
        (Was(admitted=True, learnt=True), "redact", True, "redact"),
        (Was(admitted=True, learnt=True), "allow", True, "redact"),  # it may leave the trunk with the same text
        (Was(admitted=True, learnt=True), "quarantine", False, "withdraw"),
        (Was(admitted=True, learnt=True), "block", True, "withdraw"),
        (Was(admitted=True, learnt=False), "quarantine", False, "quarantine"),
        (Was(admitted=True, learnt=False), "block", False, "block"),
        (Was(admitted=False, learnt=False), "allow", False, "admit"),
        (Was(admitted=False, learnt=False), "redact", True, "admit"),
        (Was(admitted=False, learnt=False), "quarantine", True, "wait"),
        (Was(admitted=False, learnt=False), "block", False, "block"),
        (Was(admitted=True, learnt=True, released_as_seen=True), "quarantine", False, "keep"),
        (Was(admitted=True, learnt=True, released_as_seen=True), "block", False, "withdraw"),
        (Was(admitted=True, learnt=True, locked=True), "quarantine", False, "locked"),
        (Was(admitted=True, learnt=True, locked=True), "allow", False, "keep"),
    ],
)
def test_the_table(was, verdict, changed, expected):
    assert outcome(was, verdict, changed=changed) == expected


@given(st.sampled_from(WAS), st.sampled_from(VERDICTS), st.booleans())
def test_nothing_that_is_stopped_goes_on_being_learnt_unless_a_human_saw_it(was, verdict, changed):
    found = outcome(was, verdict, changed=changed)
    if was.admitted and verdict in ("quarantine", "block") and not was.released_as_seen:
        assert found in ("withdraw", "quarantine", "block", "locked")
    if verdict == "block":
        assert found in ("withdraw", "block", "locked")
    assert not (found == "withdraw" and not was.learnt)


def test_every_outcome_has_its_place_and_its_words() -> None:
    assert set(GRAVEST_FIRST) == set(MEANING) == set(get_args(Outcome))


def compared(world: World, *outcomes: str) -> str:
    """A finished comparison, one record a given outcome."""
    ids = world.ingest(*(row(f"Lamp {i}.", ANN, given_id=str(i)) for i, _ in enumerate(outcomes)))
    with world.database.transaction() as session:
        rescan_id = rescan.open_rescan(session, RULES, now=NOW)
        rows = {i: session.get_one(RecordRow, i) for i in ids}
        lines = [
            Line(i, "tickets", "admitted", "allow", "clean", o, rows[i].content_hmac, rows[i].content_hmac)
            for i, o in zip(ids, outcomes, strict=True)
        ]
        rescan.add_lines(session, rescan_id, lines)
        rescan.finish_comparison(session, rescan_id, now=NOW)
    return rescan_id


def test_an_approval_is_bound_to_what_was_read_and_to_who_may(world: World):
    rescan_id = compared(world, "keep", "withdraw")
    with world.database.transaction() as session:
        read = comparison(session, rescan_id)
        assert read.outcomes == {"keep": 1, "withdraw": 1}
        assert [line.outcome for line in read.lines] == ["withdraw", "keep"], "the gravest first"
        with pytest.raises(RefusedByRule, match="Only the role"):
            rescan.approve(session, read.digest, actor=INES, rules=RULES, now=NOW)
        with pytest.raises(RefusedByRule, match="not the digest"):
            rescan.approve(session, digest("other"), actor=MILO, rules=RULES, now=NOW)
        for changed in (Rules("q", "s", "r"), Rules("p", "t", "r"), Rules("p", "s", "q")):
            with pytest.raises(RefusedByRule, match="changed since"):
                rescan.approve(session, read.digest, actor=MILO, rules=changed, now=NOW)
        assert rescan.approve(session, read.digest, actor=MILO, rules=RULES, now=NOW) == rescan_id
        assert rescan.approve(session, read.digest, actor=DANA, rules=RULES, now=NOW) == rescan_id, "again: nothing"
        assert comparison(session, rescan_id).approved_by == "milo"


@pytest.mark.parametrize("change", ["status", "content_hmac", "restricted_by", "new"])
def test_a_record_that_moved_makes_the_comparison_stale(world: World, change: str):
    rescan_id = compared(world, "keep")
    if change == "new":
        world.ingest(row("Another lamp.", ANN, given_id="new"))
    with world.database.transaction() as session:
        if change != "new":
            (record_id,) = rescan.todo(session, rescan_id, "keep")
            setattr(session.get_one(RecordRow, record_id), change, "quarantined" if change == "status" else "moved")
        session.flush()
        with pytest.raises(RefusedByRule, match="Records changed"):
            rescan.approve(session, comparison(session, rescan_id).digest, actor=MILO, rules=RULES, now=NOW)


@pytest.mark.parametrize(
    ("said", "stale"), [("quarantine", True), ("block", True), ("withdraw", False), ("keep", False)]
)
def test_what_was_learnt_since_makes_the_comparison_stale_that_would_only_stop_it(world: World, said: str, stale: bool):
    """To stop it would leave it in the weights, with no case that takes it out."""
    rescan_id = compared(world, said)
    (record_id,) = (record.id for record in world.rows(RecordRow))
    record_training(world, {(TRUNK, 0): [], (0, 0): [record_id]})
    with world.database.transaction() as session:
        read = comparison(session, rescan_id).digest
        if not stale:
            assert rescan.approve(session, read, actor=MILO, rules=RULES, now=NOW) == rescan_id
            return
        with pytest.raises(RefusedByRule, match="Records changed"):
            rescan.approve(session, read, actor=MILO, rules=RULES, now=NOW)


@pytest.mark.parametrize(("learnt_since", "status"), [(False, "quarantined"), (True, "admitted")])
def test_a_line_is_carried_out_only_if_it_would_be_the_same_today(world: World, learnt_since: bool, status: str):
    """The training ended after the approval: the record stays as it is, under its old stamp, for the next rescan."""
    (record_id,) = world.ingest(row("One quagga.", ANN, given_id="1"))
    with world.database.transaction() as session:
        rescan_id = rescan.open_rescan(session, RULES, now=NOW)
        (held,) = judged_again(world, session, record_id, Scans({"quagga": "ODD"}))
        line = line_of(session, held, learnt=False, locked=False, keyring=world.keyring)
        assert line.outcome == "quarantine"
        rescan.add_lines(session, rescan_id, [line])
    if learnt_since:
        record_training(world, {(TRUNK, 0): [], (0, 0): [record_id]})
    with world.database.transaction() as session:
        stamp = GateStamp(rescan_id, 0, "new policy", "s", NOW)
        put_new_decision(session, [held], stamp=stamp, keyring=world.keyring, keystore=world.keystore)
    assert [record.status for record in world.rows(RecordRow)] == [status]
    assert [line.done for line in world.rows(RescanRecordRow)] == [not learnt_since]


def judged_again(world: World, session: Session, record_id: str, scanner: Scans) -> list[Held]:
    """A held record and what a gate with another scanner says of it."""
    gate = Gate(scanner, RegisterIndex([]), load_suppression(session, world.keyring), DEFAULT, STRICT)
    (record,) = contents_of(session, [record_id], keystore=world.keystore)
    return [(session.get_one(RecordRow, record_id), record, examine(gate, record.content, declared=[]))]


def test_a_comparison_under_other_rules_gives_way_and_one_under_the_same_goes_on(world: World):
    with world.database.transaction() as session:
        with pytest.raises(WrongUsage, match="No comparison"):
            rescan.approve(session, "", actor=MILO, rules=RULES, now=NOW)
        first = rescan.open_rescan(session, RULES, now=NOW)
        assert rescan.open_rescan(session, RULES, now=after(hours=1)) == first
        other = rescan.open_rescan(session, Rules("q", "s", "r"), now=after(hours=2))
        assert other != first
    finished = compared(world, "keep")
    with world.database.transaction() as session:
        assert rescan.open_rescan(session, RULES, now=after(hours=3)) != finished, "it was not applied"
    assert world.rows(RescanRecordRow) == []


def test_the_digest_covers_every_line(world: World):
    digests = set()
    for number, outcomes in enumerate((("keep", "keep"), ("keep", "withdraw"), ("withdraw", "keep"), ("keep", "keep"))):
        with world.database.transaction() as session:
            rescan.open_rescan(session, Rules(f"other {number}", "s", "r"), now=NOW)
        rescan_id = compared(world, *outcomes)
        with world.database.reader() as session:
            digests.add(comparison(session, rescan_id).digest)
    assert len(digests) == 3
