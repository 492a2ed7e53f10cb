"""Destroy: exactly what descends from the person goes, no row names them any more, and they cannot come back."""

from __future__ import annotations

from datetime import date

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from lineage_world import (
    ANN,
    BOB,
    CLEO,
    FORMS,
    NOW,
    World,
    after,
    composed,
    digest,
    filing_dates,
    members,
    recipe,
    record_training,
    row,
    state,
)
from sqlmodel import Session, SQLModel, delete, select, update

from lineage import builds, purge, tombstones
from lineage.access import Actor, Role
from lineage.case import CaseFile, Filing, file_request
from lineage.closure import find_closure
from lineage.cues import cues_of
from lineage.database import Database, open_engine
from lineage.evidence import save_closure
from lineage.forms import normal_forms
from lineage.manifests import packed
from lineage.plans import TRUNK
from lineage.records import Chat
from lineage.register import RegisterForm
from lineage.subjects import find_subject, forms_without_cues, load_forms, load_suppression
from lineage.suppression import SuppressionList
from lineage.tables import (
    CaseRecordRow,
    CaseRow,
    ComposedAdapterRow,
    CueRow,
    FindingRow,
    FindingSubjectRow,
    NearEdgeRow,
    RecordRow,
    RecordSubjectRow,
    ReleaseRow,
    ShardAdapterRow,
    SliceManifestRow,
    StateRow,
    SuppressionRow,
    TombstoneRow,
)  # fmt: skip
from lineage.vault import Shredded

NAME = FORMS[ANN]["name"]
CASE = "case-00000001"
INTAKE, DPO = Actor("ines", Role.INTAKE), Actor("dana", Role.DPO)


class Erasure:
    """Ann's records and what hangs on them, in a world where Bob and Cleo stay."""

    def __init__(self, world: World) -> None:
        self.world, self.key = world, world.key(ANN)
        world.register(ANN, BOB, CLEO)
        ids = world.ingest(
            row(f"{NAME} asks about a lamp.", ANN, given_id="1"), row("My lamp is broken.", ANN, given_id="2"),
            row(f"I met {NAME}, ACC-7741-2290, today.", BOB, given_id="3"), row("A quiet day.", BOB, given_id="4"),
            row("Derived words.", CLEO, given_id="5", parents=["1"]), row("The shop opens at nine.", given_id="6"),
        )  # fmt: skip
        self.mine, self.derived, self.mentions = [ids[0], ids[1]], ids[4], ids[2]
        self.others = [ids[2], ids[3], ids[5]]
        record_training(world, {(TRUNK, 0): [ids[5]], (0, 0): [ids[3]], (0, 1): [ids[0]], (0, 2): [ids[2]], (1, 0): [ids[1], ids[4]], (2, 0): []})  # fmt: skip
        self.near = [tuple(sorted(pair)) for pair in ((ids[0], ids[3]), (ids[1], ids[5]), (ids[3], ids[5]))]
        with world.database.transaction() as session:
            session.add_all(NearEdgeRow(a=a, b=b, similarity=0.9) for a, b in self.near)
            self.file(session, "case-00000000")
            CaseFile(session, "case-00000000").refuse(actor=DPO, reason="not now", now=NOW)
            self.file(session, CASE)
            self.forms = load_forms(session, world.keystore, self.key)
            closure = find_closure(session, self.key, self.forms, keystore=world.keystore)
            for case_id in ("case-00000000", CASE):
                save_closure(session, case_id, closure, world.keyring)
        self.erased = list(closure.erased_ids)
        assert set(self.erased) == {*self.mine, self.derived}

    def file(self, session: Session, case_id: str) -> None:
        filing = Filing(case_id, self.key, b"sealed", "b", "portal", **filing_dates())
        file_request(session, filing, actor=INTAKE, now=NOW)

    def bury(self) -> dict[str, int]:
        with self.world.database.transaction() as session:
            return tombstones.bury(
                session, case_id=CASE, record_ids=self.erased, forms=self.forms, keyring=self.world.keyring,
                on=date(2026, 2, 28),
            )  # fmt: skip

    def forget(self) -> dict[str, int]:
        with self.world.database.transaction() as session:
            return purge.forget_rows(session, case_id=CASE, subject_key=self.key, record_ids=self.erased)

    def end_case(self) -> None:
        """What `CaseFile.purged` does at the end of the road."""
        with self.world.database.transaction() as session:
            case = session.get_one(CaseRow, CASE)
            case.stage = "PURGE_APPROVED"
            CaseFile(session, CASE).purged(now=NOW)

    def dump(self) -> str:
        with self.world.database.engine.connect() as connection:
            return "\n".join(connection.connection.dbapi_connection.iterdump())


