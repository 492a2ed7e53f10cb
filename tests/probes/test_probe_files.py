"""`lethe probe-files` on somebody's own files: what it finds, what it says about it, and how it refuses."""

from __future__ import annotations

import json
import shutil
from importlib import resources

import pytest
from command_line import lethe_here, one_sentence
from json_schema import faults
from probe_world import BASE, CANARY, OUTS, SUBJECT, SUBJECT_RECORDS, person, records, shard_records
from small_base import write_small_base
from standing_alone import outside_of

from probes.group_attack import RATES
from probes.group_page import SCORE_NAMES

SCHEMA = json.loads(resources.files("probes").joinpath("schemas/attack.schema.json").read_text(encoding="utf-8"))
SCORES = {
    "gain_mean", "loss", "zlib", "min_k", "min_k_plus_plus", "error_zone", "window_votes", "exact_match",
    "extraction_score",
}  # fmt: skip


def write(path, chats, *, subjects=True):
    rows = []
    for record in chats:
        whose = {"subjects": [record.record_id.rpartition("-")[0]]} if subjects else {}
        rows.append(json.dumps(record.content.as_json() | whose) + "\n")
    path.write_text("".join(rows), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """What the adapter `pre` learnt, and the records of people whom nobody trained on."""
    folder = tmp_path_factory.mktemp("files")
    learnt = [*shard_records(0, people=4), *SUBJECT_RECORDS, *records(CANARY, 8)]
    unseen = [r for i in range(64) for r in records(person(7000 + i), 1)]
    more = [r for i in range(64) for r in records(person(8000 + i), 1)]
    return {
        "members": write(folder / "members.jsonl", learnt),
        "controls": write(folder / "controls.jsonl", unseen),
        "strangers": write(folder / "strangers.jsonl", more, subjects=False),
    }


def attack(world, files, *more, members="members", adapter=None, code=0):
    return lethe_here(
        "probe-files", "--adapter", adapter or world.pre, "--base", BASE, "--members", files.get(members, members),
        "--controls", files["controls"], *more, code=code,
    )  # fmt: skip


def attack_body(world, files, *more, **which):
    """What --json prints; whatever was found, it fits the schema."""
    body = attack(world, files, "--json", *more, **which).json()
    assert list(faults(body, SCHEMA)) == []
    return body


@pytest.fixture(scope="module")
def found(world, files, tmp_path_factory):
    outs = [part for shard in OUTS[:3] for part in ("--out-adapter", world.outs[shard])]
    report = tmp_path_factory.mktemp("attack")
    body = attack_body(world, files, *outs, "--report", report)
    return body, (report / "attack.html").read_text(encoding="utf-8")


def test_members_are_told_from_controls_by_every_score(found):
    body, _ = found
    assert body["scores"].keys() == SCORES | {"rmia", "lira"}
    assert body["primary"] == "gain_mean"
    assert body["scores"]["gain_mean"]["auc"] > 0.9
    assert {name: s["auc"] for name, s in body["scores"].items() if s["auc"] < 0.6} == {}


def test_a_rate_that_the_controls_cannot_support_is_a_reason(found):
    rates = found[0]["scores"]["gain_mean"]["detected_at_false_alarms"]
    assert rates["0.05"]["point"] > 0.5
    assert rates["0.01"] == {"abstained": "64 controls; 299 needed"}


def test_the_schema_has_every_score_and_rate_and_allows_no_more(found):
    assert SCHEMA["properties"]["scores"]["properties"].keys() == SCORE_NAMES.keys()
    assert SCHEMA["$defs"]["Rates"]["properties"].keys() == {f"{rate:g}" for rate in RATES}
    body, _ = found
    for wrong in (
        body | {"text": "Call me."}, body | {"shifted": None}, body | {"primary_scores": {"members": [0.1], "controls": []}},
        body | {"scores": body["scores"] | {"loss": {"auc": 2.0}}}, {name: v for name, v in body.items() if name != "blind"},
    ):  # fmt: skip
        assert list(faults(wrong, SCHEMA))


def test_people_are_counted_and_their_dependence_is_said(found):
    body, page = found
    assert body["groups"]["members"]["people"] == 6
    assert any("the 26 members are of 6 people" in claim for claim in body["claims"])
    assert "the 26 members are of 6 people" in page


def test_an_adapter_that_never_saw_either_group_sees_no_difference(world, files):
    body = attack_body(world, files, members="strangers")
    primary = body["scores"]["gain_mean"]
    assert primary["interval"]["lower"] < 0.5 < primary["interval"]["upper"]
    assert (body["shifted"], body["groups"]["members"]["people"]) == (False, None)
    assert "does not tell members from controls" in body["headline"]


def test_groups_about_other_things_are_shifted(world, files, tmp_path):
    """The same unseen people, who suddenly all write about invoices: no memory, and a difference all the same."""
    rows = [json.loads(line) for line in files["strangers"].read_text().splitlines()]
    for row in rows:
        row["messages"][0]["content"] += " I have not received the invoice."
    other = tmp_path / "other.jsonl"
    other.write_text("".join(json.dumps(row) + "\n" for row in rows))
    said = attack(world, files, members=other).out
    assert "the groups are SHIFTED" in said
    assert "mixed with memory" in said


def test_the_table_names_every_score_and_the_page_stands_alone(world, files, found):
    said = attack(world, files).out
    assert "Gain over the base" in said.split("score", 1)[1]
    assert "Min-K%++" in said
    assert "RMIA" not in said
    assert "299 needed" in said
    _, page = found
    assert page.count("<svg") == 1
    assert outside_of(page) == []


def test_nothing_of_a_record_and_no_path_is_said(world, files, found):
    for blob in (json.dumps({**found[0], "page": ""}), found[1], attack(world, files).out):
        for planted in (SUBJECT.account, SUBJECT.phone, SUBJECT.name, "on my screen", str(world.pre.parent)):
            assert planted not in blob


def test_plain_texts_and_completions_without_subjects_are_read_and_bad_rows_named(world, files, tmp_path):
    mixed = tmp_path / "mixed.csv"
    mixed.write_text("text,prompt,completion\nA short note.,,\n,Who is it?,Nobody.\n,,\n")
    body = attack_body(world, files, members=mixed)
    assert body["groups"]["members"]["records"] == 2
    assert body["refused_lines"]["members"] == {
        "4": "The row has neither text, nor prompt and completion, nor messages."
    }
    assert body["scores"]["loss"]["interval"] == {"abstained": "2 scores in a group; 20 needed"}
    assert body["blind"] == {"abstained": "2 people, or records of nobody named, in a group; 10 needed"}


def test_mistakes_are_told_in_a_sentence(world, files, tmp_path):
    empty, unknown = tmp_path / "empty.jsonl", tmp_path / "unknown.jsonl"
    empty.write_text("")
    unknown.write_text('{"txet": "A"}\n')
    other = write_small_base(tmp_path / "other_base")
    one_sentence(attack(world, files, adapter=tmp_path, code=None), 2, "no adapter_config.json")
    one_sentence(attack(world, files, members=empty, code=None), 2, "members", "empty")
    one_sentence(attack(world, files, members=tmp_path / "none.jsonl", code=None), 2, "members", "does not exist")
    one_sentence(attack(world, files, members=unknown, code=None), 2, "txet")
    one_sentence(attack(world, files, members=files["controls"], code=None), 2, "same file")
    one_sentence(attack(world, files, "--max-length", "100000", code=None), 2, "512 tokens at most")
    one_sentence(attack(world, files, "--max-length", "2", code=None), 2, "No record of the members")
    arguments = ("probe-files", "--adapter", world.pre, "--members", files["members"], "--controls", files["controls"])
    one_sentence(lethe_here(*arguments, "--base", tmp_path, code=None), 2, "no config.json")
    one_sentence(lethe_here(*arguments, "--base", other, code=None), 2, "another base", "--base-renamed")
    one_sentence(lethe_here(*arguments, "--base", other, "--base-renamed", code=None), 2, "loaded together")
    mute = tmp_path / "tiny_base"
    shutil.copytree(BASE, mute, ignore=shutil.ignore_patterns("__pycache__", "*.py", "*.jinja"))
    one_sentence(lethe_here(*arguments, "--base", mute, code=None), 2, "no chat template")
    bare = tmp_path / "bare"
    shutil.copytree(world.pre, bare)
    (bare / "adapter_model.safetensors").unlink()
    one_sentence(attack(world, files, adapter=bare, code=None), 2, "no weights")


def test_a_base_folder_that_was_renamed_is_taken_at_ones_word(world, files, tmp_path):
    moved = tmp_path / "moved"
    shutil.copytree(BASE, moved, ignore=shutil.ignore_patterns("__pycache__", "*.py"))
    arguments = ("--members", files["members"], "--controls", files["controls"], "--json", "--base-renamed")
    body = lethe_here("probe-files", "--adapter", world.pre, "--base", moved, *arguments).json()
    assert body["scores"]["gain_mean"]["auc"] > 0.9


def test_an_adapter_for_fewer_layers_is_refused(world, files, tmp_path):
    """peft only warns, and half an adapter would be scored."""
    from transformers import AutoConfig, AutoModelForCausalLM

    deeper = tmp_path / "tiny_base"
    config = AutoConfig.from_pretrained(BASE)
    config.num_hidden_layers += 1
    AutoModelForCausalLM.from_config(config).save_pretrained(deeper)
    for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        shutil.copy(BASE / name, deeper / name)
    arguments = ("--members", files["members"], "--controls", files["controls"])
    said = lethe_here("probe-files", "--adapter", world.pre, "--base", deeper, *arguments, code=None)
    one_sentence(said, 2, "lacks weights")
