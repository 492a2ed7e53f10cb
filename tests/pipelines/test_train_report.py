"""`lethe train` says what truncation took, and how large the adapter is."""

from __future__ import annotations

from dataclasses import replace

from command_line import lethe_here
from small_world import ADAPTER, copy_workspace
from transformers import AutoTokenizer

from lineage import plans
from lineage.catalog import contents_of
from lineage.workspace import Workspace, open_workspace
from probes.tokens import tokenise
from unlearn.plan import Plan
from unlearn.tiny_base import TINY_BASE

SHORT = 40
LONG = 100_000


def lengths(workspace: Workspace, plan: Plan) -> dict[str, int]:
    """Records over SHORT among those trained on, their tokens beyond it, and those of which nothing is learnt; counted by
    the judge's own tokenisation."""
    with workspace.database.reader() as session:
        places = [plans.live_members(session, plan.digest, place) for place in (plans.TRUNK, *range(plan.shards))]
        ids = [m.record_id for slices in places for members in slices.values() for m in members]
        records = contents_of(session, ids, keystore=workspace.keystore)
    tokenizer = AutoTokenizer.from_pretrained(TINY_BASE)
    items = [tokenise(tokenizer, record.content, LONG) for record in records]
    over = [item for item in items if len(item.ids) > SHORT]
    silenced = sum(bool(places) and min(places) >= SHORT for places in (item.loss_positions() for item in over))
    return {
        "truncated_records": len(over),
        "cut_tokens": sum(len(item.ids) - SHORT for item in over),
        "silenced_records": silenced,
    }


def test_truncation_and_size_are_reported(ingested, tmp_path, here) -> None:
    folder = copy_workspace(ingested.folder, tmp_path / "ws")
    plan = replace(Plan.from_json(ingested.plan.read_text()), max_length=SHORT, controls=0.0)
    (tmp_path / "plan.json").write_text(plan.to_json())
    given = ("train", ADAPTER, "--plan", tmp_path / "plan.json")
    said = lethe_here(*given, "--json", workspace=folder).json()[ADAPTER]
    wanted = lengths(open_workspace(folder), plan)
    assert {name: said[name] for name in wanted} == wanted
    assert wanted["truncated_records"] > wanted["silenced_records"] > 0, "the test would say nothing"
    assert said["rank"] == plan.shards * plan.lora_r
    again = lethe_here(*given, "--json", workspace=folder).json()[ADAPTER]
    assert [again[name] for name in wanted] == [0, 0, 0], "nothing was trained, so nothing was cut"
    assert (again["rank"], again["megabytes"]) == (said["rank"], said["megabytes"])


def test_people_read_it_with_a_hint(ingested, tmp_path, here) -> None:
    folder = copy_workspace(ingested.folder, tmp_path / "ws")
    plan = replace(Plan.from_json(ingested.plan.read_text()), max_length=SHORT, shards=2, controls=0.0)
    (tmp_path / "plan.json").write_text(plan.to_json())
    said = lethe_here("train", ADAPTER, "--plan", tmp_path / "plan.json", workspace=folder).out
    wanted = lengths(open_workspace(folder), plan)
    assert f"{wanted['truncated_records']} records were cut at max_length" in said
    assert f"lost {wanted['cut_tokens']} tokens" in said
    assert f"Of {wanted['silenced_records']} of them nothing was learnt" in said
    assert f"rank {2 * plan.lora_r}" in said