@pytest.fixture
def erasure(world: World) -> Erasure:
    return Erasure(world)


def test_a_person_who_stays_known_keeps_register_mentions_and_earlier_cases(erasure: Erasure) -> None:
    """Consent alone was withdrawn: the records go, the person does not."""
    with erasure.world.database.transaction() as session:
        before = len(load_forms(session, erasure.world.keystore, erasure.key))
        assert purge.earlier_cases(session, CASE, None) == []
        purge.forget_rows(session, case_id=CASE, subject_key=None, record_ids=erasure.erased)
        assert len(load_forms(session, erasure.world.keystore, erasure.key)) == before > 0
        assert session.get(CaseRow, "case-00000000").subject_key == erasure.key
    assert {r.id for r in erasure.world.rows(RecordRow)} == set(erasure.others)
    assert erasure.key in {r.subject_key for r in erasure.world.rows(RecordSubjectRow)}


# --- weights --------------------------------------------------------------------------------------------------------------


def doomed_by(world: World, *record_ids: str) -> purge.Tainted:
    with world.database.reader() as session:
        return purge.tainted(session, record_ids)


def test_tainted_are_the_state_and_its_suffix_and_nothing_else(erasure: Erasure) -> None:
    found = doomed_by(erasure.world, erasure.mine[0])
    assert set(found.states) == {state(0, 1), state(0, 2)}
    assert found.shard_adapters == (digest("adapter 0"),)
    assert found.composed_adapters == (composed(),)


def test_a_record_of_the_trunk_taints_everything_and_an_untrained_one_nothing(erasure: Erasure) -> None:
    everything = doomed_by(erasure.world, erasure.others[2])
    assert len(everything.states) == len(erasure.world.rows(StateRow)) == 6
    assert len(everything.shard_adapters) == 3
    assert doomed_by(erasure.world, digest("never trained")) == purge.Tainted((), (), ())


def test_a_state_with_the_same_bytes_as_a_clean_one_stays(erasure: Erasure) -> None:
    with erasure.world.database.transaction() as session:
        clean = session.get_one(StateRow, recipe(2, 0))
        clean.state_digest = state(0, 2)
    assert set(doomed_by(erasure.world, erasure.mine[0]).states) == {state(0, 1)}


def test_destroying_weights_is_safe_to_repeat_and_spares_the_others(erasure: Erasure) -> None:
    store, doomed = erasure.world.store, doomed_by(erasure.world, *erasure.erased)
    assert purge.destroy_weights(store, doomed) == {"states": 3, "shard_adapters": 2, "composed_adapters": 1}
    assert purge.destroy_weights(store, doomed) == {"states": 0, "shard_adapters": 0, "composed_adapters": 0}
    assert store.digests("states") == {state(TRUNK, 0), state(0, 0), state(2, 0)}
    assert store.digests("adapters") == {digest("adapter 2")}


def test_what_was_destroyed_is_marked_and_withdrawn_once(erasure: Erasure) -> None:
    world, doomed = erasure.world, doomed_by(erasure.world, *erasure.erased)
    for hour in (1, 2):
        with world.database.transaction() as session:
            purge.mark_destroyed(session, doomed, erasure.erased, after(hours=hour))
    gone = {row.recipe_digest: row.destroyed_at for row in world.rows(StateRow) if row.destroyed_at}
    assert gone == dict.fromkeys([recipe(0, 1), recipe(0, 2), recipe(1, 0)], after(hours=1))
    assert {a.shard for a in world.rows(ShardAdapterRow) if a.destroyed_at} == {0, 1}
    assert [c.destroyed_at for c in world.rows(ComposedAdapterRow)] == [after(hours=1)]
    assert [r.withdrawn_at for r in world.rows(ReleaseRow)] == [after(hours=1)]
    with world.database.reader() as session:
        assert builds.current_release(session, "support") is None
        assert builds.find_state(session, recipe(0, 1)) is None
        assert builds.find_state(session, recipe(0, 0))


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    parents=st.lists(st.integers(-1, 8), min_size=1, max_size=9),
    held=st.lists(st.sets(st.sampled_from("abc"), max_size=2), min_size=9, max_size=9),
    erased=st.sets(st.sampled_from("abc"), max_size=2),
)
def test_tainted_is_exactly_the_descendants(parents: list[int], held: list[set[str]], erased: set[str]) -> None:
    """Any forest of states: a state is tainted if and only if it or an ancestor was trained on an erased record."""
    parents = [parent if parent < i else -1 for i, parent in enumerate(parents)]
    database = Database(open_engine("sqlite://"))
    with database.transaction() as session:
        SQLModel.metadata.create_all(session.connection())
        for i, parent in enumerate(parents):
            session.add(
                SliceManifestRow(
                    digest=f"m{i}",
                    adapter="a",
                    plan_digest="p",
                    shard=0,
                    slice=i,
                    records=0,
                    merkle_root="",
                    members=packed(members(*held[i])),
                )
            )
            session.add(
                StateRow(
                    recipe_digest=f"r{i}", state_digest=f"s{i}", adapter="a", plan_digest="p", shard=0, slice=i,
                    parent_recipe=f"r{parent}" if parent >= 0 else None, manifest_digest=f"m{i}", fingerprint_digest="",
                    steps=0, tokens=0, seconds=0, built_at=NOW,
                )
            )  # fmt: skip
        session.flush()
        found = purge.tainted(session, [digest(name) for name in erased])

    def descends(i: int) -> bool:
        return bool(held[i] & erased) or (parents[i] >= 0 and descends(parents[i]))

    assert set(found.states) == {f"s{i}" for i in range(len(parents)) if descends(i)}


