"""Does a score depend on how it was computed, and what does it cost: `python benchmarks/probe_scores.py [--quick]`.

Random Llama, GPT-2 and Qwen models with random LoRA adapters read the same records one by one, in batches of several
sizes, in another order, among other neighbours and padded on the other side; tokenizers have a BOS or none, and their
padding token may be the end token. Every score of every record is compared with the reading of the record alone.
Random weights are no easier than trained ones here: rounding does not depend on what a model knows.

The second half times the passes on the embedded base, in processor time: of the adapter, of the base, and the arithmetic.
"""

from __future__ import annotations

import argparse
import sys
import time
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from measuring import beside_bar, records_of, write_result
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    Qwen2Config,
    Qwen2ForCausalLM,
)

from lineage.records import Completion, Content, PlainText
from probes.calibration import log_ratio
from probes.companions import calibrated_scores, mean_log_p, record_scores
from probes.decoding import DecodingScheme
from probes.scores import loss
from probes.stats import Abstained
from probes.target import BASE, Target
from probes.tokens import Tokenised, tokenise
from unlearn.tiny_base import TINY_BASE

BAR = 1e-5
SUSPECT, OUTS = "pre", ("out_1", "out_2", "out_3")
SCHEME = DecodingScheme(0.9, 40, 0.95)
SIZES = {"vocab_size": 1536, "hidden_size": 48, "intermediate_size": 96, "num_hidden_layers": 2,
         "num_attention_heads": 4, "max_position_embeddings": 512, "initializer_range": 0.06}  # fmt: skip
ARCHITECTURES: dict[str, Callable[[], PreTrainedModel]] = {
    "Llama": lambda: LlamaForCausalLM(LlamaConfig(**SIZES, num_key_value_heads=2)),
    "GPT-2": lambda: GPT2LMHeadModel(
        GPT2Config(vocab_size=1536, n_positions=512, n_embd=48, n_layer=2, n_head=4, initializer_range=0.06)
    ),
    "Qwen": lambda: Qwen2ForCausalLM(Qwen2Config(**SIZES, num_key_value_heads=2)),
}
TOKENIZERS: dict[str, dict[str, str | None]] = {
    "BOS and EOS": {},
    "no BOS": {"bos_token": None},
    "padding is EOS": {"pad_token": "<|end|>"},
}
Table = list[dict[str, float]]  # per record, every score by its name


@dataclass(frozen=True)
class Way:
    """One way to read: batch size (None: as the judge does), padding side, and the order of the records."""

    name: str
    batch: int | None
    padding: str = "right"
    order: str = "given"


ALONE = Way("alone", 1)
WAYS = (
    Way("batch of 3", 3), Way("all at once", 64), Way("as the judge", None), Way("reversed", 4, order="reversed"),
    Way("other neighbours", 5, order="mixed"), Way("left, alone", 1, "left"), Way("left, batch of 3", 3, "left"),
    Way("left, all at once", 64, "left", "mixed"),
)  # fmt: skip


def contents(count: int) -> list[Content]:
    """Chats of the demo, completions and plain texts of very different length, in turn."""
    found: list[Content] = []
    for i, record in enumerate(records_of()[:count]):
        words = " ".join(message.content for message in record.content.messages)
        kinds = (record.content, Completion(words[:60], words[60 : 80 + 9 * i]), PlainText(words[: 5 + 17 * i]))
        found.append(kinds[i % 3])
    return found


def random_model(architecture: str, *, seed: int = 1) -> PeftModel:
    """A base with random weights and four random LoRA adapters."""
    torch.manual_seed(seed)
    lora = LoraConfig(
        r=4, lora_dropout=0.3, init_lora_weights=False, target_modules="all-linear", task_type="CAUSAL_LM"
    )
    with warnings.catch_warnings():  # peft 0.21 asks transformers 5.23 for a property under its old name
        warnings.filterwarnings("ignore", message=".*is_gradient_checkpointing", category=FutureWarning)
        warnings.filterwarnings("ignore", message="fan_in_fan_out is set to False")
        model = get_peft_model(ARCHITECTURES[architecture](), lora, adapter_name=SUSPECT)
        for name in OUTS:
            model.add_adapter(name, lora)
    return model


def tokenizer_of(variant: str) -> PreTrainedTokenizerBase:
    """The embedded base's tokenizer with other special tokens."""
    return AutoTokenizer.from_pretrained(TINY_BASE, **TOKENIZERS[variant])


