"""Training throughput of Lethe's loop against `transformers.Trainer`: `python benchmarks/throughput.py [--quick]`.

Same model, same LoRA, same records, same batches in the same order, same padding, same optimizer, float32, one thread,
in one process; the two take turns and the order alternates. Times are processor time, so that other work on the machine
does not count. What differs is what each loop does around the arithmetic: Lethe's is deterministic, seeds its random
numbers before every microbatch, keeps logits only where loss falls, has its LoRA in one node and steps one flat vector;
Trainer runs as it comes (no evaluation, no checkpoints, no logging). Tokens count with padding.
Bar: 1.1 times, goal 1.5 times.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from measuring import plan_for, records_of, tiny, write_result
from peft import LoraConfig, get_peft_model
from safetensors.torch import save
from transformers import AutoModelForCausalLM, Trainer, TrainingArguments
from transformers.trainer_callback import PrinterCallback
from transformers.utils import logging

from lineage.records import TrainingRecord
from unlearn.adapters import attach, initial_weights
from unlearn.base import Base
from unlearn.batches import Microbatch, to_tensors
from unlearn.determinism import pin_environment
from unlearn.loop import Course, make_optimizer, optimise, steps_of
from unlearn.plan import Plan
from unlearn.tiny_base import TINY_BASE
from unlearn.tokens import tokenise

BAR, GOAL = 1.1, 1.5
KEY = bytes(range(32))


@dataclass(frozen=True)
class Work:
    """The microbatches both loops run, one optimizer step each, and how many tokens they hold with padding."""

    course: Course
    batches: Sequence[Microbatch]

    @property
    def tokens(self) -> int:
        """Tokens of all microbatches, with padding."""
        return sum(batch.ids.numel() for batch in self.batches)


def work_of(base: Base, plan: Plan, records: Sequence[TrainingRecord]) -> Work:
    """The steps of one slice; a microbatch per step, empty steps left out, because Trainer knows none."""
    course = Course(base, plan, KEY, 0, 0)
    examples = {
        r.record_id: to_tensors(tokenise(base.tokenizer, r.content, max_length=plan.max_length)) for r in records
    }
    return Work(course, [parts[0] for parts in steps_of(course, examples) if len(parts) == 1])


def lethe_seconds(base: Base, work: Work) -> float:
    """Our loop over the work, weights and optimizer fresh."""
    plan = work.course.plan
    lora = attach(base, plan)
    lora.load(initial_weights(lora, KEY, shard=0))
    optimizer = make_optimizer(lora, plan, save({}))
    torch.use_deterministic_algorithms(True)
    start = time.process_time()
    optimise(work.course, lora, optimizer, steps=[[batch] for batch in work.batches], progress=None)
    return time.process_time() - start


class Ready(torch.utils.data.Dataset):
    """Collated batches, as Trainer wants them: ids, attention mask and labels (-100 where no loss falls)."""

    def __init__(self, work: Work, pad_id: int) -> None:
        self._rows = [_as_trainer(batch, pad_id) for batch in work.batches]

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        return self._rows[index]


def _as_trainer(batch: Microbatch, pad_id: int) -> dict[str, torch.Tensor]:
    labels = torch.full_like(batch.ids, -100)
    labels[:, 1:] = torch.where(batch.predicts[:, :-1], batch.ids[:, 1:], -100)
    return {"input_ids": batch.ids, "attention_mask": (batch.ids != pad_id).long(), "labels": labels}


class InOrder(Trainer):
    """Trainer with the batches in the order they are given."""

    def _get_train_sampler(self, *_: object) -> torch.utils.data.Sampler:
        return torch.utils.data.SequentialSampler(self.train_dataset)


def trainer_seconds(work: Work, folder: str, pad_id: int) -> float:
    """Trainer over the same work: a fresh base with the same LoRA."""
    plan = work.course.plan
    torch.use_deterministic_algorithms(False)
    model = AutoModelForCausalLM.from_pretrained(TINY_BASE, attn_implementation=plan.attention)
    config = LoraConfig(
        r=plan.lora_r, lora_alpha=plan.lora_alpha, lora_dropout=plan.lora_dropout, task_type="CAUSAL_LM",
        target_modules="all-linear",
    )  # fmt: skip
    arguments = TrainingArguments(
        output_dir=folder, use_cpu=True, per_device_train_batch_size=1, num_train_epochs=1, learning_rate=plan.lr_peak,
        lr_scheduler_type="linear", warmup_steps=1, logging_strategy="no", save_strategy="no", report_to=[],
        disable_tqdm=True, max_grad_norm=0.0, weight_decay=plan.weight_decay, optim="adamw_torch",
    )  # fmt: skip
    trainer = InOrder(
        model=get_peft_model(model, config), args=arguments, train_dataset=Ready(work, pad_id),
        data_collator=lambda rows: rows[0],
    )  # fmt: skip
    trainer.remove_callback(PrinterCallback)
    start = time.process_time()
    trainer.train()
    return time.process_time() - start


def compare(base: Base, work: Work, *, rounds: int) -> Mapping[str, object]:
    """Both loops in turns; the ratio is that of a round, so that a busy machine slows both."""
    pad_id = base.tokenizer.pad_token_id
    times: dict[str, list[float]] = {"lethe": [], "trainer": []}
    with tempfile.TemporaryDirectory() as folder:
        runs = {"lethe": lambda: lethe_seconds(base, work), "trainer": lambda: trainer_seconds(work, folder, pad_id)}
        for turn in range(rounds + 1):
            for name in sorted(runs, reverse=turn % 2 == 1):
                seconds = runs[name]()
                if turn:  # the first round warms up
                    times[name].append(seconds)
    ratios = [b / a for a, b in zip(times["lethe"], times["trainer"], strict=True)]
    return {
        "steps": len(work.batches),
        "tokens": work.tokens,
        "tokens_per_step": round(work.tokens / len(work.batches)),
        "tokens_per_s": {name: round(work.tokens / statistics.median(found)) for name, found in times.items()},
        "ratio_median": round(statistics.median(ratios), 2),
        "ratio_min": round(min(ratios), 2),
        "ratio_max": round(max(ratios), 2),
    }


def main() -> int:
    """Print a line per setting; 1 if a median is below the bar."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--quick", action="store_true", help="a tenth of the work, for a test that it runs")
    quick = parser.parse_args().quick
    warnings.filterwarnings("ignore")
    logging.disable_progress_bar()
    records, found = records_of(), {}
    for batch in (1, 4, 10):
        for dropout in (0.05, 0.0):
            some = records[: (16 if quick else 64) * batch]
            plan = plan_for(len(some), controls=0.0, batch=batch, shards=1, slices=1, epochs=1, lora_dropout=dropout,
                            microbatch_tokens=1 << 20)  # fmt: skip
            base = tiny(plan)
            pin_environment(plan)
            work = work_of(base, plan, some)
            figures = compare(base, work, rounds=1 if quick else 5)
            found[f"batch {batch}, dropout {dropout}"] = figures
            print(f"batch {batch:2}  dropout {dropout:4}  {figures['tokens_per_step']:5} tokens a step   "
                  f"{figures['ratio_median']:.2f} x  ({figures['ratio_min']:.2f} to {figures['ratio_max']:.2f})", flush=True)  # fmt: skip
    worst = min(figures["ratio_median"] for figures in found.values())
    print(f"bar {BAR} x, goal {GOAL} x; worst {worst:.2f} x: {'met' if worst >= BAR else 'NOT met'}")
    if not quick:
        write_result("throughput", {"bar": BAR, "goal": GOAL, "threads": 1, "settings": found})
    return 0 if worst >= BAR or quick else 1


if __name__ == "__main__":
    sys.exit(main())
