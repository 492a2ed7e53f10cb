from __future__ import annotations

import json
from dataclasses import fields

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from peft import LoraConfig, PeftModel, set_peft_model_state_dict
from safetensors.torch import load, save
from unlearn_world import SECRET, MemoryStore, build, people, plan

from lineage.errors import NotAcceptable, RefusedByRule, WrongUsage
from unlearn import compose as composing
from unlearn.adapters import CONFIG_FILE, WEIGHTS_FILE, adapter_files, config_bytes, write_adapter
from unlearn.base import BaseSpec, load_base
from unlearn.compose import (
    HARMLESS,
    PLAIN,
    SHARDS_FILE,
    compose,
    dense_deltas,
    is_average,
    self_test,
    side_by_side,
)
from unlearn.plan import plan_key
from unlearn.train import initial_state

PLAN = plan(shards=3, lora_r=3, lora_alpha=5)


def shard_files(base, shard: int) -> dict[str, bytes]:
    weights = initial_state(base, PLAN, plan_key(SECRET, PLAN), shard=shard).weights
    generator = torch.Generator().manual_seed(shard)
    tensors = {name: torch.randn(t.shape, generator=generator) for name, t in load(weights).items()}
    return adapter_files(save(tensors, metadata={"fan_in_fan_out": "false"}), PLAN, base_name="tiny")


def test_cat_is_the_dense_average(small_base) -> None:
    parts = [shard_files(small_base, shard) for shard in range(3)]
    composed = compose(dict(enumerate(parts)), shards=3)
    assert is_average(parts, composed.files, shards=3)
    assert not is_average(parts[:2], composed.files, shards=3)
    config = json.loads(composed.files[CONFIG_FILE])
    assert (config["r"], config["lora_alpha"]) == (9, 5)


def test_a_missing_shard_counts_as_zero(small_base) -> None:
    parts = [shard_files(small_base, shard) for shard in range(3)]
    composed = compose({0: parts[0], 2: parts[2]}, shards=3)
    assert is_average([parts[0], parts[2]], composed.files, shards=3)


def test_one_adapter_composes_to_itself(small_base) -> None:
    part = shard_files(small_base, 0)
    assert compose({0: part}, shards=1).files == part


def test_composition_is_deterministic(small_base) -> None:
    parts = {shard: shard_files(small_base, shard) for shard in (2, 0, 1)}
    assert compose(parts, shards=3).digest == compose(dict(sorted(parts.items())), shards=3).digest


# Everything PEFT 0.21.2 can switch on that makes B A mean something else, with a value that switches it on.
REFUSED = {
    "use_rslora": True, "lora_bias": True, "use_dora": True, "use_qalora": True, "rank_pattern": {"q_proj": 2},
    "alpha_pattern": {"q_proj": 2}, "modules_to_save": ["lm_head"], "layer_replication": [[0, 1]],
    "trainable_token_indices": [1], "target_parameters": ["x.weight"], "megatron_config": {"a": 1},
    "alora_invocation_tokens": [1], "arrow_config": {"a": 1}, "use_bdlora": {"a": 1}, "velora_config": {"a": 1},
    "monteclora_config": {"a": 1}, "kasa_config": {"a": 1}, "loftq_config": {"a": 1}, "eva_config": {"a": 1},
    "corda_config": {"a": 1}, "lora_ga_config": {"a": 1}, "ensure_weight_tying": True, "bias": "all",
    "init_lora_weights": "pissa",
}  # fmt: skip


@pytest.mark.parametrize("name", [*REFUSED, "field_of_a_later_peft"])
def test_what_is_not_an_average_is_refused(small_base, name) -> None:
    part = shard_files(small_base, 0)
    odd = part | {CONFIG_FILE: json.dumps(json.loads(part[CONFIG_FILE]) | {name: REFUSED.get(name, 1)}).encode()}
    with pytest.raises(RefusedByRule, match=name):
        compose({0: part, 1: odd}, shards=2)


def test_every_field_of_the_installed_peft_was_judged() -> None:
    """A new PEFT with a new field fails here: decide whether B A keeps its meaning, then add it to one of the two."""
    assert {f.name for f in fields(LoraConfig)} == HARMLESS | set(REFUSED)
    assert not HARMLESS & set(REFUSED)
    assert set(PLAIN) <= set(REFUSED)


@st.composite
def averages(draw) -> tuple[int, dict[int, dict[str, bytes]], dict[str, tuple[int, int]]]:
    """Shards of random rank, shapes and values, some of them missing."""
    shards, rank = draw(st.integers(1, 5)), draw(st.integers(1, 4))
    present = draw(st.sets(st.integers(0, shards - 1), min_size=1))
    shapes = {
        f"layer{n}": draw(st.tuples(st.integers(1, 7), st.integers(1, 7))) for n in range(draw(st.integers(1, 3)))
    }
    config = LoraConfig(r=rank, lora_alpha=draw(st.integers(1, 9)), target_modules=sorted(shapes))
    seed = draw(st.integers(0, 2**31))
    return shards, {shard: _random_part(config, shapes, seed + shard) for shard in present}, shapes


