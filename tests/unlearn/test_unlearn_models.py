"""Llama, Qwen, GPT-2 and Mistral, built small from their configurations, go the whole road.

The tokenizers are byte-level, one with begin and end marks, one without a begin mark that pads with its end mark, one
without any. Whatever the architecture, an erasure gives the bytes of a training that never saw the person, and the composed
adapter is the exact average in plain PEFT, loaded or merged.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from mask_world import CHATML, EOS, make_tokenizer
from peft import PeftModel
from safetensors.torch import load
from transformers import AutoModelForCausalLM, GPT2Config, LlamaConfig, MistralConfig, Qwen2Config, Qwen3Config
from unlearn_world import SECRET, Built, MemoryStore, build, people, plan, without

from lineage.errors import WrongUsage
from unlearn.adapters import attach, write_adapter
from unlearn.base import Base, base_spec, load_base
from unlearn.compose import dense_deltas
from unlearn.plan import plan_key
from unlearn.train import initial_state, train_slice

SIZES = {
    "hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2, "num_attention_heads": 2, "num_key_value_heads": 1,
}  # fmt: skip
MLP = {"gate_proj", "up_proj", "down_proj"}
ATTENTION = {"q_proj", "k_proj", "v_proj", "o_proj"}
TARGETS = {"gpt2": {"c_attn", "c_proj", "c_fc"}}  # the others: ATTENTION and MLP
IDS = torch.tensor([[5, 60, 61, 30, 12, 99]])

pytestmark = pytest.mark.filterwarnings(
    "ignore:`is_gradient_checkpointing`:FutureWarning"  # peft 0.21 under transformers 5.23
)


def architectures(vocabulary: int) -> dict[str, tuple[object, str]]:
    """A configuration and the kind of its tokenizer, by name."""
    tied, untied = (
        {"vocab_size": vocabulary, "tie_word_embeddings": True},
        {"vocab_size": vocabulary, "tie_word_embeddings": False},
    )
    return {
        "llama": (LlamaConfig(**SIZES, **untied), "with marks"),
        "llama tied": (LlamaConfig(**SIZES, **tied), "without marks"),
        "qwen2": (Qwen2Config(**SIZES, **tied), "without a begin mark"),
        "qwen3": (Qwen3Config(**SIZES, head_dim=8, **untied), "without a begin mark"),
        "gpt2": (GPT2Config(n_embd=16, n_layer=2, n_head=2, n_positions=256, **tied), "without a begin mark"),
        "mistral": (MistralConfig(**SIZES, sliding_window=8, **untied), "with marks"),
    }


NAMES = tuple(architectures(8))


def tokenizer_of(kind: str):
    made = make_tokenizer(merges=True, marks=kind == "with marks")
    if kind == "without a begin mark":
        made.eos_token = made.pad_token = EOS
    made.chat_template = CHATML
    return made


@dataclass(frozen=True)
class Small:
    """One architecture on disk and loaded, its plan, and what an erasure left of it."""

    name: str
    folder: str
    base: Base
    erased: Built
    fresh: Built


@pytest.fixture(scope="module", params=NAMES)
def small(request, tmp_path_factory) -> Small:
    folder = tmp_path_factory.mktemp("model")
    config, kind = architectures(len(tokenizer_of("with marks")))[request.param]
    torch.manual_seed(0)
    AutoModelForCausalLM.from_config(config).save_pretrained(folder)
    tokenizer_of(kind).save_pretrained(folder)
    base, chosen = load_base(base_spec(plan(), str(folder))), plan()
    rows, store = people(3), MemoryStore()
    build(base, chosen, rows, store)
    left = without(rows, {"s1"})
    return Small(
        request.param, str(folder), base, build(base, chosen, left, store), build(base, chosen, left, MemoryStore())
    )


def test_an_erasure_gives_the_bytes_of_never_having_ingested(small) -> None:
    assert small.erased.digests == small.fresh.digests


def test_the_target_modules_are_found(small) -> None:
    names = {name.split(".lora_")[0].rpartition(".")[2] for name in attach(small.base, plan()).views}
    assert names == TARGETS.get(small.name, ATTENTION | MLP)


def test_a_wrong_target_is_a_sentence_that_names_the_right_ones(small) -> None:
    for wrong in ("wqkv", "lm_head"):
        with pytest.raises(WrongUsage, match=f"no linear layer called {wrong}") as refusal:
            attach(small.base, plan(target_modules=(wrong,)))
        assert all(name in refusal.value.hint for name in TARGETS.get(small.name, ATTENTION | MLP))


def test_the_base_keeps_its_own_weights_tied_or_not(small) -> None:
    model, untouched = small.base.model, AutoModelForCausalLM.from_pretrained(small.folder)
    shared = model.get_input_embeddings().weight is model.get_output_embeddings().weight
    assert shared == (model.config.tie_word_embeddings is True)
    assert not any(parameter.requires_grad for parameter in model.get_output_embeddings().parameters())
    own = dict(model.named_parameters())
    for name, parameter in untouched.named_parameters():
        module, _, last = name.rpartition(".")
        found = own.get(name, own.get(f"{module}.base_layer.{last}"))
        assert torch.equal(found, parameter), name


def test_plain_peft_loads_and_merges_the_exact_average(small, tmp_path) -> None:
    write_adapter(tmp_path, small.erased.composed.files)
    with torch.no_grad():
        bare = AutoModelForCausalLM.from_pretrained(small.folder).eval()
        without_adapter = bare(IDS).logits
        with_adapter = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(small.folder), tmp_path).eval()
        served = with_adapter(IDS).logits
        merged = with_adapter.merge_and_unload().eval()(IDS).logits
        for name, delta in dense_deltas(small.erased.composed.files).items():
            weight = bare.get_submodule(name.removeprefix("base_model.model.")).weight
            weight += (delta.T if small.name == "gpt2" else delta).float()
        averaged = bare(IDS).logits
    torch.testing.assert_close(served, averaged, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(merged, averaged, rtol=1e-4, atol=1e-5)
    assert not torch.allclose(served, without_adapter, atol=1e-4)


# --- how the base is held -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_checkpointing_recomputes_the_same_numbers(small, dtype) -> None:
    """Also over a base in bfloat16, with LoRA weights in float32; and a second run gives the same bytes."""
    plain, saving = plan(dtype=dtype), plan(dtype=dtype, gradient_checkpointing=True)
    base, key = load_base(base_spec(plain, small.folder)), plan_key(SECRET, plain)
    parent = initial_state(base, plain, key, shard=0)
    records = [row.record for row in people(3)]
    states = [
        train_slice(base, how, key, shard=0, slice=0, records=records, parent=parent) for how in (plain, saving, saving)
    ]
    assert states[0].digest == states[1].digest == states[2].digest != parent.digest
    assert {tensor.dtype for tensor in load(states[0].weights).values()} == {torch.float32}


def test_the_token_budget_of_a_microbatch_moves_no_more_than_rounding(small, tmp_path) -> None:
    """Without dropout a step's gradient is one sum over its tokens, whatever the microbatches; floats add up in another
    order, so a plan fixes the budget. (Every microbatch seeds its own dropout; GPT-2 has some of its own.)"""
    records, states = [row.record for row in people(3)], []
    key, base = plan_key(SECRET, plan()), _without_dropout(small, tmp_path / "model")
    for budget in (1, 100, 100, 10**6):
        chosen = plan(microbatch_tokens=budget, lora_dropout=0.0)
        parent = initial_state(base, chosen, key, shard=0)
        states.append(train_slice(base, chosen, key, shard=0, slice=0, records=records, parent=parent))
    assert states[1].digest == states[2].digest
    first, *others = (torch.cat([t.flatten() for _, t in sorted(load(state.weights).items())]) for state in states)
    for other in others:
        assert torch.linalg.vector_norm(other - first) / torch.linalg.vector_norm(first) < 1e-4


def _without_dropout(small: Small, folder: Path) -> Base:
    """The same model with every dropout of its own configuration at zero."""
    shutil.copytree(small.folder, folder)
    config = json.loads((folder / "config.json").read_text())
    config |= {name: 0.0 for name in config if "drop" in name}
    (folder / "config.json").write_text(json.dumps(config))
    return load_base(base_spec(plan(), str(folder)))
