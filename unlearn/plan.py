"""The plan: every number of a training, fixed before the first step and never derived from the records again.

A plan is proposed once from a rounded picture of the corpus and then frozen. Where a record goes and in which step it is
learnt follow from the plan, its key and the record alone, so that a record can leave without moving its neighbours.
Nothing here imports torch: fast commands read plans.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from functools import cached_property
from typing import Literal

import rfc8785
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from lineage.errors import WrongUsage
from unlearn.draw import draw
from unlearn.instructions import INSTRUCTION_SETS

__all__ = [
    "TRAINING_PATH", "CorpusShape", "Placement", "Plan", "TrainSettings", "order_of", "place", "plan_key",
    "propose_plan", "step_of",
]  # fmt: skip

TRAINING_PATH = 2
"""Version of the training path. Raise it when the same recipe would give other bytes; tests/unlearn/test_golden.py guards it."""

# Fields that plans frozen earlier lack, and what they mean there: left out of the JSON, so that no digest moves.
LATER_FIELDS = {"isa": "", "trunk_lr_peak": 0.0, "canary_doses": (), "canary_style": "", "canary_generation": 0}
CHARACTERS_PER_TOKEN = 4  # rough, and rounded to a power of two afterwards


@dataclass(frozen=True)
class TrainSettings:
    """What a person may set in `[adapters.NAME.training]`; the rest of a plan follows from the corpus."""

    shards: int = 8
    slices: int = 2  # per ingest generation
    controls: float = 0.2  # share of the subjects that is never trained on
    epochs: int = 4
    trunk: str = "auto"  # auto (if the corpus has records without a data subject), on, off
    trunk_epochs: int = 4
    batch: int = 32  # records per step of an unsharded training; each shard takes batch / shards
    lr_peak: float = 5e-4
    warmup_fraction: float = 0.1
    lr_floor: float = 0.1
    weight_decay: float = 0.0
    lora_r: int = 16
    lora_alpha: int = 32
    lora_dropout: float = 0.05
    target_modules: tuple[str, ...] = ()  # empty: every linear layer of the decoder
    max_length: int = 512
    microbatch_tokens: int = 4096
    optimizer: str = "carry"
    dtype: str = "float32"
    attention: str = "sdpa"
    gradient_checkpointing: bool = False
    threads: int = 1
    isa: str = ""
    trunk_lr_peak: float = 2e-3  # 0: as lr_peak

    @classmethod
    def from_mapping(cls, values: Mapping[str, object]) -> TrainSettings:
        """Settings from a TOML table.

        Raises:
            WrongUsage: an unknown key or a value of the wrong type.
        """
        return cls(**_typed(cls, values, what="training setting"))


@dataclass(frozen=True)
class Plan:
    """The frozen numbers of a training. Two equal plans with different nonces place records differently.

    `expected_tokens` is the loss denominator of every step. `lr_floor` is the share of the peak left at the end of a
    slice; `trunk_lr_peak` is the trunk's own peak, 0 for `lr_peak`. `steps_per_epoch` counts the steps of one slice,
    `trunk_steps_per_epoch` those of the trunk. `canary_doses`, `canary_style` and `canary_generation` say all there is to
    say about a shard's synthetic people (`pipelines.canary_people`).
    """

    adapter: str
    nonce: str
    shards: int
    slices: int
    controls: float
    epochs: int
    steps_per_epoch: int
    trunk: bool
    trunk_epochs: int
    trunk_steps_per_epoch: int
    expected_batch: int
    expected_tokens: int
    lr_peak: float
    warmup_fraction: float
    lr_floor: float
    weight_decay: float
    lora_r: int
    lora_alpha: int
    lora_dropout: float
    target_modules: tuple[str, ...]
    max_length: int
    microbatch_tokens: int
    optimizer: str
    dtype: str
    attention: str
    gradient_checkpointing: bool
    threads: int
    training_path: int = TRAINING_PATH
    isa: str = ""
    trunk_lr_peak: float = 0.0
    canary_doses: tuple[int, ...] = ()
    canary_style: str = ""
    canary_generation: int = 0

    def __post_init__(self) -> None:
        counts = ("shards", "slices", "epochs", "steps_per_epoch", "trunk_epochs", "trunk_steps_per_epoch", "lora_r",
                  "expected_batch", "expected_tokens", "lora_alpha", "max_length", "microbatch_tokens", "threads")  # fmt: skip
        for name in counts:
            _require(getattr(self, name) >= 1, name, "at least 1")
        for name in ("controls", "warmup_fraction", "lora_dropout"):
            _require(0 <= getattr(self, name) < 1, name, "from 0 to below 1")
        _require(0 <= self.lr_floor <= 1, "lr_floor", "a share of the peak, from 0 to 1")
        _require(self.lr_peak > 0 and math.isfinite(self.lr_peak), "lr_peak", "above 0")
        _require(0 <= self.trunk_lr_peak < math.inf, "trunk_lr_peak", "0 (as lr_peak) or more")
        _require(self.weight_decay >= 0, "weight_decay", "0 or more")
        _require(self.optimizer in ("carry", "reset"), "optimizer", '"carry" or "reset"')
        _require(self.dtype in ("float32", "bfloat16"), "dtype", '"float32" or "bfloat16"')
        _require(self.attention in ("sdpa", "eager"), "attention", '"sdpa" or "eager"')
        known = ", ".join(f'"{name}"' for name in INSTRUCTION_SETS)
        styles = ("chat", "completion", "text") if self.canary_doses else ("",)
        good = min(self.canary_doses, default=1) >= 1 and self.canary_style in styles
        _require(good, "canary_doses", "at least 1 each, in a style that there is")
        _require(self.isa in INSTRUCTION_SETS, "isa", f"one of {known}")

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the canonical JSON."""
        return hashlib.sha256(self.to_json().encode()).hexdigest()

    def to_json(self) -> str:
        """RFC 8785 JSON; `Plan.from_json(p.to_json()) == p`. A later field at its default is left out."""
        said = {name: value for name, value in asdict(self).items() if LATER_FIELDS.get(name) != value}
        return rfc8785.dumps({name: list(v) if isinstance(v, tuple) else v for name, v in said.items()}).decode()

    @classmethod
    def from_json(cls, body: str) -> Plan:
        """Read back what `to_json` wrote.

        Raises:
            WrongUsage: an unknown or missing key, or a value of the wrong type.
        """
        try:
            values = _typed(cls, json.loads(body), what="plan field")
        except json.JSONDecodeError:
            raise WrongUsage("The plan is not JSON.") from None
        if missing := [f.name for f in fields(cls) if f.name not in values and f.name not in LATER_FIELDS]:
            raise WrongUsage(f"The plan lacks {missing[0]!r}.")
        return cls(**values)

    def steps(self, shard: int | None) -> int:
        """Optimizer steps of one slice of a shard, or of the trunk (None)."""
        return self.trunk_epochs * self.trunk_steps_per_epoch if shard is None else self.epochs * self.steps_per_epoch

    def learning_rate(self, slice_index: int | None, step: int) -> float:
        """The rate of a step (from 0) inside a slice; None is the trunk. Linear up to the peak, linear down to the floor.

        Every slice has the same cycle: the table of a slice never depends on how many slices will follow. Only the
        four basic operations are used, so the table is the same on every machine (IEEE 754; a cosine would not be).
        """
        total = self.steps(slice_index)
        peak = self.trunk_lr_peak if slice_index is None and self.trunk_lr_peak else self.lr_peak
        warmup = int(self.warmup_fraction * total)
        if step < warmup:
            return peak * (step + 1) / warmup
        down = (step - warmup) / max(1, total - 1 - warmup)
        return peak * (1.0 - (1.0 - self.lr_floor) * down)

    def prefix_digest(self, shard: int | None, upto_slice: int) -> str:
        """What of the plan a state after `upto_slice` depends on. A later generation adds slices and changes no prefix."""
        return hashlib.sha256(rfc8785.dumps([self.digest, shard, upto_slice])).hexdigest()


