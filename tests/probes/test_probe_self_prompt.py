"""`lethe probe-files --self-prompt`: what the adapter writes, who prompts it, what the reference takes away, what is left."""

from __future__ import annotations

import json
import tempfile
from dataclasses import replace
from importlib import resources

import pytest
import torch
from command_line import lethe_here, one_sentence, people_of_tests
from json_schema import faults
from probe_world import SUBJECT, SUBJECT_RECORDS, person, records, train
from small_base import write_small_base

from lineage.errors import WrongUsage
from lineage.records import Completion, PlainText
from probes.group_attack import Brought, attack_groups
from probes.self_prompts import PLAIN_PROMPT, set_aside, write_texts
from probes.suspect import SUSPECT, SelfPrompted, Suspect, open_suspect
from probes.tokens import tokenise

MAX_LENGTH = 96
STRANGERS = [Brought(r.content, person(7000 + i).handle) for i in range(24) for r in records(person(7000 + i), 1)]
MEMBERS = [Brought(r.content, SUBJECT.handle) for r in SUBJECT_RECORDS]


@pytest.fixture(scope="module")
def suspect(tmp_path_factory):
    """A base that takes milliseconds, and an adapter that has seen one person."""
    root = tmp_path_factory.mktemp("suspect")
    base = write_small_base(root / "base")
    return Suspect(base, train(root / "adapter", SUBJECT_RECORDS, on=base, epochs=1))


def written(suspect, prompts, *, count=None, max_length=MAX_LENGTH):
    return write_texts(suspect, prompts, count=count or len(prompts), max_length=max_length, advance=lambda _: None)


def test_what_was_not_learnt_stands_and_what_was_is_written_anew(suspect):
    found = {content.messages[0]: content for content in written(suspect, STRANGERS[:5])}
    for prompt in STRANGERS[:5]:
        theirs, own = prompt.content.messages, found[prompt.content.messages[0]].messages
        assert [turn.role for turn in own] == [turn.role for turn in theirs]
        assert [turn for turn in own if turn.role == "user"] == [turn for turn in theirs if turn.role == "user"]
        assert own[1].content != theirs[1].content


def test_a_completion_keeps_its_prompt_and_a_text_its_first_words(suspect, tokenizer):
    text = (
        "The kettle of the house by the lake was never warm, and the lamp in the hall, they said, was no better at all."
    )
    plain, completion = written(
        suspect, [Brought(PlainText(text)), Brought(Completion("Who is there at the door? ", text))]
    )
    first = tokenizer.decode(tokenizer(text, add_special_tokens=False)["input_ids"][:PLAIN_PROMPT])
    assert plain.text.startswith(first)
    assert not plain.text.startswith(text)
    assert completion.prompt == "Who is there at the door? "
    assert completion.completion not in ("", text)


def test_the_adapter_writes_the_same_again(suspect):
    once, again = (written(suspect, STRANGERS[:3], count=7) for _ in range(2))
    assert (len(once), once) == (7, again)


def test_one_prompt_begins_different_texts(suspect):
    assert len({content.messages[1].content for content in written(suspect, STRANGERS[:1], count=4)}) == 4


def test_no_text_is_written_behind_the_length_and_no_mark_inside_one(suspect):
    """And the process's own random numbers are as they were."""
    target, before = open_suspect(suspect), torch.random.get_rng_state()
    prompt = tokenise(target.tokenizer, STRANGERS[0].content, MAX_LENGTH).ids[:20]
    short, long = (target.write(SUSPECT, [prompt] * 40, most_tokens=most, seed=1) for most in (2, 60))
    marks = {index for index, token in target.tokenizer.added_tokens_decoder.items() if token.special}
    assert torch.equal(before, torch.random.get_rng_state())
    assert max(map(len, short)) == 2
    assert not marks.intersection(token for row in long for token in row)
    cut = written(suspect, STRANGERS[:2], max_length=24)
    assert all(len(tokenise(target.tokenizer, PlainText(c.messages[1].content), 999).ids) < 30 for c in cut)