def table_of(model: PeftModel, items: Sequence[Tokenised], way: Way) -> Table:
    """Every score of every item, in the items' order; each item's controls for RMIA are the other items."""
    order = list(range(len(items)))
    if way.order != "given":
        order = (
            order[::-1] if way.order == "reversed" else [int(i) for i in np.random.default_rng(3).permutation(order)]
        )
    target = Target(model, None, scheme=SCHEME, padding=way.padding)
    readings = {}
    for name in (BASE, SUSPECT, *OUTS):
        found = target.read(name, [items[i] for i in order], batch=way.batch)
        readings[name] = [found[order.index(i)] for i in range(len(items))]
    own, outs = readings[SUSPECT], np.array([mean_log_p(readings[name]) for name in OUTS])
    ratios = log_ratio(mean_log_p(own), outs)
    return [
        record_scores(own[i], readings[BASE][i], item.learnt_text())
        | _numbers(calibrated_scores(loss(own[i].log_p), outs[:, i], np.delete(ratios, i)))
        for i, item in enumerate(items)
    ]


def _numbers(scores: Mapping[str, float | Abstained]) -> dict[str, float]:
    return {name: value for name, value in scores.items() if not isinstance(value, Abstained)}


def worst_differences(architecture: str, variant: str, count: int, ways: Sequence[Way] = WAYS) -> dict[str, float]:
    """The largest difference of each score over all records and ways, against each record read alone."""
    tokenizer = tokenizer_of(variant)
    items = [tokenise(tokenizer, content, 256) for content in contents(count)]
    model = random_model(architecture)
    alone = table_of(model, items, ALONE)
    worst: dict[str, float] = defaultdict(float)
    for way in ways:
        for one, other in zip(alone, table_of(model, items, way), strict=True):
            for name, value in one.items():
                worst[name] = max(worst[name], 0.0 if value == other[name] else abs(value - other[name]))
    return dict(worst)


def pass_costs(count: int) -> dict[str, float]:
    """Processor milliseconds per 1,000 tokens of a pass, microseconds of arithmetic per record, bytes kept per token."""
    tokenizer = tokenizer_of("BOS and EOS")
    items = [tokenise(tokenizer, record.content, 512) for record in records_of()[:count]]
    lora = LoraConfig(r=8, init_lora_weights=False, target_modules="all-linear", task_type="CAUSAL_LM")
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*is_gradient_checkpointing", category=FutureWarning)
        model = get_peft_model(AutoModelForCausalLM.from_pretrained(TINY_BASE, dtype=torch.float32), lora, SUSPECT)
    target = Target(model, tokenizer, scheme=SCHEME)
    tokens = sum(len(item.ids) for item in items)
    scored = sum(len(item.loss_positions()) for item in items)
    target.read(BASE, items[:8])
    (own, adapter_s), (base, base_s) = (_timed(lambda n=name: target.read(n, items)) for name in (SUSPECT, BASE))
    texts = [item.learnt_text() for item in items]
    _, scores_s = _timed(lambda: [record_scores(*parts) for parts in zip(own, base, texts, strict=True)])
    return {
        "tokens": tokens, "scored tokens": scored,
        "adapter pass, ms per 1,000 tokens": round(1e6 * adapter_s / tokens, 1),
        "base pass, ms per 1,000 tokens": round(1e6 * base_s / tokens, 1),
        "nine scores, us per record": round(1e6 * scores_s / len(items), 1),
        "floats kept per scored token": 5, "logits per scored token": target.vocabulary,
    }  # fmt: skip


def _timed(work: Callable[[], Any]) -> tuple[Any, float]:
    begun = time.process_time()
    return work(), time.process_time() - begun


def _cases(*, quick: bool) -> Iterator[tuple[str, str]]:
    for i, architecture in enumerate(ARCHITECTURES):
        variants = list(TOKENIZERS)
        yield from ((architecture, variant) for variant in (variants[i : i + 1] if quick else variants))


def main() -> int:
    """Print the worst difference per score and architecture, and the costs; a full run is kept as a dated file."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--quick", action="store_true", help="12 records, one tokenizer a model: a test that it runs")
    quick = parser.parse_args().quick
    count = 12 if quick else 24
    worst: dict[str, dict[str, float]] = {}
    for architecture, variant in _cases(quick=quick):
        found = worst_differences(architecture, variant, count)
        kept = worst.setdefault(architecture, {})
        kept |= {name: max(value, kept.get(name, 0.0)) for name, value in found.items()}
    costs = pass_costs(24 if quick else 200)
    largest = max(value for found in worst.values() for value in found.values())
    _show(worst, costs, largest)
    if not quick:
        figures = {"records": count, "ways": [way.name for way in WAYS], "tokenizers": list(TOKENIZERS), "bar": BAR}
        write_result("probe-scores", figures | {"worst difference": worst, "largest": largest, "cost": costs})
    return 0 if largest < BAR else 1


def _show(worst: Mapping[str, Mapping[str, float]], costs: Mapping[str, float], largest: float) -> None:
    print(f"  {'score':18}" + "".join(f"{name:>12}" for name in worst))
    for score in next(iter(worst.values())):
        print(f"  {score:18}" + "".join(f"{found[score]:12.1e}" for found in worst.values()))
    beside_bar("worst difference of a score", found=largest, at_most=BAR)
    for name, value in costs.items():
        print(f"  {name}: {value:,}")


if __name__ == "__main__":
    sys.exit(main())
