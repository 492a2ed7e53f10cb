from __future__ import annotations

import json

import pytest
import torch
from peft import PeftModel
from safetensors.torch import load, save
from unlearn_world import SECRET, MemoryStore, build, people, plan

from lineage.errors import NotAcceptable, RefusedByRule, WrongUsage
from unlearn import compose as composing
from unlearn.adapters import CONFIG_FILE, WEIGHTS_FILE, adapter_files, write_adapter
from unlearn.base import BaseSpec, load_base
from unlearn.compose import compose, dense_deltas, is_average, self_test
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


@pytest.mark.parametrize(
    "change",
    [{"use_rslora": True}, {"lora_bias": True}, {"use_dora": True}, {"bias": "all"}, {"rank_pattern": {"q": 2}}],
)
def test_what_is_not_an_average_is_refused(small_base, change) -> None:
    part = shard_files(small_base, 0)
    odd = part | {CONFIG_FILE: json.dumps(json.loads(part[CONFIG_FILE]) | change).encode()}
    with pytest.raises(RefusedByRule):
        compose({0: part, 1: odd}, shards=2)


def test_wrong_parts(small_base) -> None:
    part = shard_files(small_base, 0)
    odd = part | {CONFIG_FILE: json.dumps(json.loads(part[CONFIG_FILE]) | {"lora_alpha": 7}).encode()}
    for parts, shards in (({}, 2), ({2: part}, 2), ({0: part, 1: odd}, 2)):
        with pytest.raises(WrongUsage):
            compose(parts, shards=shards)


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