def _random_part(config: LoraConfig, shapes: dict[str, tuple[int, int]], seed: int) -> dict[str, bytes]:
    generator = torch.Generator().manual_seed(seed)
    tensors = {}
    for name, (inputs, outputs) in shapes.items():
        tensors[f"base_model.model.{name}.lora_A.weight"] = torch.randn(config.r, inputs, generator=generator)
        tensors[f"base_model.model.{name}.lora_B.weight"] = torch.randn(outputs, config.r, generator=generator)
    return {CONFIG_FILE: config_bytes(config.to_dict()), WEIGHTS_FILE: save(tensors)}


@settings(max_examples=60, deadline=None)
@given(case=averages())
def test_concatenation_is_the_dense_average_and_what_peft_calls_cat(case) -> None:
    shards, parts, shapes = case
    composed = compose(parts, shards=shards)
    assert is_average(list(parts.values()), composed.files, shards=shards)
    model = torch.nn.ModuleDict({name: torch.nn.Linear(*shape, bias=False) for name, shape in shapes.items()})
    with_adapters = _with_peft(model, {f"s{shard}": files for shard, files in parts.items()})
    names = [f"s{shard}" for shard in sorted(parts)]
    with_adapters.base_model.add_weighted_adapter(names, [1 / shards] * len(names), "cat", combination_type="cat")
    for name, delta in dense_deltas(composed.files).items():
        layer = with_adapters.get_submodule(name)
        torch.testing.assert_close(layer.get_delta_weight("cat").double(), delta, rtol=1e-4, atol=1e-5)


def _with_peft(model: torch.nn.Module, adapters: dict[str, dict[str, bytes]]) -> PeftModel:
    made = None
    for name, files in adapters.items():
        config = LoraConfig(**{k: v for k, v in json.loads(files[CONFIG_FILE]).items() if k != "peft_type"})
        if made is None:
            made = PeftModel(model, config, adapter_name=name)
        else:
            made.add_adapter(name, config)
        set_peft_model_state_dict(made, load(files[WEIGHTS_FILE]), adapter_name=name)
    return made


@given(case=averages())
@settings(max_examples=30, deadline=None)
def test_shards_side_by_side_are_the_shards(case) -> None:
    shards, parts, _ = case
    found = side_by_side(parts, shards=shards)
    summary = json.loads(found.files[SHARDS_FILE])
    assert summary == {"shards": shards, "folders": [f"s{shard:02d}" for shard in sorted(parts)]}
    for shard, files in parts.items():
        assert {name: found.files[f"s{shard:02d}/{name}"] for name in files} == files
    assert len(found.files) == 1 + sum(map(len, parts.values()))
    assert found.digest == side_by_side(dict(reversed(parts.items())), shards=shards).digest


def test_wrong_parts(small_base) -> None:
    part = shard_files(small_base, 0)
    odd = part | {CONFIG_FILE: json.dumps(json.loads(part[CONFIG_FILE]) | {"lora_alpha": 7}).encode()}
    for parts, shards in (({}, 2), ({2: part}, 2), ({0: part, 1: odd}, 2)):
        with pytest.raises(WrongUsage):
            compose(parts, shards=shards)
    for parts, shards in (({}, 2), ({2: part}, 2)):
        with pytest.raises(WrongUsage):
            side_by_side(parts, shards=shards)


def test_the_self_test_can_fail(monkeypatch) -> None:
    self_test()
    monkeypatch.setattr(composing, "_concatenate", lambda name, like, tensors, shards: torch.zeros(like.shape))
    with pytest.raises(NotAcceptable):
        self_test()


@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing`:FutureWarning")  # peft 0.21 under transformers 5.23
def test_plain_peft_loads_the_average(small_folder, small_base, tmp_path) -> None:
    chosen = plan(shards=2)
    store = MemoryStore()
    composed = build(small_base, chosen, people(), store).composed
    write_adapter(tmp_path, composed.files)
    assert json.loads((tmp_path / CONFIG_FILE).read_text())["base_model_name_or_path"] == "tiny"
    fresh = load_base(BaseSpec(str(small_folder))).model
    ids = torch.tensor([[5, 9, 30, 12]])
    with torch.no_grad():
        bare = fresh(ids).logits
        with_peft = PeftModel.from_pretrained(load_base(BaseSpec(str(small_folder))).model, tmp_path).eval()(ids).logits
        for name, delta in dense_deltas(composed.files).items():
            fresh.get_submodule(name.removeprefix("base_model.model.")).weight += delta.float()
        merged = fresh(ids).logits
    torch.testing.assert_close(with_peft, merged, rtol=1e-5, atol=1e-6)
    assert not torch.allclose(bare, merged, atol=1e-4)


def test_weights_file_is_named_for_peft(small_base) -> None:
    part = shard_files(small_base, 1)
    assert set(part) == {CONFIG_FILE, WEIGHTS_FILE}
    assert all(name.startswith("base_model.model.") for name in load(part[WEIGHTS_FILE]))
