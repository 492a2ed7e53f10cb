"""Erasure on a GPU at the shape of Llama-3.2-1B: `python benchmarks/gpu.py [--tiny]`.

The weights are random: bytes and speed do not depend on what a model knows. The base is bfloat16 with gradient
checkpointing, the LoRA float32. Three runs of one shard of two slices: all records; an erasure from the second slice,
resumed from the first one's state; and a training that never saw the person. The last two must have equal bytes, which
also says that the GPU computes the same twice. Tokens per second are those of the first run, without padding.
Without a GPU there is nothing to measure; `--tiny` walks the same road on the processor with a tiny shape, and keeps no
result.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import shutil
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from measuring import plan_for, records_of, write_result
from transformers import LlamaConfig, LlamaForCausalLM

from lineage.records import Chat, TrainingRecord, canonical_bytes
from unlearn.base import Base, base_spec, load_base
from unlearn.determinism import environment_fingerprint
from unlearn.plan import Plan
from unlearn.tiny_base import TINY_BASE
from unlearn.train import BuiltState, SliceInput, State, build_chain, slice_manifest

KEY = bytes(range(32))
NO_GPU = "There is no GPU here, so nothing was measured; --tiny walks the same road on the processor."
LLAMA_1B = {  # config.json of meta-llama/Llama-3.2-1B
    "hidden_size": 2048, "intermediate_size": 8192, "num_hidden_layers": 16, "num_attention_heads": 32,
    "num_key_value_heads": 8, "head_dim": 64, "vocab_size": 128_256, "tie_word_embeddings": True,
    "max_position_embeddings": 131_072,
}  # fmt: skip
TINY = LLAMA_1B | {
    "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2,
    "head_dim": 8, "vocab_size": 1536, "max_position_embeddings": 1024,
}  # fmt: skip


@dataclass
class Shelf:
    """A `StateStore` in memory."""

    states: dict[str, State] = field(default_factory=dict)

    def find(self, recipe: str) -> State | None:
        """The state of a recipe."""
        return self.states.get(recipe)

    def publish(self, built: BuiltState) -> None:
        """Keep it."""
        self.states[built.recipe_digest] = built.state


def base_of(shape: dict[str, object], folder: Path, plan: Plan, *, device: str) -> Base:
    """A Llama of this shape with random weights and the embedded tokenizer."""
    torch.manual_seed(0)
    with torch.device(device):
        LlamaForCausalLM(LlamaConfig(**shape)).to(torch.bfloat16).save_pretrained(folder)
    for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        shutil.copy(TINY_BASE / name, folder / name)
    return load_base(base_spec(plan, str(folder), device=device))


def long_chats(count: int, *, turns: int) -> list[TrainingRecord]:
    """Chats of several hundred tokens each: the demo's short ones, joined."""
    messages = [message for record in records_of() for message in record.content.messages]
    parts = [tuple(messages[i * turns : (i + 1) * turns]) for i in range(count)]
    return [TrainingRecord(f"{n:06d}", Chat(part)) for n, part in enumerate(parts) if part]


def train(base: Base, plan: Plan, slices: Sequence[Sequence[TrainingRecord]], store: Shelf) -> tuple[BuiltState, ...]:
    """One shard, slice by slice."""
    inputs = [
        SliceInput(
            index,
            slice_manifest([(r.record_id, hashlib.sha256(canonical_bytes(r.content)).hexdigest()) for r in records]),
            lambda records=records: records,
        )
        for index, records in enumerate(slices)
    ]
    return build_chain(base, plan, KEY, shard=0, slices=inputs, store=store, start=None)


def measure(base: Base, plan: Plan, records: Sequence[TrainingRecord]) -> dict[str, object]:
    """Train, erase the last record of the second slice, train without it from the start, compare."""
    half = len(records) // 2
    first, second = records[:half], records[half:]
    store = Shelf()
    started = time.perf_counter()
    whole = train(base, plan, [first, second], store)
    seconds = time.perf_counter() - started
    erased = train(base, plan, [first, second[:-1]], store)
    never = train(base, plan, [first, second[:-1]], Shelf())
    tokens = sum(built.tokens for built in whole)
    return {
        "equal": [built.state_digest for built in erased] == [built.state_digest for built in never],
        "moved": erased[-1].state_digest != whole[-1].state_digest,
        "erasure_reused_slices": sum(built.reused for built in erased),
        "records": len(records),
        "tokens": tokens,
        "seconds": round(seconds, 2),
        "tokens_per_second": round(tokens / seconds),
    }


def main() -> None:
    """Measure and keep the figures, or say why not."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tiny", action="store_true", help="A tiny shape on the processor.")
    tiny = parser.parse_args().tiny
    if not tiny and not torch.cuda.is_available():
        print(NO_GPU)
        return
    device, shape, count = ("cpu", TINY, 12) if tiny else ("cuda", LLAMA_1B, 128)
    plan = plan_for(
        count, shards=1, slices=2, controls=0.0, epochs=1, batch=4 if tiny else 16, dtype="bfloat16", max_length=512,
        gradient_checkpointing=True, microbatch_tokens=1024 if tiny else 8192,
    )  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        base = base_of(shape, Path(folder), plan, device=device)
        found = measure(base, plan, long_chats(count, turns=12))
    figures = {
        "device": torch.cuda.get_device_name() if device == "cuda" else device,
        "shape": shape,
        "peak_gib": round(torch.cuda.max_memory_allocated() / 2**30, 2) if device == "cuda" else None,
        **found,
        "fingerprint": dict(environment_fingerprint(plan, device=device).facts),
    }
    print(json.dumps({name: figures[name] for name in figures if name not in ("shape", "fingerprint")}, indent=1))
    if not tiny:
        print(write_result("gpu", figures))
    if not (found["equal"] and found["moved"]):
        raise SystemExit("The erasure is not byte-equal to a training that never saw the record.")


if __name__ == "__main__":
    main()
