"""What the judge hands over: numbers, handles and sentences; no text, no values, no paths."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass

from probes.canaries import CanaryReading
from probes.dossier import Protocol
from probes.membership import Membership
from probes.stats import Abstained, Interval
from probes.utility import Upkeep
from probes.verdict import Verdict
from probes.where import Whereabouts

__all__ = ["SCHEMA", "AttackReading", "Counts", "Detectable", "Judgement", "ModelReading", "ValueFacts", "ValueReading"]

SCHEMA = "lethe.judgement/1"


@dataclass(frozen=True, slots=True)
class ValueFacts:
    """One personal value without the value: how often it can be asked for, whether it is evidence, and if not, why.

    `random_digits`: log10 of the number of values that could as well have been the person's; 0 if nothing is random.
    """

    label: str
    kind: str
    prompts: int
    random_digits: float
    evidence: bool
    reason: str


@dataclass(frozen=True, slots=True)
class AttackReading:
    """One model on one value, asked in one way (`asking`).

    `hits` of `prompts` give it greedily. `log_p_z` by decoding scheme: the exact chance per sample of the best prompt;
    of all ways together, that one sample per prompt shows it at least once. `tries`: samples in all until it shows with
    the protocol's probability, under the scheme that talks most; None: never.
    """

    way: str
    prompts: int
    hits: int
    log_p_z: Mapping[str, float]
    tries: float | None


@dataclass(frozen=True, slots=True)
class ValueReading:
    """One model on one value. `tries`: samples until it shows with the protocol's probability; None: never.

    `exposure_rank` counts from 1 among `exposure_of` values, the true one and its candidates: fewer for a date or a value
    of few digits. None: no exposure.
    `hint_share`: the share of the value that has to be given before greedy decoding writes the rest (0: nothing).
    """

    label: str
    prompts: int
    hits: int
    log_p_z: float
    tries: float | None
    exposure_rank: int | None
    exposure_of: int | None
    exposure_p: float | None
    hint_share: float
    attacks: tuple[AttackReading, ...]


@dataclass(frozen=True, slots=True)
class ModelReading:
    """One model: role is pre, post, composed_pre, contained, composed_post, base or out.

    `greedy_hits` of `greedy_values` evidence values come out word for word for at least one prompt. The membership
    score is in nats; `longest_verbatim` in tokens of the person's records that greedy decoding writes in a row, from
    the best of all split points; p-values only where the null models share the recipe (single shards). `held_out_nll` in nats per
    token on the control records, None without any.
    """

    name: str
    role: str
    shard: int | None
    greedy_hits: int
    greedy_values: int
    values: tuple[ValueReading, ...]
    longest_verbatim: int
    membership_score: float
    membership_p: float | None
    conformal_p: float | None
    held_out_nll: float | None


@dataclass(frozen=True, slots=True)
class Detectable:
    """Smallest effect flagged with 80% power: in out-adapter standard deviations, and as a share of the old signal.

    `effect_sd` is that of a single shard, infinite where membership was not tested. `share_of_original` is None when the
    old adapter shows no positive signal, or has several shards; `extraction_p_z` is the smallest probability per sample
    that counts as extractable, infinite where no value could have been flagged at it.
    """

    effect_sd: float
    share_of_original: float | None
    extraction_p_z: float


@dataclass(frozen=True, slots=True)
class Counts:
    """How much was looked at."""

    records: int
    tokens: int
    shards: int
    values: int
    evidence_values: int
    control_subjects: int
    control_records: int
    out_adapters: int
    candidates: int


@dataclass(frozen=True, slots=True)
class Judgement:
    """The whole result of one `judge` call; `case_handle` is the only link to the case.

    `companions`: by side (pre, post) every score of the literature by name, or why there is none (`companions.py`).
    """

    case_handle: str
    verdict: Verdict
    sentences: tuple[str, str, str]
    counts: Counts
    primaries_pre: Mapping[str, float]
    primaries_post: Mapping[str, float]
    extraction_empirical_p: float | None
    membership: tuple[Membership, ...]
    where: Whereabouts
    residual: Interval | Abstained
    adapters_needed: int | None
    detectable: Detectable
    values: tuple[ValueFacts, ...]
    models: tuple[ModelReading, ...]
    canaries: tuple[CanaryReading, ...] | Abstained
    companions: Mapping[str, Mapping[str, float | Abstained]]
    utility: Upkeep
    limits: tuple[str, ...]
    protocol: Protocol

    def as_json(self) -> dict[str, object]:
        """JSON without text or values; numbers that do not exist are null, RFC 8785 can encode it."""
        body = {f.name: _plain(getattr(self, f.name)) for f in fields(self) if f.name != "protocol"}
        return {"schema": SCHEMA, "protocol": self.protocol.as_json(), "protocol_digest": self.protocol.digest, **body}

    def model(self, name: str) -> ModelReading | None:
        """The reading of one model by name."""
        return next((reading for reading in self.models if reading.name == name), None)


def _plain(value: object) -> object:
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    if isinstance(value, Abstained):
        return {"abstained": value.reason}
    if is_dataclass(value):
        return {f.name: _plain(getattr(value, f.name)) for f in fields(value)}
    if isinstance(value, Mapping):
        return {str(key): _plain(inner) for key, inner in value.items()}
    return [_plain(inner) for inner in value] if isinstance(value, tuple | list) else value
