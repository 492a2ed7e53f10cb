"""A lightly trained adapter: the probes see nothing, even before, and say so; what is signed rests on something else."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from command_line import lethe_here, one_sentence
from road import case_of, sign, to_approved, to_purge_approved
from small_world import ADAPTER, placed_by, write_corpus, write_secret
from world_making import make_world

from lineage import certificate, plans
from lineage.envelope import seal_first
from lineage.evidence import evidence
from lineage.keys import load_private_key, load_public_key, private_path, public_path
from lineage.workspace import open_workspace
from pipelines.demo_corpus import DemoCorpus
from pipelines.demo_rows import Person
from pipelines.demo_writer import Writer, draw_people
from unlearn.plan import Plan

pytestmark = pytest.mark.slow
PEOPLE = 70  # a fifth of them is never trained on, and ten are needed to compare with
RESTS = "the sign-off rests on lineage and re-derivation"


def once_each(seed: int = 11) -> DemoCorpus:
    """Everybody wrote once; with one epoch, each record is seen once."""
    rng = random.Random(seed)
    people, writer = draw_people(rng, count=PEOPLE), Writer(rng)
    rows = [writer.conversation(person, other=None) for person in people]
    return DemoCorpus(tuple(people), (*rows, *(writer.row_about_nobody() for _ in range(10))), (), ())


def first_trained(folder: Path, corpus: DemoCorpus) -> Person:
    workspace = open_workspace(folder)
    with workspace.database.reader() as session:
        plan = Plan.from_json(plans.current_plan(session, ADAPTER)[1])
    assert plan.epochs == 1
    return next(person for person in corpus.people if placed_by(workspace, plan, person).kind == "shard")


@pytest.fixture(scope="module")
def silent(tmp_path_factory) -> tuple[Path, str]:
    """A purged case of a person with one record: the workspace and the case."""
    root, corpus = tmp_path_factory.mktemp("silent"), once_each()
    rows, people = write_corpus(corpus, root / "given")
    folder = make_world(root / "ws", corpus=rows, people=people, secret=write_secret(root))
    lethe_here("train", ADAPTER, workspace=folder)
    case_id = to_approved(folder, first_trained(folder, corpus))
    lethe_here("erase", "run", case_id, workspace=folder)
    to_purge_approved(folder, case_id)
    lethe_here("erase", "purge", case_id, workspace=folder)
    return folder, case_id


def test_the_case_ends_without_a_verdict_and_says_why_in_words(silent):
    folder, case_id = silent
    with open_workspace(folder).database.reader() as session:
        found = evidence(session, case_id, "probe")
    assert (found["verdict"], found["reason"]) == ("INCONCLUSIVE", "NO_PRE_SIGNAL")
    assert found["sentence"] == (
        "Even the old adapter, which was trained on this person, showed no measurable trace; "
        "the sign-off rests on lineage and re-derivation."
    )
    report = (folder / ".lethe" / "cases" / case_id / "report.html").read_text(encoding="utf-8")
    assert "showed no measurable trace" in report
    assert "The probes cannot tell" in report


def test_it_is_signed_only_with_the_sentence_and_on_equal_states(silent):
    folder, case_id = silent
    half = folder / ".lethe" / "cases" / case_id / "certificate.half.json"
    honest, secrets = half.read_bytes(), folder / ".lethe" / "secrets"
    key = load_private_key(private_path(secrets, "pipeline"))
    statement = certificate.read_half_signed(honest, pipeline_public=load_public_key(public_path(secrets, "pipeline")))
    assert statement.count(RESTS.encode()) == 1
    facts, _ = certificate.read_statement(statement)
    derived = facts.adapters[0].rederivation
    assert (derived.grade, derived.states_compared) == ("A", derived.states_equal)
    for wrong in (
        statement.replace(f"; {RESTS}".encode(), b""),
        statement.replace(b'"verdict":"INCONCLUSIVE"', b'"verdict":"PASS"'),
        statement.replace(b'"grade":"A"', b'"grade":"B"').replace(
            f'"states_equal":{derived.states_equal}'.encode(), b'"states_equal":0'
        ),
    ):
        assert wrong != statement
        half.write_bytes(seal_first(wrong, key))  # which does not look at what it states
        said = sign(folder, case_id, code=None)
        one_sentence(said, 1, "rest")
        assert case_of(folder, case_id)["stage"] == "PURGED"
    half.write_bytes(honest)
    sign(folder, case_id)
    said = lethe_here("verify", half.with_name("certificate.json"), "--expect-case", case_id, workspace=folder)
    assert "Why the probes cannot tell: Even the old adapter" in said.out
    assert RESTS in said.out