# --- rows -----------------------------------------------------------------------------------------------------------------


def test_no_table_holds_the_subject_or_a_record_of_the_closure(erasure: Erasure) -> None:
    """Every column of every table is searched, those of other cases included."""
    assert erasure.key in erasure.dump()
    erasure.bury()
    counts = erasure.forget()
    erasure.end_case()
    left = erasure.dump()
    assert erasure.key not in left
    assert not [r for r in erasure.erased if r in left]
    assert (counts["record"], counts["subject"], counts["vault"], counts["register_form"]) == (3, 1, 3, 3)


def test_other_people_keep_everything(erasure: Erasure) -> None:
    world = erasure.world
    erasure.forget()
    assert {r.id for r in world.rows(RecordRow)} == set(erasure.others)
    with world.database.reader() as session:
        assert find_subject(session, FORMS[BOB]["email"], world.keyring) == world.key(BOB)
        assert find_subject(session, FORMS[ANN]["email"], world.keyring) is None
        assert find_subject(session, ANN, world.keyring) is None
        from lineage.catalog import training_contents

        contents = training_contents(session, erasure.others, keystore=world.keystore)
    assert not any(isinstance(c.content, Chat) for c in contents)
    assert len(contents) == 3
    assert [(edge.a, edge.b) for edge in world.rows(NearEdgeRow)] == erasure.near[2:], "of a pair, neither end is left"


def test_findings_of_the_person_in_records_of_others_lose_their_value(erasure: Erasure) -> None:
    world = erasure.world
    linked = {f.finding_id for f in world.rows(FindingSubjectRow) if f.subject_key == erasure.key}
    before = {f.id: f for f in world.rows(FindingRow) if f.record_id == erasure.mentions}
    assert len(linked & set(before)) == 2
    erasure.forget()
    after_ = {f.id: f for f in world.rows(FindingRow)}
    assert all(
        after_[i].value_hmac == "" and after_[i].span_start == before[i].span_start for i in linked & set(before)
    )
    assert not [f for f in world.rows(FindingSubjectRow) if f.subject_key == erasure.key]
    assert all(f.value_hmac for i, f in after_.items() if i not in linked)


def test_cases_keep_their_handles_only(erasure: Erasure) -> None:
    handles = {(r.case_id, r.handle) for r in erasure.world.rows(CaseRecordRow)}
    with erasure.world.database.reader() as session:
        assert purge.earlier_cases(session, CASE, erasure.key) == ["case-00000000"], "its sealed identifiers go too"
    erasure.forget()
    with erasure.world.database.reader() as session:
        assert purge.earlier_cases(session, CASE, erasure.key) == []
    rows = erasure.world.rows(CaseRecordRow)
    assert {(r.case_id, r.handle) for r in rows} == handles
    assert [r.record_id for r in rows if r.record_id] == [erasure.mentions], "an earlier case still lists what stays"
    earlier = next(c for c in erasure.world.rows(CaseRow) if c.id == "case-00000000")
    assert (earlier.subject_key, earlier.supplied) == (None, None)


def test_forgetting_is_safe_to_repeat(erasure: Erasure) -> None:
    erasure.forget()
    before = erasure.dump()
    assert set(erasure.forget().values()) == {0}
    assert erasure.dump() == before


# --- they cannot come back ---------------------------------------------------------------------------------------------------


def test_tombstones_keep_the_records_out(erasure: Erasure) -> None:
    world = erasure.world
    assert erasure.bury() == {"tombstones": 6, "suppressed_forms": len(world.rows(SuppressionRow))}
    assert erasure.bury() == {"tombstones": 0, "suppressed_forms": 0}
    erasure.forget()
    for again in (
        row(f"{NAME} asks about a lamp.", ANN, given_id="1"), row("Other words.", ANN, given_id="1"),
        row("My lamp is broken.", CLEO, given_id="77"), row("My lamp is broken.", source="elsewhere"),
    ):  # fmt: skip
        (record_id,), held = world.ingest_reporting(again)
        assert held == {record_id: "erased"}
    (fresh,), held = world.ingest_reporting(row("My lamp is whole.", CLEO, given_id="78"))
    assert not held
    assert fresh in {r.id for r in world.rows(RecordRow)}
    assert {t.keep_until for t in world.rows(TombstoneRow)} == {date(2031, 2, 28)}


