"""What can be read off an adapter: losses, values it gives away, and how far it is from another one.

The scores are those of `probes`, which share no code with what trained the adapters; models are opened as any PEFT
user would open them.
"""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import numpy as np
import torch
from peft import PeftModel
from torch.nn.utils.rnn import pad_sequence
from transformers import AutoModelForCausalLM, AutoTokenizer
from transformers.utils import logging

from lineage.records import TrainingRecord
from peers.setting import Adapter
from probes.decoding import DecodingScheme
from probes.dossier import PersonalValue
from probes.extraction import extract, occurrences
from probes.readings import TokenReadings, read_logits
from probes.scores import gain_mean, loss, min_k
from probes.tokens import Tokenised, tokenise
from unlearn.adapters import write_adapter
from unlearn.compose import dense_deltas, files_digest
from unlearn.tiny_base import TINY_BASE

__all__ = ["Judge", "Reading", "auc", "divergence", "relative_distance"]

BATCH, MAX_LENGTH = 32, 512


@dataclass(frozen=True, eq=False)
class Reading:
    """One model on a list of records: token readings, and log-probabilities (n, V) of the records asked for."""

    tokens: Sequence[TokenReadings] = field(repr=False)
    distributions: Sequence[torch.Tensor] = field(repr=False)

    @property
    def losses(self) -> np.ndarray:
        """Mean -log p per token of each record; shape (records,)."""
        return np.array([-loss(r.log_p) for r in self.tokens])

    @property
    def nll(self) -> float:
        """Mean -log p over all tokens of all records."""
        return float(-np.concatenate([r.log_p for r in self.tokens]).mean())


class Judge:
    """Reads adapters on one base. Items are records as tokens; nothing here trains."""

    def __init__(self) -> None:
        logging.disable_progress_bar()
        self.tokenizer = AutoTokenizer.from_pretrained(TINY_BASE)
        self._read = cache(self._read_once)
        self._files: dict[str, Adapter] = {}

    def items(self, records: Sequence[TrainingRecord]) -> tuple[Tokenised, ...]:
        """Records as the judge's own tokens."""
        return tuple(tokenise(self.tokenizer, record.content, MAX_LENGTH) for record in records)

    def read(self, adapter: Adapter | None, items: tuple[Tokenised, ...], *, distributions: bool = False) -> Reading:
        """An adapter (None: the bare base) on some items. The same question twice is answered once."""
        digest = files_digest(adapter) if adapter else ""
        self._files[digest] = adapter or {}
        return self._read(digest, items, distributions)

    def _read_once(self, digest: str, items: tuple[Tokenised, ...], distributions: bool) -> Reading:
        model, found = _opened(self._files[digest]), []
        order = sorted(range(len(items)), key=lambda i: len(items[i].ids))
        with torch.inference_mode():
            for start in range(0, len(order), BATCH):
                found += _logits(model, [items[i] for i in order[start : start + BATCH]])
        back = [found[order.index(i)] for i in range(len(items))]
        readings = [TokenReadings(at, *read_logits(logits, ids, DecodingScheme())) for at, ids, logits in back]
        return Reading(readings, [torch.log_softmax(logits, -1) for *_, logits in back] if distributions else [])

    def extracted(self, reading: Reading, items: tuple[Tokenised, ...], values: Sequence[str]) -> int:
        """How many of a person's values greedy decoding writes out exactly, after at least one of the prompts."""
        places = [occurrences(items, PersonalValue("value", value)) for value in values]
        return sum(extract(found, reading.tokens).hits > 0 for found in places)

    def traces(
        self, reading: Reading, base: Reading, items: tuple[Tokenised, ...], values: Sequence[str]
    ) -> tuple[float, ...]:
        """What an attacker who holds a person's records would look at; one row of the artefact attack.

        Mean loss, mean Min-K%, mean and smallest gain over the base, and the mean gain on the person's values.
        """
        pairs = list(zip(reading.tokens, base.tokens, strict=True))
        gains = [gain_mean(own.log_p, bare.log_p) for own, bare in pairs]
        places = [place for value in values for place in occurrences(items, PersonalValue("value", value))]
        on_values = [
            gain_mean(reading.tokens[p.item].at(p.positions).log_p, base.tokens[p.item].at(p.positions).log_p)
            for p in places
        ]
        lowest = float(np.mean([min_k(own.log_p) for own, _ in pairs]))
        return (float(reading.losses.mean()), lowest, float(np.mean(gains)), min(gains), float(np.mean(on_values)))


def auc(members: np.ndarray, others: np.ndarray) -> float:
    """P(a member's loss is lower than another's), ties half: 0.5 when the losses tell nothing (Yeom et al. 2018)."""
    return float((np.sign(others[None, :] - members[:, None]) + 1).mean() / 2)


def divergence(reference: Reading, other: Reading) -> float:
    """Mean over tokens of KL(reference || other) of the next-token distributions, in nats."""
    pairs = zip(reference.distributions, other.distributions, strict=True)
    return float(torch.cat([(p.exp() * (p - q)).sum(-1) for p, q in pairs]).mean())


def relative_distance(adapter: Mapping[str, bytes], reference: Mapping[str, bytes]) -> float:
    """||D - D_ref|| / ||D_ref|| over all dense deltas D = (alpha / r) B A."""
    own, ref = dense_deltas(adapter), dense_deltas(reference)
    return float(sum(((own[n] - ref[n]) ** 2).sum() for n in ref) ** 0.5 / sum((ref[n] ** 2).sum() for n in ref) ** 0.5)


def _opened(files: Adapter) -> torch.nn.Module:
    """The base with an adapter, in evaluation mode; no files mean the bare base."""
    model = AutoModelForCausalLM.from_pretrained(TINY_BASE, dtype=torch.float32)
    if not files:
        return model.eval()
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        # peft 0.21 asks transformers 5.23 for a property under its old name
        warnings.filterwarnings("ignore", message=".*is_gradient_checkpointing", category=FutureWarning)
        write_adapter(Path(folder), files)
        return PeftModel.from_pretrained(model, folder).eval()


def _logits(model: torch.nn.Module, items: Sequence[Tokenised]) -> list[tuple[np.ndarray, torch.Tensor, torch.Tensor]]:
    """Learnt positions (n,), their ids (n,) and the logits (n, V) that predict them, of each item; padded on the right."""
    ids = pad_sequence([torch.tensor(item.ids) for item in items], batch_first=True)
    logits = model(input_ids=ids, use_cache=False).logits
    positions = [np.array(item.loss_positions()) for item in items]
    return [(at, ids[row, at], logits[row, at - 1].clone()) for row, at in enumerate(positions)]
