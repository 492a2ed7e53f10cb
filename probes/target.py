"""The only doorway to model inference: one base and several PEFT directories, opened read-only.

Everything is float32 and in evaluation mode. Adapters stay unmerged: a merged adapter rounds differently from the one
in service. A batch is padded on either side; padding is never scored, because the scored positions are named one by one.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from itertools import takewhile
from pathlib import Path
from typing import Literal, TypeVar

import numpy as np
import torch
from peft import PeftModel
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    GenerationConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)
from transformers.modeling_outputs import CausalLMOutputWithPast
from transformers.utils import logging as hf_logging

from lineage.errors import WrongUsage
from probes.decoding import DecodingScheme
from probes.dossier import Panel
from probes.readings import TokenReadings, read_logits, scheme_log_p
from probes.seals import refuse_broken
from probes.tokens import Tokenised

__all__ = ["BASE", "Target"]

BASE = "base"
LOGITS_PER_BATCH = 2**25  # 128 MiB of float32 logits
Found = TypeVar("Found")


class Target:
    """Models by name (`Panel.adapters`, and "base" for none) that give token readings and continuations."""

    def __init__(
        self,
        model: PeftModel | PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        *,
        scheme: DecodingScheme,
        padding: Literal["left", "right"] = "right",
    ) -> None:
        self.tokenizer = tokenizer
        self._model = model.eval()
        self._scheme = scheme
        self._padding = padding
        self.vocabulary = int(model.get_input_embeddings().weight.shape[0])

    @classmethod
    def open(cls, panel: Panel, *, scheme: DecodingScheme) -> Target:
        """Load the base once and every adapter of the panel beside it.

        Raises:
            WrongUsage: the base or an adapter directory is missing.
            NotAcceptable: the panel has a seal, and something is not what was trained.
        """
        for name, path in panel.adapters().items():
            if not (path / "adapter_config.json").is_file():
                raise WrongUsage(f"The adapter {name} is not a PEFT directory.", hint="Train and compose first.")
        if panel.seal:
            refuse_broken(panel.seal, panel.adapters(), base=panel.base, revision=panel.revision)
        with _quiet_loading(), _no_foreign_code():
            model = _with_adapters(_load_base(panel), panel)
            tokenizer = AutoTokenizer.from_pretrained(
                panel.base, revision=panel.revision or "main", trust_remote_code=False
            )
        return cls(model, tokenizer, scheme=scheme)

    def read(self, name: str, items: Sequence[Tokenised], *, batch: int | None = None) -> list[TokenReadings]:
        """Readings of every item's loss-carrying tokens under one model, in the items' order."""

        def reading(logits: torch.Tensor, targets: torch.Tensor, positions: np.ndarray) -> TokenReadings:
            return TokenReadings(positions, *read_logits(logits, targets, self._scheme))

        return self._read(name, items, reading, batch=batch)

    def spell(self, name: str, items: Sequence[Tokenised], schemes: Sequence[DecodingScheme]) -> list[np.ndarray]:
        """Of every item's n loss-carrying tokens: row 0, whether greedy decoding writes it; then log p per scheme.

        Arrays of shape (1 + len(schemes), n), in the items' order.
        """

        def rows(logits: torch.Tensor, targets: torch.Tensor, _positions: np.ndarray) -> np.ndarray:
            log_probs, index = torch.log_softmax(logits.float(), dim=-1), targets[:, None]
            greedy = (logits.argmax(-1) == targets).float()
            found = torch.stack([greedy, *(scheme_log_p(log_probs, index, scheme) for scheme in schemes)])
            return found.double().cpu().numpy()

        return self._read(name, items, rows)

    def continue_with(self, name: str, prompt: Sequence[int], endings: Sequence[Sequence[int]]) -> np.ndarray:
        """log p(ending | prompt), summed over the ending's tokens, for every ending; shape (len(endings),).

        The prompt runs once; its key-value cache is shared by all endings.
        """
        size = max(1, LOGITS_PER_BATCH // (self.vocabulary * max(map(len, endings))))
        with self._as(name):
            start = self._model(input_ids=torch.tensor([list(prompt)], device=self._device), use_cache=True)
            parts = [self._continue(start, endings[i : i + size]) for i in range(0, len(endings), size)]
        return np.concatenate(parts)

    def write(
        self, name: str, prompts: Sequence[Sequence[int]], *, most_tokens: int, seed: int
    ) -> list[tuple[int, ...]]:
        """What the model writes behind each prompt, sampled as it predicts (temperature 1, nothing cut away).

        Each ends before its first special token, at the latest after `most_tokens`. The same prompts together and the
        same seed give the same tokens; the process's own random numbers are left as they were.
        """
        width, marks = max(map(len, prompts)), self._marks()
        ids = torch.tensor([[marks[0]] * (width - len(prompt)) + list(prompt) for prompt in prompts])
        mask = torch.tensor([[0] * (width - len(prompt)) + [1] * len(prompt) for prompt in prompts])
        plain = GenerationConfig(
            do_sample=True, temperature=1.0, top_k=0, top_p=1.0, max_new_tokens=most_tokens, eos_token_id=marks,
            pad_token_id=marks[0],
        )  # fmt: skip
        device = self._device
        self._model.generation_config = GenerationConfig()  # the base's own would fill in, say, a repetition penalty
        with self._as(name), torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
            torch.manual_seed(seed)
            found = self._model.generate(
                input_ids=ids.to(device), attention_mask=mask.to(device), generation_config=plain
            )
        stops = set(marks)
        return [tuple(takewhile(lambda token: token not in stops, row)) for row in found[:, width:].tolist()]

    def _marks(self) -> list[int]:
        """The ids of the special tokens, those that end a text or a turn among them."""
        added = self.tokenizer.added_tokens_decoder.items()
        return sorted({*self.tokenizer.all_special_ids, *(index for index, token in added if token.special)})

    @property
    def _device(self) -> torch.device:
        return next(self._model.parameters()).device

    @contextmanager
    def _as(self, name: str) -> Iterator[None]:
        """Make one adapter (or none) the active one, without gradients and without dropout."""
        self._model.eval()  # whoever handed the model over may have trained it since
        off = name == BASE and isinstance(self._model, PeftModel)
        if name != BASE:
            self._model.set_adapter(name, inference_mode=True)
        with torch.inference_mode(), self._model.disable_adapter() if off else nullcontext():
            yield

    def _batches(self, items: Sequence[Tokenised], batch: int | None) -> Iterator[list[int]]:
        """Indices of items of similar length, as many at once as the logits' memory allows."""
        order = sorted(range(len(items)), key=lambda i: len(items[i].ids))
        group: list[int] = []
        for i in order:
            room = batch or max(1, LOGITS_PER_BATCH // (self.vocabulary * len(items[i].ids)))
            if len(group) >= room:
                yield group
                group = []
            group.append(i)
        if group:
            yield group

    def _read(
        self,
        name: str,
        items: Sequence[Tokenised],
        pick: Callable[[torch.Tensor, torch.Tensor, np.ndarray], Found],
        *,
        batch: int | None = None,
    ) -> list[Found]:
        """What `pick` makes of the logits (n, V), ids (n) and positions (n) of each item's loss-carrying tokens."""
        found: dict[int, Found] = {}
        with self._as(name):
            for group in self._batches(items, batch):
                seen = self._seen([items[i] for i in group])
                found |= {i: pick(*one) for i, one in zip(group, seen, strict=True)}
        return [found[i] for i in range(len(items))]

    def _seen(self, items: Sequence[Tokenised]) -> list[tuple[torch.Tensor, torch.Tensor, np.ndarray]]:
        """Logits, ids and positions of the loss-carrying tokens of every item of one batch."""
        width = max(len(item.ids) for item in items)
        shifts = [width - len(item.ids) if self._padding == "left" else 0 for item in items]
        ids = torch.zeros(len(items), width, dtype=torch.long)
        mask = torch.zeros_like(ids)
        for row, (item, shift) in enumerate(zip(items, shifts, strict=True)):
            ids[row, shift : shift + len(item.ids)] = torch.tensor(item.ids)
            mask[row, shift : shift + len(item.ids)] = 1
        places = (mask.cumsum(-1) - 1).clamp(min=0)
        device = self._device
        logits = self._model(
            input_ids=ids.to(device), attention_mask=mask.to(device), position_ids=places.to(device), use_cache=False
        ).logits
        return [
            self._pick(logits[row], item, shift) for row, (item, shift) in enumerate(zip(items, shifts, strict=True))
        ]

    def _pick(self, logits: torch.Tensor, item: Tokenised, shift: int) -> tuple[torch.Tensor, torch.Tensor, np.ndarray]:
        """One row's logits (width, V) at the positions that predict a loss-carrying token."""
        positions = np.array(item.loss_positions(), dtype=np.int64)
        targets = torch.tensor([item.ids[p] for p in positions], dtype=torch.long, device=logits.device)
        before = torch.as_tensor(positions + shift - 1, device=logits.device)
        return logits[before], targets, positions

    def _continue(self, start: CausalLMOutputWithPast, endings: Sequence[Sequence[int]]) -> np.ndarray:
        """All but the last token of each ending go in; each position predicts the next, the prompt the first."""
        width = max(map(len, endings))
        ids = torch.zeros(len(endings), width, dtype=torch.long)
        real = torch.zeros(len(endings), width)
        for row, ending in enumerate(endings):
            ids[row, : len(ending)] = torch.tensor(ending)
            real[row, : len(ending)] = 1
        ids, real = ids.to(self._device), real.to(self._device)
        scored = _log_p(start.logits[:, -1:].expand(len(endings), -1, -1), ids[:, :1])
        if width > 1:
            cache = copy.deepcopy(start.past_key_values)
            cache.batch_repeat_interleave(len(endings))
            past = torch.ones(len(endings), cache.get_seq_length(), device=self._device)
            seen = torch.cat([past, real[:, :-1]], dim=-1).long()
            rest = self._model(input_ids=ids[:, :-1], attention_mask=seen, past_key_values=cache, use_cache=True).logits
            scored = torch.cat([scored, _log_p(rest, ids[:, 1:])], dim=-1)
        return (scored * real).sum(-1).double().cpu().numpy()


def _log_p(logits: torch.Tensor, ids: torch.Tensor) -> torch.Tensor:
    """float32 log p of each id, shapes (n, t, V) and (n, t) to (n, t)."""
    chosen = logits.gather(2, ids[..., None])[..., 0]
    return chosen.float() - logits.float().logsumexp(-1)


def _load_base(panel: Panel) -> PreTrainedModel:
    if isinstance(panel.base, Path) and not (panel.base / "config.json").is_file():
        raise WrongUsage("The base model is missing.", hint="Set base_model in lethe.toml to a folder or a hub id.")
    return AutoModelForCausalLM.from_pretrained(
        panel.base, revision=panel.revision or "main", dtype=torch.float32, trust_remote_code=False
    )


def _with_adapters(model: PeftModel | PreTrainedModel, panel: Panel) -> PeftModel | PreTrainedModel:
    for name, path in panel.adapters().items():
        if isinstance(model, PeftModel):
            model.load_adapter(path, adapter_name=name, is_trainable=False)
        else:
            model = PeftModel.from_pretrained(model, path, adapter_name=name, is_trainable=False)
    return model


@contextmanager
def _no_foreign_code() -> Iterator[None]:
    """A base folder may name Python files of its own (`auto_map`). They are never run, nor is anybody asked to let them."""
    try:
        yield
    except ValueError as error:
        if "trust_remote_code" not in str(error):
            raise
        raise WrongUsage(
            "The base brings program code of its own, and Lethe runs none.",
            hint="Give a base of an architecture that transformers knows.",
        ) from None


@contextmanager
def _quiet_loading() -> Iterator[None]:
    """No progress bars of weights in the middle of ours, and no deprecation notes between peft and transformers."""
    shown = hf_logging.is_progress_bar_enabled()
    hf_logging.disable_progress_bar()
    try:
        with warnings.catch_warnings():
            # peft 0.21 asks transformers 5.23 for a property under its old name
            warnings.filterwarnings("ignore", message=".*is_gradient_checkpointing", category=FutureWarning)
            yield
    finally:
        if shown:
            hf_logging.enable_progress_bar()
