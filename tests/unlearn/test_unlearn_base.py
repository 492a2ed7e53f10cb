from __future__ import annotations

import json
import shutil

import pytest
import torch
from unlearn_world import SECRET, people, plan

from lineage.errors import NotAcceptable, WrongUsage
from unlearn.adapters import adapter_files, attach
from unlearn.base import BaseSpec, base_spec, load_base
from unlearn.determinism import environment_fingerprint, pin_environment
from unlearn.plan import plan_key
from unlearn.train import initial_state, origin_of, train_slice


@pytest.mark.parametrize("change", [{"dtype": "bfloat16"}, {"gradient_checkpointing": True}, {"attention": "eager"}])
def test_ways_to_hold_the_base(small_folder, small_base, change) -> None:
    """Each is deterministic; checkpointing recomputes the same numbers with the same dropout."""
    chosen, records = plan(**change), [row.record for row in people()[:4]]
    key = plan_key(SECRET, chosen)
    base = load_base(base_spec(chosen, str(small_folder)))
    parent = initial_state(base, chosen, key, shard=0)
    states = [train_slice(base, chosen, key, shard=0, slice=0, records=records, parent=parent) for _ in range(2)]
    assert states[0].digest == states[1].digest != parent.digest
    if "gradient_checkpointing" in change:
        plain = train_slice(small_base, plan(), key, shard=0, slice=0, records=records, parent=parent)
        assert plain.digest == states[0].digest
    else:
        with pytest.raises(WrongUsage):
            initial_state(small_base, chosen, key, shard=0)


@pytest.mark.parametrize("where", ["/nowhere/at/all", "a b/c d"])
def test_a_missing_base_is_a_sentence(where, monkeypatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(WrongUsage, match="cannot be loaded") as refusal:
        load_base(BaseSpec(where))
    assert "base_model" in refusal.value.hint


def test_a_base_with_code_of_its_own_is_refused_without_a_question(small_folder, tmp_path, monkeypatch) -> None:
    base = shutil.copytree(small_folder, tmp_path / "base")
    own = {"model_type": "strange", "auto_map": {"AutoConfig": "own.Own", "AutoModelForCausalLM": "own.OwnModel"}}
    (base / "config.json").write_text(json.dumps(json.loads((base / "config.json").read_text()) | own))
    (base / "own.py").write_text("raise SystemExit('it was run')")
    monkeypatch.setattr("builtins.input", lambda *_: pytest.fail("somebody was asked"))
    with pytest.raises(WrongUsage, match="cannot be loaded"):
        load_base(BaseSpec(str(base)))


def test_a_missing_gpu_is_a_sentence(small_folder, monkeypatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(WrongUsage, match="no GPU") as refusal:
        load_base(BaseSpec(str(small_folder), device="cuda"))
    assert "device" in refusal.value.hint


def test_digests_cover_bytes(small_folder, small_base, tmp_path) -> None:
    shutil.copytree(small_folder, tmp_path / "copy")
    assert load_base(BaseSpec(str(tmp_path / "copy"))).digest == small_base.digest
    template = tmp_path / "copy" / "chat_template.jinja"
    template.write_text(template.read_text() + " ")
    other = load_base(BaseSpec(str(tmp_path / "copy")))
    assert (other.digest, other.tokenizer_digest != small_base.tokenizer_digest) == (small_base.digest, True)
    weights = tmp_path / "copy" / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(bytes(content))
    assert load_base(BaseSpec(str(tmp_path / "copy"))).digest != small_base.digest


def test_the_embedded_base_loads_by_name() -> None:
    base = load_base(BaseSpec("tiny"))
    assert sum(p.numel() for p in base.model.parameters()) < 3e6
    assert not any(p.requires_grad for p in base.model.parameters())


def test_target_modules_are_found_or_named(small_base) -> None:
    names = {name.split(".lora_")[0].rpartition(".")[2] for name in attach(small_base, plan()).views}
    assert names == {"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"}
    named = attach(small_base, plan(target_modules=("v_proj", "q_proj"))).views
    assert {name.split(".lora_")[0].rpartition(".")[2] for name in named} == {"q_proj", "v_proj"}
    with pytest.raises(WrongUsage, match="wqkv"):
        attach(small_base, plan(target_modules=("wqkv",)))


def test_a_state_of_another_plan_is_refused(small_base) -> None:
    wide = plan(lora_r=5)
    state = initial_state(small_base, wide, bytes(32), shard=0)
    with pytest.raises(NotAcceptable):
        attach(small_base, plan()).load(state.weights)


def test_no_path_of_this_machine_in_an_adapter(small_base, small_folder) -> None:
    state = initial_state(small_base, plan(), bytes(32), shard=0)
    files = adapter_files(state.weights, plan(), base_name="org/model", revision="main")
    assert all(str(small_folder).encode() not in content for content in files.values())


def test_threads_are_told_apart_by_the_fingerprint(small_base) -> None:
    one, two = environment_fingerprint(plan(threads=1)), environment_fingerprint(plan(threads=2))
    assert one.digest != two.digest
    assert one.facts["torch"] == torch.__version__
    pin_environment(plan(threads=2))
    assert torch.get_num_threads() == 2
    pin_environment(plan())
    assert torch.are_deterministic_algorithms_enabled()


def test_a_plan_of_another_training_path_is_refused(small_base) -> None:
    with pytest.raises(WrongUsage, match="training path 99"):
        origin_of(small_base, plan(training_path=99))
