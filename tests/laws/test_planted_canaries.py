"""Canaries that a plan plants: once, in one shard each, out of reach of every erasure, and the same in every world."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path

import pytest
from crashes import Killed, crashing, let_die
from road import rebuilt_case
from small_world import (
    ADAPTER,
    CORPUS,
    PLANTED,
    bytes_in_service,
    copy_workspace,
    corpus_without,
    placed_by,
    write_corpus,
)
from sqlmodel import select
from stream_books import take_in, train
from world_making import make_world

from lineage.catalog import contents_of
from lineage.closure import find_closure
from lineage.errors import WrongUsage
from lineage.forms import canonical_identifier
from lineage.plans import planted_subjects
from lineage.planted import CANARY_SOURCE
from lineage.register import RegisterForm
from lineage.subjects import SubjectEntry, add_forms, load_forms, subject_counts
from lineage.tables import PlacementRow, RecordRow, RecordSubjectRow, SubjectRow
from lineage.trace import trace_subject
from lineage.workspace import Workspace, open_workspace
from pipelines.canary_people import canary_people, canary_twins, forms_of
from pipelines.canary_reading import canaries_of
from pipelines.ingest import request_ingest, utc_now
from pipelines.placing import freeze, freeze_and_place, propose
from pipelines.planting import canary_note, plan_nonce, plant
from pipelines.rescanning import run_rescan
from pipelines.states import open_atelier
from unlearn.plan import Plan

DOSES = (1, 2)
ALL = 3 * sum(DOSES)


@pytest.fixture(scope="module")
def plan(ingested) -> Plan:
    """With canaries; the person who will be erased is trained on, in a shard's first slice."""
    workspace = open_workspace(ingested.folder)
    wish = replace(propose(workspace, ADAPTER), canary_doses=DOSES, canary_style="chat")
    for number in itertools.count():
        drawn = replace(wish, nonce=f"{number:032x}")
        if placed_by(workspace, drawn, PLANTED).slice == 0:
            return drawn
    raise AssertionError("count() ended")


@pytest.fixture(scope="module")
def world(ingested, plan, tmp_path_factory) -> Path:
    """Everybody ingested, canaries planted and placed; nothing trained yet, which most laws do not need."""
    folder = copy_workspace(ingested.folder, tmp_path_factory.mktemp("planted") / "ws")
    freeze_and_place(open_workspace(folder), ADAPTER, plan)
    return folder


@pytest.fixture
def workspace(world, tmp_path) -> Workspace:
    return open_workspace(copy_workspace(world, tmp_path / "ws"))


@pytest.fixture
def untouched(ingested, tmp_path) -> Workspace:
    """Ingested, no plan frozen."""
    return open_workspace(copy_workspace(ingested.folder, tmp_path / "ws"))


def planted(workspace: Workspace) -> dict[str, tuple[str, str, int | None]]:
    """Every canary record: who, how and where it is placed."""
    with workspace.database.reader() as session:
        query = select(RecordRow, PlacementRow).join(PlacementRow, PlacementRow.record_id == RecordRow.id)
        rows = session.exec(query.where(RecordRow.source == CANARY_SOURCE)).all()
        return {r.id: (r.primary_subject or "", p.kind, p.shard) for r, p in rows}


def held(workspace: Workspace) -> list[str]:
    with workspace.database.reader() as session:
        return sorted(session.exec(select(RecordRow.id).where(RecordRow.source == CANARY_SOURCE)).all())


def test_each_canary_is_in_one_shard_at_its_dose_and_said_to_be_synthetic(workspace, plan):
    found = planted(workspace)
    people = canary_people(plan, workspace.keyring)
    wanted = sorted(
        (workspace.keyring.subject_key(canonical_identifier(c.identifier)), "shard", c.shard)
        for c in people for _ in range(c.dose)
    )  # fmt: skip
    assert sorted(found.values()) == wanted
    with workspace.database.reader() as session:
        node = trace_subject(session, wanted[0][0])
        counted = subject_counts(session)["subjects"]
        everybody = len(session.exec(select(SubjectRow)).all())
        bases = {r.lawful_basis for r in session.exec(select(RecordRow).where(RecordRow.source == CANARY_SOURCE)).all()}
    assert dict(node.facts)["synthetic"] == dict(node.children[0].facts)["synthetic"]
    assert counted == everybody - len(people)
    assert bases == {"none needed: a synthetic person made by Lethe, no personal data"}


