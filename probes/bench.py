"""The bench on which one case lies: every record tokenised, every model's readings of it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from lineage.errors import NotAcceptable, WrongUsage
from probes.dossier import Dossier, Panel, Protocol
from probes.membership import Gain, gains, total
from probes.readings import TokenReadings
from probes.target import BASE, Target
from probes.tokens import Tokenised, tokenise

__all__ = ["Bench", "Progress", "Readings", "lay_out", "read_everything"]

Progress = Callable[[int, int, str], None]  # steps done, steps in all, what is being done


@dataclass(frozen=True, slots=True, eq=False)
class Readings:
    """One model's readings of the subject's, the controls' and the canaries' records, in the dossier's order."""

    subject: list[TokenReadings]
    control: list[TokenReadings]
    canary: list[TokenReadings]


@dataclass(frozen=True, slots=True, eq=False)
class Bench:
    """Case, models and rules, with the readings of every model by name ("base" included)."""

    target: Target
    dossier: Dossier
    panel: Panel
    protocol: Protocol
    subject: tuple[Tokenised, ...]
    control: tuple[Tokenised, ...]
    readings: Mapping[str, Readings]

    @property
    def outs(self) -> tuple[str, ...]:
        """Names of the null models."""
        return self.panel.out_names()

    def subject_gains(self, name: str, shard: int | None = None) -> list[Gain]:
        """Gains of the subject's records (of one shard) under a model."""
        found = gains(self.readings[name].subject, self.readings[BASE].subject)
        return [g for g, placed in zip(found, self.dossier.records, strict=True) if shard in {None, placed.shard}]

    def control_gain(self, name: str) -> Gain:
        """Gain of all control records together under a model."""
        return total(self.control_gains(name))

    def control_gains(self, name: str) -> list[Gain]:
        """Gain of each control record under a model."""
        return gains(self.readings[name].control, self.readings[BASE].control)

    def control_people(self) -> dict[str, list[int]]:
        """The control people by handle, and where in the dossier their records with a learnt token are."""
        places: dict[str, list[int]] = defaultdict(list)
        for index, (control, item) in enumerate(zip(self.dossier.controls, self.control, strict=True)):
            if len(item.loss_positions()):
                places[control.subject_handle].append(index)
        return dict(places)

    def canary_gains(self, name: str) -> list[Gain]:
        """Gain of each canary record under a model."""
        return gains(self.readings[name].canary, self.readings[BASE].canary)


def lay_out(dossier: Dossier, panel: Panel, protocol: Protocol, *, progress: Progress) -> Bench:
    """Open the models, tokenise the records and read every record under every model.

    Raises:
        WrongUsage: dossier, panel and protocol do not belong together, or a model is missing.
    """
    _refuse_mismatch(dossier, panel, protocol)
    return read_everything(dossier, panel, protocol, progress=progress)


def read_everything(dossier: Dossier, panel: Panel, protocol: Protocol, *, progress: Progress) -> Bench:
    """What `lay_out` does, for a panel and a dossier that need not be those of a case (`probes.where`).

    Raises:
        WrongUsage: a model is missing, or a chat template cannot be used.
        NotAcceptable: a model gives probabilities that are no numbers.
    """
    target = Target.open(panel, scheme=protocol.scheme)

    def tokens(records: Sequence[object]) -> tuple[Tokenised, ...]:
        return tuple(tokenise(target.tokenizer, r.record.content, protocol.max_length) for r in records)

    subject, control, canary = tokens(dossier.records), tokens(dossier.controls), tokens(dossier.canaries)
    names = (BASE, *panel.adapters())
    readings: dict[str, Readings] = {}
    for done, name in enumerate(names):
        progress(done, len(names), "reading records")
        readings[name] = _read(target, name, (subject, control, canary))
    return Bench(target, dossier, panel, protocol, subject, control, readings)


def _read(target: Target, name: str, groups: tuple[tuple[Tokenised, ...], ...]) -> Readings:
    """All groups in one go, so that records of like length share a batch."""
    read = target.read(name, [item for group in groups for item in group])
    if any(np.isnan(reading.log_p).any() for reading in read):
        raise NotAcceptable(f"The model {name!r} gives probabilities that are no numbers; nothing can be said of it.")
    found = iter(read)
    return Readings(*([next(found) for _ in group] for group in groups))


def _refuse_mismatch(dossier: Dossier, panel: Panel, protocol: Protocol) -> None:
    if set(panel.pre) != set(panel.post) or not panel.pre:
        raise WrongUsage("The panel needs the old and the new adapter of the same shards.")
    if set(panel.outs) & set(panel.pre):
        raise WrongUsage("A shard of the closure cannot be an out-adapter.")
    if len(panel.out_names()) != protocol.out_adapters or len(panel.extra) != protocol.extra_adapters:
        raise WrongUsage(
            f"The protocol names {protocol.out_adapters} out-adapters, {protocol.extra_adapters} of them extra; "
            f"the panel has {len(panel.out_names())} and {len(panel.extra)}."
        )
    if not {placed.shard for placed in dossier.records} <= set(panel.pre):
        raise WrongUsage("A record of the closure lies in a shard that the panel does not hold.")
