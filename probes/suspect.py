"""One adapter on its base, brought by somebody who has no workspace: checked before anything is scored."""

from __future__ import annotations

import json
import pickle
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from safetensors import SafetensorError

from lineage.errors import WrongUsage
from probes.decoding import DecodingScheme
from probes.dossier import Panel
from probes.readings import TokenReadings
from probes.target import BASE, Target

__all__ = [
    "REFERENCE", "SUSPECT", "SelfPrompted", "Suspect", "context_length", "open_suspect", "refuse_no_numbers",
]  # fmt: skip

SUSPECT = "composed_post"  # the panel's name for the one adapter in question
REFERENCE = "composed_pre"  # and for the reference trained on what it writes
SPOKEN = {BASE: "base", SUSPECT: "adapter", REFERENCE: "self-prompted reference"}
UNREADABLE = (  # what torch, peft and safetensors raise over a file that is cut, garbled or of another shape
    RuntimeError, ValueError, KeyError, TypeError, AttributeError, OSError, EOFError, SafetensorError,
    pickle.UnpicklingError,
)  # fmt: skip
POSITIONS = ("max_position_embeddings", "n_positions", "max_seq_len")


@dataclass(frozen=True, slots=True)
class SelfPrompted:
    """A reference adapter trained on `texts` that the adapter in question wrote, begun by the records of `prompts` controls."""

    folder: Path = field(repr=False)
    texts: int
    prompts: int


@dataclass(frozen=True, slots=True)
class Suspect:
    """A base folder, the adapter in question, and models to compare it with.

    `outs` are out-adapters of the same recipe that never saw the members; `reference` was trained for this comparison.
    `renamed`: the base's folder has another name than the adapter's config gives it, and that is all right.
    """

    base: Path = field(repr=False)
    adapter: Path = field(repr=False)
    outs: tuple[Path, ...] = field(repr=False, default=())
    renamed: bool = False
    reference: SelfPrompted | None = None

    @property
    def models(self) -> int:
        """How many models read a record: the base, the adapter, and what it is compared with."""
        return 1 + len(self.panel().adapters())

    def panel(self) -> Panel:
        """The models as the judge's doorway takes them."""
        reference = self.reference.folder if self.reference else None
        return Panel(self.base, {}, {}, dict(enumerate(self.outs)), composed_pre=reference, composed_post=self.adapter)


def open_suspect(suspect: Suspect) -> Target:
    """Load the base with every adapter beside it.

    Raises:
        WrongUsage: a folder is missing or not what it should be, or an adapter was trained on another base.
    """
    _require_base(suspect.base)
    for name, folder in (("adapter", suspect.adapter), *(("out-adapter", out) for out in suspect.outs)):
        _refuse_stranger(name, folder, suspect)
    try:
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            target = Target.open(suspect.panel(), scheme=DecodingScheme())
    except UNREADABLE:  # they quote paths and tensors
        raise _misfit("Base and adapter could not be loaded together.") from None
    if any("missing adapter keys" in str(note.message) for note in told):
        raise _misfit("The adapter lacks weights for layers of this base.")
    return target


def refuse_no_numbers(name: str, readings: Sequence[TokenReadings]) -> None:
    """A model that answers NaN has no opinion of a record: no rank of it would mean anything.

    Raises:
        WrongUsage: this model's readings hold a value that is no number.
    """
    if any(np.isnan(v).any() for r in readings for v in (r.log_p, r.mean_log_p, r.sd_log_p, r.scheme_log_p)):
        spoken = SPOKEN.get(name) or f"out-adapter {int(name.rpartition('_')[2]) + 1}"
        raise WrongUsage(
            f"The {spoken} gives values that are no numbers.", hint="Did its training diverge, or is a file damaged?"
        )


def context_length(base: Path) -> int | None:
    """The longest input of the base in tokens; None where its config does not say."""
    _require_base(base)
    found = _read_json(base / "config.json")
    return next((given for name in POSITIONS if isinstance(given := found.get(name), int)), None)


def _require_base(base: Path) -> None:
    if not (base / "config.json").is_file():
        raise WrongUsage("The base is not a model folder: it has no config.json.", hint="Give the folder of the base.")


def _refuse_stranger(name: str, folder: Path, suspect: Suspect) -> None:
    """An adapter without weights, or whose config names another base. Only the last part of a path is compared:
    folders move."""
    if not (folder / "adapter_config.json").is_file():
        raise WrongUsage(f"The {name} is not a PEFT folder: it has no adapter_config.json.")
    if not any((folder / f"adapter_model.{ending}").is_file() for ending in ("safetensors", "bin")):
        raise WrongUsage(f"The {name} has no weights beside its adapter_config.json.")
    named = str(_read_json(folder / "adapter_config.json").get("base_model_name_or_path") or "")
    if named and not suspect.renamed and Path(named).name not in _names(suspect.base):
        raise WrongUsage(
            f"The {name} was trained on another base than the one given.",
            hint="Its adapter_config.json names the base. If only the folder's name differs, add --base-renamed.",
        )


def _names(base: Path) -> set[str]:
    """What a config may call this folder: its name, with and without links; in a hub's cache the model's own name."""
    found = {base.name, base.resolve().name}
    cached = next((part for part in base.resolve().parts if part.startswith("models--")), "")
    return found | ({cached.rpartition("--")[2]} if cached else set())


def _misfit(sentence: str) -> WrongUsage:
    return WrongUsage(sentence, hint="Is this the base the adapter was trained on, and are both complete?")


def _read_json(path: Path) -> dict[str, object]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        raise WrongUsage(f"The file {path.name} cannot be read as JSON.") from None
    if not isinstance(found, dict):
        raise WrongUsage(f"The file {path.name} is not a JSON object.")
    return found