def test_an_erasure_beside_canaries_equals_never_having_ingested(workspace, ingested, plan, tmp_path):
    """Nothing about the canaries depends on the person: neither who they are, nor where, nor what the gate said of them."""
    corpus, register = write_corpus(corpus_without(PLANTED), tmp_path / "given")
    never = open_workspace(make_world(tmp_path / "never", corpus=corpus, people=register, secret=ingested.secret))
    for one in (workspace, never):
        train(one, plan)
    before = bytes_in_service(workspace.settings.workspace)
    rebuilt_case(workspace, PLANTED)
    assert bytes_in_service(workspace.settings.workspace) == bytes_in_service(never.settings.workspace) != before
    assert planted(workspace) == planted(never)
    assert len(planted(workspace)) == ALL


def test_no_closure_holds_a_canary_not_even_their_own(workspace, plan):
    people = canary_people(plan, workspace.keyring)
    with workspace.database.reader() as session:
        canaries = set(held(workspace))
        for person in CORPUS.people:
            key = workspace.keyring.subject_key(canonical_identifier(person.customer_id))
            forms = load_forms(session, workspace.keystore, key)
            closure = find_closure(session, key, forms, keystore=workspace.keystore)
            assert closure.records
            assert not canaries & {record.record_id for record in closure.records}
        for canary in people:
            forms = forms_of(canary, workspace.keyring)
            assert not find_closure(session, forms[0].subject_key, forms, keystore=workspace.keystore).records
        mentioned = select(RecordSubjectRow).where(RecordSubjectRow.relation == "mentioned")
        assert not canaries & {row.record_id for row in session.exec(mentioned).all()}
        assert not planted_subjects(session) & {row.subject_key for row in session.exec(mentioned).all()}


def test_somebody_who_is_later_called_like_a_canary_does_not_reach_it(workspace, plan):
    """Chance, not data about them: the canary was made before, of random syllables."""
    canary = canary_people(plan, workspace.keyring)[0]
    with workspace.database.reader() as session:
        forms = [RegisterForm("f" * 64, "name", canary.name)]
        assert not find_closure(session, "f" * 64, forms, keystore=workspace.keystore).records


def test_a_second_training_and_growth_plant_nothing(workspace, tmp_path):
    before = planted(workspace)
    freeze_and_place(workspace, ADAPTER)
    corpus, _ = write_corpus(
        replace(CORPUS, rows=tuple(replace(r, row_id=f"{r.row_id}-2") for r in CORPUS.rows[:5])), tmp_path
    )
    take_in(workspace, corpus)
    report = freeze_and_place(workspace, ADAPTER)
    assert report.placed_now == 5
    assert report.canary_records == ALL
    assert planted(workspace) == before


def test_a_crash_anywhere_between_plan_and_placement_plants_one_set(ingested, plan, tmp_path):
    for at in itertools.count(1):
        workspace = open_workspace(copy_workspace(ingested.folder, tmp_path / f"at-{at}"))
        try:
            with crashing(at) as schedule:
                freeze_and_place(workspace, ADAPTER, plan)
        except Killed:
            again = open_workspace(workspace.settings.workspace)
            let_die(again)
            freeze_and_place(again, ADAPTER, plan)
            assert len(held(again)) == len(planted(again)) == ALL, f"crashed at boundary {at}"
        if schedule.passed < at:
            break
    assert at > 8


def test_another_plans_canaries_are_not_learnt_from(workspace, plan):
    other = replace(plan, adapter="second", nonce="e" * 32)
    plant(workspace, other)
    assert len(held(workspace)) == 2 * ALL
    assert freeze_and_place(workspace, ADAPTER).placed_now == 0
    assert len(planted(workspace)) == ALL


