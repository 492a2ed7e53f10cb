"""What every method of one run shares: base, plan, trunk and tokens."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

from safetensors.torch import load, save

from lineage.records import TrainingRecord
from peers.corpus import PeerCorpus, Scale, draw_corpus
from unlearn.adapters import CONFIG_FILE, WEIGHTS_FILE, adapter_files, config_bytes
from unlearn.base import Base, base_spec, load_base
from unlearn.batches import TensorExample, to_tensors
from unlearn.compose import compose
from unlearn.determinism import pin_environment
from unlearn.draw import draw
from unlearn.plan import CorpusShape, Plan, TrainSettings, place, plan_key, propose_plan
from unlearn.tokens import tokenise
from unlearn.train import State, initial_state, train_slice

__all__ = ["Adapter", "Setting", "make_setting", "members", "shard_and_slice"]

Adapter = Mapping[str, bytes]
"""The files of a PEFT directory: what every method hands over, and what the judge opens."""

SECRET = b"the comparison keeps no secrets."
CHARACTERS_PER_RECORD = 420


@dataclass(frozen=True)
class Setting:
    """One corpus on one base. `trunk` holds LoRA weights trained on records about nobody; every method starts there."""

    scale: Scale
    seed: int
    corpus: PeerCorpus
    base: Base = field(repr=False)
    plan: Plan
    key: bytes = field(repr=False)
    trunk: State = field(repr=False)
    examples: Mapping[str, TensorExample] = field(repr=False)

    def adapter(self, parts: Mapping[int, bytes]) -> Adapter:
        """The average of the shards' LoRA weights as one PEFT directory; one shard stands for itself."""
        files = {shard: adapter_files(weights, self.plan, base_name="tiny") for shard, weights in parts.items()}
        return compose(files, shards=len(files)).files

    def part(self, adapter: Adapter, person: str) -> Adapter:
        """The LoRA that learnt a person, cut out of an adapter: a composed one holds every shard's tensors as they are."""
        config, rank = json.loads(adapter[CONFIG_FILE]), self.plan.lora_r
        if config["r"] == rank:
            return adapter
        shard, _ = shard_and_slice(self, person)
        rows = slice(shard * rank, (shard + 1) * rank)
        cut = {
            n: (t[rows] if ".lora_A." in n else t[:, rows]).contiguous() for n, t in load(adapter[WEIGHTS_FILE]).items()
        }
        return {CONFIG_FILE: config_bytes(config | {"r": rank}), WEIGHTS_FILE: save(cut, metadata={"format": "pt"})}

    def seed_of(self, *parts: str | int) -> int:
        """A seed for a conventional trainer's generator."""
        return draw(self.key, "peers", self.seed, *parts) >> 1


def make_setting(scale: Scale, *, seed: int, trunk: State | None = None) -> Setting:
    """Draw the corpus, propose Lethe's plan for it and train the trunk, unless it is given."""
    corpus = draw_corpus(scale, seed=seed)
    plan = _plan(scale, corpus, seed=seed)
    pin_environment(plan)
    base, key = load_base(base_spec(plan, "tiny")), plan_key(SECRET, plan)
    if trunk is None:
        start = initial_state(base, plan, key, shard=None)
        trunk = train_slice(base, plan, key, shard=None, slice=0, records=corpus.trunk, parent=start)
    records = [record for own in corpus.trained.values() for record in own]
    examples = {
        r.record_id: to_tensors(tokenise(base.tokenizer, r.content, max_length=plan.max_length)) for r in records
    }
    return Setting(scale, seed, corpus, base, plan, key, trunk, examples)


def shard_and_slice(setting: Setting, person: str) -> tuple[int, int]:
    """Where a person's records lie; all sharded methods divide people in the same way."""
    where = place(
        setting.plan, setting.key, record_id="", primary_subject=person, generation=0, trunk_eligible=False
    )  # fmt: skip
    return where.shard, where.slice


def members(setting: Setting, *, without: str | None = None) -> dict[int, list[list[TrainingRecord]]]:
    """Shard -> its slices, each a list of records in the corpus's order."""
    shards = {s: [[] for _ in range(setting.plan.slices)] for s in range(setting.plan.shards)}
    for person, records in setting.corpus.without(without).items():
        shard, slice_index = shard_and_slice(setting, person)
        shards[shard][slice_index] += records
    return shards


def _plan(scale: Scale, corpus: PeerCorpus, *, seed: int) -> Plan:
    trained = sum(map(len, corpus.trained.values()))
    settings = TrainSettings(
        shards=scale.shards, slices=scale.slices, controls=0.0, epochs=scale.epochs, trunk_epochs=scale.trunk_epochs,
        batch=scale.batch, lr_peak=scale.lr_peak,
    )  # fmt: skip
    count = trained + len(corpus.trunk)
    shape = CorpusShape(count, count * CHARACTERS_PER_RECORD, len(corpus.trained), len(corpus.trunk))
    return propose_plan(settings, shape, nonce=f"{seed:04x}", adapter="peers")