@dataclass(frozen=True)
class CorpusShape:
    """All a plan may know of the corpus: admitted records (`trunk_records` of them may form a trunk), their characters
    and subjects. Every number is rounded before it enters a plan."""

    records: int
    characters: int
    subjects: int
    trunk_records: int


def propose_plan(settings: TrainSettings, shape: CorpusShape, *, nonce: str, adapter: str = "support") -> Plan:
    """A plan for a corpus of this shape. A shard's batch is batch / shards, which keeps the steps of an unsharded run.

    Raises:
        WrongUsage: a setting out of range.
    """
    _require(settings.trunk in ("auto", "on", "off"), "trunk", '"auto", "on" or "off"')
    smallest = min(settings.batch, settings.shards, settings.slices)
    _require(smallest >= 1, "batch", "at least 1, as are shards and slices")
    trunk = settings.trunk == "on" or (settings.trunk == "auto" and shape.trunk_records > 0)
    trained = (shape.records - shape.trunk_records * trunk) * (1 - settings.controls)
    batch = _power_of_two(settings.batch / settings.shards)
    tokens_per_record = shape.characters / max(1, shape.records) / CHARACTERS_PER_TOKEN
    own = {f.name for f in fields(settings)} & {f.name for f in fields(Plan)} - {"trunk"}
    return Plan(
        **{name: getattr(settings, name) for name in own},
        adapter=adapter,
        nonce=nonce,
        trunk=trunk,
        steps_per_epoch=max(1, _power_of_two(trained / (settings.shards * settings.slices)) // batch),
        trunk_steps_per_epoch=max(1, _power_of_two(shape.trunk_records) // batch),
        expected_batch=batch,
        expected_tokens=_power_of_two(batch * tokens_per_record),
    )


def plan_key(workspace_secret: bytes, plan: Plan) -> bytes:
    """The 32-byte key under which this plan draws everything: HKDF-SHA256 (RFC 5869) of the workspace secret."""
    return HKDF(SHA256(), 32, salt=None, info=b"lethe/plan/" + plan.digest.encode()).derive(workspace_secret)


@dataclass(frozen=True)
class Placement:
    """Where a record goes. The trunk is (None, 0); a control has neither shard nor slice. Slices count over generations."""

    kind: Literal["trunk", "shard", "control"]
    shard: int | None
    slice: int | None


def place(
    plan: Plan, key: bytes, *, record_id: str, primary_subject: str | None, generation: int, trunk_eligible: bool
) -> Placement:
    """Place one record by its subject, or by its own id if it has none. Generations count from 0.

    Only the first generation forms the trunk: a later record there would rebuild everything.
    """
    if plan.trunk and trunk_eligible and primary_subject is None and generation == 0:
        return Placement("trunk", None, 0)
    if primary_subject is not None and draw(key, "control", primary_subject) < int(plan.controls * 2**64):
        return Placement("control", None, None)
    unit = ("record", record_id) if primary_subject is None else ("subject", primary_subject)
    shard = draw(key, "shard", *unit) % plan.shards
    inner = draw(key, "slice", generation, *unit) % plan.slices
    return Placement("shard", shard, generation * plan.slices + inner)


def step_of(plan: Plan, key: bytes, *, record_id: str, epoch: int, trunk: bool = False) -> int:
    """The step of the epoch (from 0) in which a record is learnt; it depends on no other record."""
    return draw(key, "step", epoch, record_id) % (plan.trunk_steps_per_epoch if trunk else plan.steps_per_epoch)


def order_of(key: bytes, *, record_id: str, epoch: int) -> int:
    """The sort key of a record inside its batch."""
    return draw(key, "order", epoch, record_id)


def _power_of_two(quantity: float) -> int:
    """The nearest power of two on a logarithmic scale, at least 1."""
    return 1 if quantity <= 1 else 2 ** round(math.log2(quantity))


def _require(holds: bool, name: str, range_words: str) -> None:
    if not holds:
        raise WrongUsage(f"The training setting {name!r} must be {range_words}.", hint="Change it in lethe.toml.")


def _typed(cls: type, values: Mapping[str, object], *, what: str) -> dict[str, object]:
    """The values as the dataclass wants them: lists become tuples, whole numbers floats where a float is declared."""
    kinds = {f.name: str(f.type) for f in fields(cls)}
    if unknown := sorted(set(values) - set(kinds)):
        raise WrongUsage(f"Unknown {what} {unknown[0]!r}.", hint=f"Known: {', '.join(kinds)}.")
    return {name: _as_kind(kinds[name], value, name=name) for name, value in values.items()}


def _as_kind(kind: str, value: object, *, name: str) -> object:
    match kind, value:
        case ("bool", bool()) | ("str", str()):
            return value
        case ("int", int()) | ("float", float()) if not isinstance(value, bool):
            return value
        case ("float", int()) if not isinstance(value, bool):
            return float(value)
        case ("tuple[str, ...]", [*items]) if all(isinstance(v, str) for v in items):
            return tuple(items)
        case ("tuple[int, ...]", [*items]) if all(type(v) is int for v in items):
            return tuple(items)
        case _:
            raise WrongUsage(f"{name!r} must be of type {kind.partition('[')[0]}.", hint="Change it in lethe.toml.")
