"""Nearly the same text as an erased record: refused to its subject, held back from everybody else, and from nobody's next letter."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import pytest
from lineage_world import ANN, BOB, CLEO, DEFAULT, FORMS, NOW, STRICT, Scans, World, row

from lineage import journal, tombstones
from lineage.admit import Decision, Gate, examine
from lineage.catalog import Judged
from lineage.errors import NotAcceptable
from lineage.identity import identify
from lineage.near_tombstones import NearGuard, held_back, lay_near, near_marks
from lineage.nearness import TAG_BYTES, word_tags
from lineage.records import PlainText, RawRecord
from lineage.register import RegisterForm, RegisterIndex
from lineage.replay import erasures
from lineage.rescanned import still_near_erased
from lineage.subjects import load_suppression
from lineage.tables import NearTombstoneRow, QuarantineRow

CASE, UNTIL = "case-00000001", date(2031, 1, 31)
NAME = FORMS[ANN]["name"]
STORY = (
    "On Sunday the violet kettle whistled until the neighbours in the attic knocked, and then its handle fell into the "
    f"marmalade, which nobody had expected of a kettle bought in Lisbon, says {NAME}"
)
CHANGED = STORY.replace("Sunday", "Friday").replace("Lisbon", "Porto")


def judged(world: World, raw: RawRecord) -> Judged:
    """As the gate judges it now: an erased person's forms are constants."""
    with world.database.reader() as session:
        gate = Gate(Scans(), RegisterIndex([]), load_suppression(session, world.keyring), DEFAULT, STRICT)
    identity = identify(raw, world.keyring)
    return Judged(raw, identity, examine(gate, raw.content, declared=identity.declared))


def guard(world: World) -> NearGuard:
    with world.database.reader() as session:
        return NearGuard.of(session, world.keyring, DEFAULT.near)


def marks(world: World, *record_ids: str) -> tuple[journal.NearMark, ...]:
    with world.database.reader() as session:
        return near_marks(world.workspace, session, CASE, record_ids)


def whose(world: World, text: str, person: str) -> str | None:
    return guard(world).whose(judged(world, row(text, person)))


@pytest.fixture
def erased(world: World) -> World:
    """Ann's story is gone, and she is on the suppression list."""
    world.register(ANN)
    (mine,) = world.ingest(row(STORY, ANN))
    with world.database.transaction() as session:
        lay_near(session, near_marks(world.workspace, session, CASE, [mine]), case_id=CASE, until=UNTIL)
        from lineage.subjects import load_forms

        forms = load_forms(session, world.keystore, world.key(ANN))
        tombstones.bury(
            session, case_id=CASE, record_ids=[mine], forms=forms, keyring=world.keyring, on=date(2026, 1, 31)
        )
    return world


def test_a_near_copy_is_refused_to_its_subject_and_held_back_from_anybody_else(erased: World) -> None:
    batch = [judged(erased, row(CHANGED, person)) for person in (ANN, BOB)]
    batch += [judged(erased, row(CHANGED)), judged(erased, row("The lamp works again, thank you.", BOB))]
    going, refused = guard(erased).sift(batch)
    assert refused == [batch[0]]
    assert [(item.decision.verdict, item.decision.reason) for item in going[:2]] == [("quarantine", "near_erased")] * 2
    assert going[2] == batch[3]


def test_names_that_are_constants_by_now_hide_no_copy(erased: World) -> None:
    item = judged(erased, row(STORY.replace("Sunday", "Friday"), BOB))
    assert NAME not in item.decision.content.segments()[0]
    assert guard(erased).whose(item) == "other"
    redacted = row(item.decision.content.segments()[0], BOB)
    assert guard(erased).whose(judged(erased, redacted)) == "other"


@pytest.mark.parametrize("kept_with", ["names", "constants"])
def test_of_a_text_that_is_mostly_names_each_spelling_tells_a_copy(world: World, kept_with: str) -> None:
    """What was erased may have held the names or constants, and so may what comes: one of the two texts is like it.

    The key is another in each run, so a similarity must be far from the threshold: 7 of 8 words are 7 standard errors off.
    """
    text = f"{NAME}, {FORMS[ANN]['email']}, {FORMS[ANN]['account']}: violet kettle, attic, Lisbon."
    if kept_with == "constants":
        world.register(ANN)
    (mine,) = world.ingest(row(text, BOB))
    with world.database.transaction() as session:
        lay_near(session, near_marks(world.workspace, session, CASE, [mine]), case_id=CASE, until=UNTIL)
        forms = [RegisterForm(world.key(ANN), kind, value) for kind, value in FORMS[ANN].items()]
        tombstones.bury(
            session, case_id=CASE, record_ids=[mine], forms=forms, keyring=world.keyring, on=date(2026, 1, 31)
        )
    item = judged(world, row(f"{text} Again!", CLEO))
    assert guard(world).whose(item) == "other"
    raw = replace(item, decision=replace(item.decision, content=item.raw.content))
    gated = replace(item, raw=replace(item.raw, content=item.decision.content))
    same, other = (raw, gated) if kept_with == "names" else (gated, raw)
    assert (guard(world).whose(same), guard(world).whose(other)) == ("other", None)


def test_what_the_person_says_next_is_no_copy(erased: World) -> None:
    """LAW a name and an address are specific, and stand in whatever the person says later."""
    assert whose(erased, f"I am {NAME}, I have come back and I would like to order a lamp.", ANN) is None


