"""Models that `lethe probe-files` must refuse in one sentence: damaged files, answers that are no numbers, foreign code.

Small and untrained: what is tested is the refusal, not the score.
"""

from __future__ import annotations

import json
import math
import shutil

import click
import pytest
import torch
from command_line import lethe_here, one_sentence
from peft import LoraConfig, get_peft_model
from peft.utils import get_peft_model_state_dict
from safetensors.torch import load_file, save_file
from small_base import write_small_base
from transformers import AutoModelForCausalLM

from lineage.errors import WrongUsage
from pipelines.cli.options import show
from probes.group_attack import _finite

# peft 0.21 asks transformers 5.23 for a property under its old name
pytestmark = pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing:FutureWarning")
WORDS = ("lamp", "kettle", "router", "heater", "camera", "speaker")


@pytest.fixture(scope="module")
def brought(tmp_path_factory):
    """A base, an adapter on it, and two files of records."""
    folder = tmp_path_factory.mktemp("brought")
    base = write_small_base(folder / "base")
    config = LoraConfig(r=4, lora_alpha=4, target_modules="all-linear", task_type="CAUSAL_LM", init_lora_weights=False)
    torch.manual_seed(1)
    model = get_peft_model(AutoModelForCausalLM.from_pretrained(base), config)
    assert get_peft_model_state_dict(model)
    model.save_pretrained(folder / "adapter")
    for name, start in (("members", 0), ("controls", 100)):
        rows = [{"text": f"The {WORDS[i % 6]} {start + i} is broken.", "subjects": [f"{name}{i}"]} for i in range(12)]
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


@pytest.fixture
def folder(brought, tmp_path):
    """A copy that may be spoiled."""
    return shutil.copytree(brought, tmp_path / "brought")


def attack(folder, *more, code=None):
    return lethe_here(
        "probe-files", "--adapter", folder / "adapter", "--base", folder / "base", "--members", folder / "members.jsonl",
        "--controls", folder / "controls.jsonl", "--json", *more, code=code,
    )  # fmt: skip


def spoil_weights(file, value):
    weights = load_file(file)
    name = next(name for name in sorted(weights) if weights[name].is_floating_point())
    weights[name].view(-1)[0] = value
    save_file(weights, file, metadata={"format": "pt"})


def test_a_whole_adapter_is_scored(folder):
    assert attack(folder, code=0).json()["scores"]["gain_mean"]["auc"] >= 0


@pytest.mark.parametrize(
    ("spoilt", "named"), [("adapter", "adapter"), ("out", "out-adapter 2"), ("base", "base")], ids=lambda v: v
)
def test_a_model_whose_answers_are_no_numbers_is_refused_by_name(folder, spoilt, named):
    """It looked clean: every record tied at the bottom rank, AUC 0.5."""
    for name in ("calm", "out"):
        shutil.copytree(folder / "adapter", folder / name)
    file = folder / spoilt / ("model.safetensors" if spoilt == "base" else "adapter_model.safetensors")
    spoil_weights(file, math.nan)
    said = attack(folder, "--out-adapter", folder / "calm", "--out-adapter", folder / "out")
    one_sentence(said, 2, f"The {named} gives values that are no numbers.")
    assert "NaN" not in said.out


def test_an_adapter_whose_answers_are_no_numbers_writes_no_reference(folder):
    spoil_weights(folder / "adapter" / "adapter_model.safetensors", math.nan)
    one_sentence(attack(folder, "--self-prompt"), 2, "The adapter gives values that are no numbers.")


def test_an_infinite_score_has_a_rank_and_one_that_is_no_number_has_none():
    assert _finite([-math.inf, 2.0, math.inf, 1.0]) == [0.0, 2.0, 3.0, 1.0]
    with pytest.raises(WrongUsage, match="no number"):
        _finite([1.0, math.nan])


def cut_weights(folder):
    file = folder / "adapter" / "adapter_model.safetensors"
    file.write_bytes(file.read_bytes()[:200])


def garble_weights(folder):
    (folder / "adapter" / "adapter_model.safetensors").write_bytes(b"garbage" * 20)


def garble_pickle(folder):
    (folder / "adapter" / "adapter_model.safetensors").unlink()
    (folder / "adapter" / "adapter_model.bin").write_bytes(b"garbage" * 20)


def cut_base(folder):
    file = folder / "base" / "model.safetensors"
    file.write_bytes(file.read_bytes()[:200])


def garble_tokenizer(folder):
    (folder / "base" / "tokenizer.json").write_text("{")


def rank_as_words(folder):
    file = folder / "adapter" / "adapter_config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"r": "4x"}))


@pytest.mark.parametrize(
    "spoil",
    [cut_weights, garble_weights, garble_pickle, cut_base, garble_tokenizer, rank_as_words],
    ids=lambda spoil: spoil.__name__,
)
def test_a_damaged_file_is_the_callers_and_no_fault_of_lethe(folder, spoil):
    spoil(folder)
    one_sentence(attack(folder), 2, "could not be loaded together")


@pytest.mark.parametrize("name", ["adapter/adapter_config.json", "base/config.json"])
def test_a_config_that_is_a_list_is_refused(folder, name):
    (folder / name).write_text("[]")
    one_sentence(attack(folder), 2, "is not a JSON object")


def test_a_base_with_code_of_its_own_is_refused_without_a_question(folder, monkeypatch):
    file = folder / "base" / "config.json"
    own = {"model_type": "strange", "auto_map": {"AutoConfig": "own.Own", "AutoModelForCausalLM": "own.OwnModel"}}
    file.write_text(json.dumps(json.loads(file.read_text()) | own))
    (folder / "base" / "own.py").write_text("raise SystemExit('it was run')")
    monkeypatch.setattr("builtins.input", lambda *_: pytest.fail("somebody was asked"))
    said = attack(folder)
    one_sentence(said, 2, "code of its own")
    assert "custom code" not in said.out + said.err


def test_printed_json_is_strict(capsys):
    """RFC 8259 has neither NaN nor Infinity: an infinity is null, as in report.json, and a NaN never comes this far."""
    show({"low": -math.inf, "all": [(math.inf, 1.5)]}, as_json=True, lines=click.echo)
    assert json.loads(capsys.readouterr().out) == {"low": None, "all": [[None, 1.5]]}
    with pytest.raises(ValueError, match="JSON"):
        show({"auc": math.nan}, as_json=True, lines=click.echo)
    assert capsys.readouterr().out == ""
