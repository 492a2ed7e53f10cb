"""The people of the comparison: some will be forgotten, some stay, and as many again were never ingested."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, field

from lineage.records import Chat, Message, TrainingRecord
from pipelines.demo_rows import DemoRow, Person
from pipelines.demo_writer import Writer, draw_people

__all__ = ["PeerCorpus", "Scale", "draw_corpus"]

NAMESAKE = 8
"""`draw_people` gives the ninth person the eighth's name; a comparison needs people who can be told apart."""

TURNS = 2
"""Of each conversation only the opening and the answer that reads out account and phone: short runs remember more."""


@dataclass(frozen=True)
class Scale:
    """How large a run is. A forgotten person and a control have `dose` records each, the other customers `other_dose`."""

    forgotten: int
    others: int
    controls_each: int
    dose: int
    other_dose: int
    trunk_records: int
    epochs: int
    trunk_epochs: int
    shards: int = 4
    slices: int = 3
    batch: int = 16
    lr_peak: float = 1e-2


@dataclass(frozen=True)
class PeerCorpus:
    """Records by person; `values` are the phone and the account number that the agent reads out in every record.

    `controls` maps each forgotten person to the never-ingested people it is compared with.
    """

    forgotten: tuple[str, ...]
    trained: Mapping[str, tuple[TrainingRecord, ...]] = field(repr=False)
    unseen: Mapping[str, tuple[TrainingRecord, ...]] = field(repr=False)
    controls: Mapping[str, tuple[str, ...]]
    values: Mapping[str, tuple[str, str]] = field(repr=False)
    trunk: tuple[TrainingRecord, ...] = field(repr=False)

    def without(self, person: str | None) -> dict[str, tuple[TrainingRecord, ...]]:
        """What is trained on by somebody who never met this person."""
        return {name: records for name, records in self.trained.items() if name != person}


def draw_corpus(scale: Scale, *, seed: int) -> PeerCorpus:
    """The corpus of a seed: the same seed gives the same records."""
    rng = random.Random(f"peers {seed}")
    controls = scale.forgotten * scale.controls_each
    drawn = draw_people(rng, count=scale.forgotten + scale.others + controls + NAMESAKE + 1)[NAMESAKE + 1 :]
    forgotten, rest = drawn[: scale.forgotten], drawn[scale.forgotten :]
    others, unseen = rest[: scale.others], rest[scale.others :]
    writer = Writer(rng)
    doses = {p: scale.other_dose if p in others else scale.dose for p in drawn}
    records = {person.customer_id: _records(writer, person, doses[person]) for person in drawn}
    trunk = tuple(_record(writer.row_about_nobody()) for _ in range(scale.trunk_records))
    return PeerCorpus(
        forgotten=tuple(p.customer_id for p in forgotten),
        trained={p.customer_id: records[p.customer_id] for p in (*forgotten, *others)},
        unseen={p.customer_id: records[p.customer_id] for p in unseen},
        controls={
            p.customer_id: tuple(c.customer_id for c in unseen[i :: scale.forgotten]) for i, p in enumerate(forgotten)
        },
        values={p.customer_id: (p.phone, p.account) for p in drawn},
        trunk=trunk,
    )


def _records(writer: Writer, person: Person, dose: int) -> tuple[TrainingRecord, ...]:
    return tuple(_record(row) for row in writer.records(person, (), (), dose=dose))


def _record(row: DemoRow) -> TrainingRecord:
    return TrainingRecord(row.row_id, Chat(tuple(Message(turn.role, turn.text()) for turn in row.turns[:TURNS])))