def test_a_long_text_that_quotes_a_copy_is_none(erased: World) -> None:
    """Every specific word stands in it, and yet the two say different things."""
    much_else = " ".join(f"word{number}" for number in range(60))
    assert whose(erased, f"{STORY} {much_else}", ANN) is None
    assert whose(erased, STORY, ANN) == "own"


def test_somebody_else_on_the_same_template_is_no_copy(world: World) -> None:
    people = (ANN, BOB, CLEO, "C-1004")
    names = ("Ada Maria Nordqvist", "Bo Ostrander", "Cy Quistgaard", "Di Vastergaard")
    texts = [f"I am {name}. {STORY}" for name in names]
    ids = world.ingest(*(row(text, person) for text, person in zip(texts, people, strict=True)))
    from lineage.nearness import Near, save_found

    with world.database.transaction() as session:
        words = Near.of(session, world.keyring, DEFAULT.near).reader()
        for record_id, text in zip(ids, texts, strict=True):
            words.read(record_id, PlainText(text))
        save_found(session, words.around(ids[:1]), ids[:1])
        lay_near(session, near_marks(world.workspace, session, CASE, ids[:1]), case_id=CASE, until=UNTIL)
    assert whose(world, f"I am Ed Lindqvist. {STORY}", "C-1005") is None
    assert whose(world, f"I am Ada Sofia Lindqvist. {STORY}", "C-1005") is None, "one of three words is less than half"
    assert whose(world, texts[0].replace("violet", "yellow"), "C-1005") == "other"


def test_a_record_that_nothing_tells_from_others_leaves_no_sketch(world: World) -> None:
    (only,) = world.ingest(row("Hello!", ANN))
    assert marks(world, only) == ()


def test_a_sketch_is_keyed_small_and_says_how_many_words_it_rests_on(world: World) -> None:
    many = " ".join(f"word{number}" for number in range(500))
    short, long = world.ingest(row(STORY, ANN), row(many, ANN))
    (one, other) = sorted(marks(world, short, long), key=lambda mark: mark[2])
    tags = word_tags(PlainText(STORY), world.keyring.derive("near"))
    assert (one[2], other[2]) == (len(tags), 500)
    assert len(bytes.fromhex(other[3])) == 2 + 64 * 3 + 128
    assert {int(one[3][4 + 6 * at : 10 + 6 * at], 16) for at in range(one[2])} == {tag >> 8 for tag in tags}
    assert TAG_BYTES == 4
    assert world.key(ANN) not in str(one)


@pytest.mark.parametrize("sketch", [b"", b"\x02\x00" + bytes(128), b"\x01\x02" + bytes(3 + 128)])
def test_a_sketch_that_cannot_be_read_closes_the_ingest(world: World, sketch: bytes) -> None:
    with world.database.transaction() as session:
        session.add(
            NearTombstoneRow(case_id=CASE, handle="h", subject_hmac="", words=2, sketch=sketch, keep_until=UNTIL)
        )
    with pytest.raises(NotAcceptable, match="near tombstone"):
        guard(world)


def test_the_journal_brings_them_back(world: World) -> None:
    """A restored backup knows nothing of the purge; what its replay lays is what the purge had laid."""
    (mine,) = world.ingest(row(STORY, ANN))
    entry = journal.Entry(
        CASE, "p1", NOW.isoformat(), (mine,), world.key(ANN), near=marks(world, mine), kind=journal.BEGUN
    )
    journal.append(world.journal, entry)
    journal.append(world.journal, journal.Entry(CASE, "p1", NOW.isoformat(), kind=journal.DESTROYED))
    (told,) = erasures(world.journal)
    with world.database.transaction() as session:
        assert tombstones.lay_again(session, told.marks, case_id=CASE, on=date(2026, 1, 31))["tombstones"] == 1
        assert tombstones.lay_again(session, told.marks, case_id=CASE, on=date(2026, 1, 31))["tombstones"] == 0
    (row_,) = world.rows(NearTombstoneRow)
    assert row_.keep_until == tombstones.kept_until(date(2026, 1, 31))
    assert (whose(world, CHANGED, ANN), whose(world, CHANGED, BOB)) == ("own", "other")


def test_who_was_let_in_again_has_no_near_tombstone_to_be_brought_back(world: World) -> None:
    (mine,) = world.ingest(row(STORY, ANN))
    for kind in (journal.BEGUN, journal.LIFTED):
        near = marks(world, mine) if kind == journal.BEGUN else ()
        journal.append(world.journal, journal.Entry(CASE, "p1", NOW.isoformat(), (mine,), near=near, kind=kind))
    (told,) = erasures(world.journal)
    assert told.marks.near == ()


def test_a_policy_does_not_free_what_waits_as_a_near_copy(world: World) -> None:
    (waits,) = world.ingest(row("A quagga.", BOB), scanner=Scans({"quagga": "ODD"}))
    with world.database.transaction() as session:
        clean = judged(world, row("A quagga.", BOB)).decision
        assert still_near_erased(session, waits, clean) == clean
        session.get_one(QuarantineRow, waits).reason = "near_erased"
        session.flush()
        found = still_near_erased(session, waits, clean)
    assert (found.verdict, found.reason) == ("quarantine", "near_erased")


def test_what_is_blocked_or_unread_stays_so_for_that_reason() -> None:
    clean = Decision("allow", "clean", (), PlainText("x"))
    assert held_back(clean).reason == "near_erased"
    for decision in (
        replace(clean, verdict="block", reason="blocked_identifier"),
        replace(clean, verdict="quarantine", reason="scan_failed"),
    ):
        assert held_back(decision) == decision