def test_the_person_is_still_recognised_without_being_known(erasure: Erasure) -> None:
    world = erasure.world
    erasure.bury()
    erasure.forget()
    world.keystore.shred([f"subject:{erasure.key}"])
    with world.database.reader() as session:
        suppressed = load_suppression(session, world.keyring)
    for form in FORMS[ANN].values():
        assert suppressed.link(f"about {form} again")
    assert not suppressed.link("about Bertram Ostrander")
    (record_id,) = world.ingest(row(f"I met {NAME} again.", BOB, given_id="90"))
    found = [f for f in world.rows(FindingRow) if f.record_id == record_id]
    assert [f.action for f in found] == ["redact"]


def test_cues_stand_apart_from_the_forms_and_say_where_to_look(erasure: Erasure) -> None:
    world = erasure.world
    erasure.bury()
    suppressed, cues = world.rows(SuppressionRow), world.rows(CueRow)
    assert all(row.cued for row in suppressed)
    assert {row.keep_until for row in cues} == {date(2031, 2, 28)}
    assert 0 < len(cues) < len(suppressed), "an e-mail address has none"
    assert set(CueRow.model_fields) == {"tag", "keep_until"}
    erasure.bury()
    assert world.rows(CueRow) == cues


def test_a_shared_cue_is_kept_once_and_as_long_as_the_last_of_its_forms(erasure: Erasure) -> None:
    world = erasure.world
    erasure.bury()
    first = {row.tag: row.keep_until for row in world.rows(CueRow)}
    namesake = RegisterForm("k", "name", f"{NAME.split()[0]} Xylander")
    for year in (2028, 2027):
        with world.database.transaction() as session:
            tombstones.bury(
                session, case_id=f"case-{year}", record_ids=[], forms=[namesake], keyring=world.keyring,
                on=date(year, 1, 1),
            )  # fmt: skip
    after = {row.tag: row.keep_until for row in world.rows(CueRow)}
    assert {tag: day for tag, day in after.items() if first.get(tag) != day} == {
        cue: date(2033, 1, 1)
        for form in normal_forms("name", namesake.value)
        for cue in cues_of("name", form, world.keyring.cue_mac())
    }
    assert len(after) == len(first) + 1, "the first name was there; turned round, the other is first"


def test_forms_of_before_there_were_cues_are_found_and_get_theirs_when_erased_again(erasure: Erasure) -> None:
    world = erasure.world
    erasure.bury()
    with world.database.transaction() as session:
        session.exec(delete(CueRow))
        session.exec(update(SuppressionRow).values(cued=False))
        assert forms_without_cues(session) == len(world.rows(SuppressionRow))
    assert all(suppressed_now(world).link(f"about {form} again") for form in FORMS[ANN].values())
    assert erasure.bury()["suppressed_forms"] == 0
    with world.database.reader() as session:
        assert forms_without_cues(session) == 0
    assert world.rows(CueRow)
    assert all(suppressed_now(world).link(f"about {form} again") for form in FORMS[ANN].values())


def suppressed_now(world: World) -> SuppressionList:
    with world.database.reader() as session:
        return load_suppression(session, world.keyring)


def test_a_leap_day_has_an_end(erasure: Erasure) -> None:
    with erasure.world.database.transaction() as session:
        tombstones.bury(
            session,
            case_id=CASE,
            record_ids=erasure.erased,
            forms=[],
            keyring=erasure.world.keyring,
            on=date(2028, 2, 29),
        )
        assert {t.keep_until for t in session.exec(select(TombstoneRow)).all()} == {date(2033, 2, 28)}


def test_no_copy_of_the_ciphertext_opens_after_the_keys_are_gone(erasure: Erasure) -> None:
    world = erasure.world
    from lineage.tables import RegisterRow, VaultRow

    copies = [(f"record:{v.record_id}", v.ciphertext) for v in world.rows(VaultRow) if v.record_id in erasure.erased]
    copies += [
        (f"subject:{r.subject_key}", r.ciphertext) for r in world.rows(RegisterRow) if r.subject_key == erasure.key
    ]
    assert len(world.keystore.open(copies)) == 6
    world.keystore.shred(name for name, _ in copies)
    for copy in copies:
        with pytest.raises(Shredded):
            world.keystore.open([copy])
