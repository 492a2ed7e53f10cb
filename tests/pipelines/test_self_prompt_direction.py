"""The direction of SPV-MIA, with models that both are trained by Lethe: calibrated, members are told better."""

from __future__ import annotations

import pytest
from command_line import lethe_here

from lineage.records import Chat, Message, TrainingRecord
from pipelines.demo_corpus import DemoRow, make_corpus, write_jsonl
from unlearn.adapters import adapter_files, write_adapter
from unlearn.base import base_spec, load_base
from unlearn.plan import CorpusShape, TrainSettings, propose_plan
from unlearn.train import initial_state, train_slice

RATE, EACH = 6e-3, 80
KEY = bytes(32)


def halves(seed: int) -> tuple[list[DemoRow], list[DemoRow]]:
    """Records of every second customer, and of the others; none that names a second one."""
    corpus = make_corpus(seed)
    number = {person.customer_id: i for i, person in enumerate(corpus.people)}
    found: tuple[list[DemoRow], list[DemoRow]] = ([], [])
    for row in corpus.rows:
        if len(row.subjects) == 1 and {mention.customer_id for mention in row.mentions()} <= set(row.subjects):
            found[number[row.subjects[0]] % 2].append(row)
    return found[0][:EACH], found[1][:EACH]


@pytest.mark.slow
def test_members_are_told_better_with_the_reference_than_without(tmp_path):
    members, controls = halves(7)
    write_jsonl(members, tmp_path / "members.jsonl")
    write_jsonl(controls, tmp_path / "controls.jsonl")
    settings = TrainSettings(shards=1, slices=1, controls=0.0, trunk="off", epochs=6, lr_peak=RATE, batch=16)
    plan = propose_plan(settings, CorpusShape(EACH, 300 * EACH, 40, 0), nonce="")
    base = load_base(base_spec(plan, "tiny"))
    records = [
        TrainingRecord(f"{i:06d}", Chat(tuple(Message(turn.role, turn.text()) for turn in row.turns)))
        for i, row in enumerate(members)
    ]
    parent = initial_state(base, plan, KEY, shard=0)
    state = train_slice(base, plan, KEY, shard=0, slice=0, records=records, parent=parent)
    write_adapter(tmp_path / "adapter", adapter_files(state.weights, plan, base_name="tiny"))
    scores = lethe_here(
        "probe-files", "--adapter", tmp_path / "adapter", "--base", "tiny", "--members", tmp_path / "members.jsonl",
        "--controls", tmp_path / "controls.jsonl", "--self-prompt", RATE, "--json",
    ).json()["scores"]  # fmt: skip
    assert scores["self_prompt"]["auc"] > scores["loss"]["auc"] > 0.5