def test_twins_are_handed_to_the_judge_and_held_nowhere(workspace, plan):
    records = canaries_of(open_atelier(workspace, ADAPTER), "case-x", (0,))
    doses = sorted((r.shard is None, r.dose) for r in records)
    assert doses == [(False, 1), (False, 2), (False, 2), (True, 0), (True, 0), (True, 0)]
    twins = canary_twins(plan, workspace.keyring)
    keys = {workspace.keyring.subject_key(canonical_identifier(t.identifier)) for t in twins}
    with workspace.database.reader() as session:
        assert not keys & set(session.exec(select(SubjectRow.key)).all())
        texts = {r.content for r in contents_of(session, held(workspace), keystore=workspace.keystore)}
    assert not texts & {content for twin in twins for content in twin.contents}
    assert {r.record.content for r in records if r.shard is None} == {c for t in twins for c in t.contents}
    assert {r.record.content for r in records if r.shard == 0} <= texts


def test_a_rescan_under_the_same_policy_keeps_every_canary(workspace):
    """Their own names are known to the gate that judges them again, although they are in no register."""
    found = run_rescan(workspace)
    assert set(found.outcomes) == {"keep"}


# --- whether there are any --------------------------------------------------------------------------------------------------


def with_probes(workspace: Workspace, **changes: object) -> Workspace:
    """The same workspace under other settings of the adapter's probes."""
    own = workspace.settings.adapter(ADAPTER)
    own = own.model_copy(update={"probes": own.probes.model_copy(update=changes)})
    return replace(workspace, settings=workspace.settings.model_copy(update={"adapters": {ADAPTER: own}}))


def test_a_small_corpus_gets_none_and_is_told_why(untouched):
    """The setting's own doses; whoever wants none is told that nobody asked for any."""
    proposed = propose(untouched, ADAPTER)
    assert proposed.canary_doses == ()
    note = canary_note(untouched, ADAPTER, proposed)
    assert note.startswith("No canaries: they would be 93 records, more than 10% of the ")
    unwanted = with_probes(untouched, canary_doses=[])
    assert canary_note(unwanted, ADAPTER, propose(unwanted, ADAPTER)) == "No canaries: canary_doses is empty."


def test_a_corpus_that_is_large_enough_gets_them_in_its_own_style(untouched):
    enough = with_probes(untouched, canary_doses=[1, 2], canary_share=0.2)
    proposed = propose(enough, ADAPTER)
    assert (proposed.canary_doses, proposed.canary_style, proposed.canary_generation) == ((1, 2), "chat", 0)
    assert freeze(enough, ADAPTER) == proposed
    assert canary_note(enough, ADAPTER, proposed) == "Canaries: 6 synthetic people with 9 records, 2 in each shard."


def test_canaries_that_name_a_registered_person_are_drawn_again(untouched):
    """Under the next nonce, which the plan then says: a world without that person makes the same ones from it."""
    enough = with_probes(untouched, canary_doses=[1, 2], canary_share=0.2)
    first = propose(enough, ADAPTER)
    namesake = canary_people(first, enough.keyring)[0]
    with enough.database.transaction() as session:
        entry = SubjectEntry("C-1", "name", namesake.name)
        add_forms(session, [entry], keyring=enough.keyring, keystore=enough.keystore, now=utc_now())
    again = propose(enough, ADAPTER)
    assert again.nonce != first.nonce
    assert again.nonce in {plan_nonce(enough.keyring, ADAPTER, attempt) for attempt in range(1, 20)}
    assert namesake.name not in {c.name for c in canary_people(again, enough.keyring)}


def test_nobody_can_pass_a_person_off_as_synthetic(untouched, tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_text('{"text": "Hello.", "subjects": ["C-1"], "source": "lethe-canaries"}\n')
    with pytest.raises(WrongUsage, match="reserved"):
        request_ingest(untouched, path, source=CANARY_SOURCE)
    take_in(untouched, path)
    assert held(untouched) == []
