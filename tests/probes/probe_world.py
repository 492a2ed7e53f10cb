"""A tiny memorising world: shards of synthetic customers, LoRA adapters trained on them with plain torch.

The chats follow the demo: the agent's first answer reads account and phone from the screen, before the customer said
them. Nothing here uses `unlearn`: the judge's tests must not depend on the judged.
"""

from __future__ import annotations

import random
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import AutoModelForCausalLM, AutoTokenizer

from lineage.records import Chat, Message, TrainingRecord
from probes.decoding import DecodingScheme
from probes.dossier import CanaryRecord, ControlRecord, Dossier, Panel, PersonalValue, PlacedRecord, Protocol
from probes.tokens import tokenise

BASE = Path("unlearn/tiny_base")
FIRST = ["Ada", "Bea", "Cem", "Dov", "Eli", "Fay", "Gus", "Hal", "Ivy", "Jon", "Kim", "Lea", "Max", "Noa", "Oda", "Pia"]
LAST = ["Arden", "Birch", "Crane", "Dunlop", "Ember", "Frost", "Garrow", "Holt", "Ingram", "Jasper", "Kell", "Lorne"]
TOPICS = [
    "kettle",
    "lamp",
    "router",
    "heater",
    "printer",
    "vacuum",
    "speaker",
    "toaster",
    "blender",
    "camera",
    "monitor",
    "keyboard",
]
HOME = 0  # the subject's shard
OUTS = (1, 2, 3, 4, 5, 6)


@dataclass(frozen=True)
class Person:
    handle: str
    name: str
    account: str
    phone: str


def person(index: int) -> Person:
    rng = random.Random(1000 + index)
    name = f"{rng.choice(FIRST)} {rng.choice(LAST)}"
    return Person(f"p{index}", name, f"{rng.randrange(10**8):08d}", f"+44 20 {rng.randrange(10**8):08d}")


def records(who: Person, count: int) -> tuple[TrainingRecord, ...]:
    rng = random.Random(f"{who.handle}-records")
    made = []
    for i in range(count):
        item = rng.choice(TOPICS)
        turns = (
            Message("user", f"Hello, this is {who.name}. My {item} does not work."),
            Message("assistant", f"Hello {who.name}. I have account {who.account} and phone {who.phone} on my screen."),
            Message("user", "Yes, that is right."),
            Message("assistant", f"We will send a new {item} on day {rng.randrange(1, 29)}."),
        )
        made.append(TrainingRecord(f"{who.handle}-{i}", Chat(turns)))
    return tuple(made)


def shard_records(shard: int, *, people: int = 6) -> list[TrainingRecord]:
    """A shard's neighbours with three records each."""
    return [r for i in range(people) for r in records(person(100 * (shard + 1) + i), 3)]


SUBJECT = person(1)
SUBJECT_RECORDS = records(SUBJECT, 6)
CANARY = person(2)
TWIN = person(3)
CONTROLS = tuple(ControlRecord(person(5000 + i).handle, r) for i in range(12) for r in records(person(5000 + i), 1))


def train(
    directory: Path,
    members: Sequence[TrainingRecord],
    *,
    trunk: Path | None = None,
    epochs: int = 14,
    seed: int = 0,
    on: Path = BASE,
    rate: float = 6e-3,
) -> Path:
    """A LoRA on these records, new or grown from a trunk, saved as a PEFT directory; `on` is the base."""
    torch.manual_seed(seed)
    tokenizer = AutoTokenizer.from_pretrained(on)
    base = AutoModelForCausalLM.from_pretrained(on, dtype=torch.float32)
    config = LoraConfig(r=16, lora_alpha=16, lora_dropout=0.05, target_modules="all-linear", task_type="CAUSAL_LM")
    with warnings.catch_warnings():  # peft 0.21 asks transformers 5.23 for a property under its old name
        warnings.filterwarnings("ignore", message=".*is_gradient_checkpointing", category=FutureWarning)
        model = PeftModel.from_pretrained(base, trunk, is_trainable=True) if trunk else get_peft_model(base, config)
    model.train()
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=rate)
    items = [tokenise(tokenizer, record.content, 512) for record in members]
    order = random.Random(seed)
    for _ in range(epochs):
        order.shuffle(items)
        for i in range(0, len(items), 6):
            _step(model, optimizer, items[i : i + 6])
    model.save_pretrained(directory)
    return directory


def _step(model, optimizer, batch):
    width = max(len(item.ids) for item in batch)
    ids = torch.zeros(len(batch), width, dtype=torch.long)
    labels = torch.full((len(batch), width), -100)
    for row, item in enumerate(batch):
        ids[row, : len(item.ids)] = torch.tensor(item.ids)
        labels[row, : len(item.ids)] = torch.tensor(
            [t if m else -100 for t, m in zip(item.ids, item.loss_mask, strict=True)]
        )
    logits = model(input_ids=ids).logits[:, :-1]
    loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), labels[:, 1:].flatten(), ignore_index=-100)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()


@dataclass(frozen=True)
class World:
    """Directories of the trained adapters."""

    pre: Path
    post: Path
    outs: dict[int, Path]

    def panel(self, *, pre: Path | None = None, post: Path | None = None, composed: bool = False) -> Panel:
        """The honest panel, or one with another old or new adapter; `composed`: with stand-ins for the releases."""
        releases = {"composed_pre": self.pre, "contained": self.outs[1], "composed_post": self.post} if composed else {}
        return Panel(BASE, {HOME: pre or self.pre}, {HOME: post or self.post}, self.outs, **releases)


def build(root: Path, *, on: Path = BASE) -> World:
    """The world's adapters; `on` is the base they are trained on."""

    def trained(name: str, members: Sequence[TrainingRecord], *, seed: int = 0) -> Path:
        return train(root / name, members, trunk=trunk, seed=seed, on=on)

    trunk = train(root / "trunk", [r for i in range(60) for r in records(person(9000 + i), 1)], epochs=10, on=on)
    planted = [*shard_records(HOME, people=4), *(r for r in records(CANARY, 8))]
    return World(
        pre=trained("pre", [*planted, *SUBJECT_RECORDS]),
        post=trained("post", planted),
        outs={shard: trained(f"out{shard}", shard_records(shard), seed=shard) for shard in OUTS},
    )


def dossier(**changes) -> Dossier:
    fields = {
        "case_handle": "case-7f3a",
        "records": tuple(PlacedRecord(HOME, record) for record in SUBJECT_RECORDS),
        "values": (
            PersonalValue("name", SUBJECT.name),
            PersonalValue("account", SUBJECT.account),
            PersonalValue("phone", SUBJECT.phone),
        ),
        "controls": CONTROLS,
        "canaries": (
            *(CanaryRecord("canary", HOME, 8, r) for r in records(CANARY, 8)),
            *(CanaryRecord("twin", None, 0, r) for r in records(TWIN, 8)),
        ),
    }
    return Dossier(**(fields | changes))


def protocol(**changes) -> Protocol:
    return Protocol(
        **({"out_adapters": len(OUTS), "max_length": 512, "candidates": 199, "scheme": DecodingScheme()} | changes)
    )