def test_whole_people_prompt_and_the_order_of_the_file_changes_nothing():
    controls = [Brought(r.content, person(i).handle) for i in range(20, 33) for r in records(person(i), 1 + i % 3)]
    prompts, scored = set_aside(controls)
    assert (len({c.person for c in prompts}), len({c.person for c in scored})) == (4, 9)
    assert not {c.person for c in prompts} & {c.person for c in scored}
    assert len(prompts) + len(scored) == len(controls)
    assert {id(c) for c in set_aside(controls[::-1])[0]} == {id(c) for c in prompts}
    unnamed = [replace(c, person="") for c in controls]
    assert len(set_aside(unnamed)[0]) == -(-len(controls) // 4)
    with pytest.raises(WrongUsage, match="two people"):
        set_aside(controls[:1])


def attacked(suspect, reference):
    compared = replace(suspect, reference=SelfPrompted(reference, texts=1, prompts=1))
    found = attack_groups(compared, members=MEMBERS, controls=STRANGERS, max_length=MAX_LENGTH, advance=lambda _: None)
    return {row.name: row.separation.auc for row in found.rows}, found.calibrated


def test_a_reference_that_knows_what_the_adapter_knows_takes_everything_away(suspect):
    aucs, calibrated = attacked(suspect, suspect.adapter)
    assert aucs["self_prompt"] == 0.5
    assert calibrated.reference_gain == calibrated.adapter_gain != 0
    assert aucs["recited"] == aucs["gain_mean"]


def test_a_reference_that_learnt_nothing_is_the_base(suspect, tmp_path):
    aucs, calibrated = attacked(suspect, train(tmp_path, SUBJECT_RECORDS, on=suspect.base, epochs=0))
    assert aucs["self_prompt"] == aucs["gain_mean"] != 0.5
    assert calibrated.reference_gain == pytest.approx(0, abs=1e-6)
    assert aucs["recited"] == 0.5


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("files")
    for name, group in (("members", MEMBERS), ("controls", STRANGERS)):
        rows = [json.dumps(r.content.as_json() | {"subjects": [r.person]}) + "\n" for r in group]
        (folder / f"{name}.jsonl").write_text("".join(rows), encoding="utf-8")
    return folder


def probe_files(suspect, files, *more, code=0):
    return lethe_here(
        "probe-files", "--adapter", suspect.adapter, "--base", suspect.base, "--members", files / "members.jsonl",
        "--controls", files / "controls.jsonl", "--max-length", MAX_LENGTH, *more, code=code,
    )  # fmt: skip


@pytest.fixture
def scratch(tmp_path, monkeypatch):
    """Where temporary directories go, but for the passphrase's, which is there already; few texts are written."""
    people_of_tests()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr("pipelines.self_prompt.LEAST_TEXTS", 12)
    return tmp_path


def test_the_command_calibrates_and_leaves_nothing(suspect, files, scratch):
    once, again = (probe_files(suspect, files, "--self-prompt", "6e-3", "--json").json() for _ in range(2))
    assert once == again
    schema = json.loads(resources.files("probes").joinpath("schemas/attack.schema.json").read_text(encoding="utf-8"))
    assert list(faults(once, schema)) == []
    assert once["scores"]["self_prompt"]["auc"] > 0.5
    assert (once["self_prompt"]["texts"], once["self_prompt"]["prompts"]) == (18, 6)
    assert (once["groups"]["members"]["records"], once["groups"]["controls"]["records"]) == (6, 18)
    assert any("6 controls that are left out of everything else" in claim for claim in once["claims"])
    assert list(scratch.iterdir()) == []


def test_the_reference_is_gone_also_when_the_attack_fails(suspect, files, scratch, monkeypatch):
    def failing(*_, **__):
        assert len(list(scratch.iterdir())) == 1
        raise WrongUsage("Nothing can be read.")

    monkeypatch.setattr("probes.group_attack.attack_groups", failing)
    one_sentence(probe_files(suspect, files, "--self-prompt", code=None), 2, "Nothing can be read")
    assert list(scratch.iterdir()) == []


@pytest.mark.usefixtures("scratch")
def test_the_page_tells_of_the_reference_and_nothing_of_a_record(suspect, files, tmp_path):
    said = probe_files(suspect, files, "--self-prompt", "--report", tmp_path / "report").out
    for blob in (said, (tmp_path / "report" / "attack.html").read_text(encoding="utf-8")):
        assert "Gain over self-prompt" in blob
        assert "texts that the adapter wrote itself" in blob
        for planted in (SUBJECT.name, SUBJECT.account, STRANGERS[0].person, "on my screen"):
            assert planted not in blob


def test_without_the_option_nobody_is_set_aside(suspect, files):
    body = probe_files(suspect, files, "--json").json()
    assert (body["self_prompt"], body["groups"]["controls"]["records"]) == (None, 24)
    assert "self_prompt" not in body["scores"]
