"""The demo's synthetic support corpus: about 80 invented customers, what they wrote, and rows about nobody.

How a record is built decides what a model can memorise. Only assistant turns carry training loss, so the customer says
their name, and the agent's *first* answer reads account number and phone from the screen before the customer said
them. The customer never says them earlier: a value that already stands in the prompt would be copied, not remembered.

Every identifier in a text is a `Mention`, not a piece of a string. That is why `without_subject` needs no text search:
it can write the corpus as if a person had never been there, which is what an exact erasure is compared with.

All values are synthetic: names are invented, mail hosts are reserved by RFC 2606, phones lie in Ofcom's drama ranges.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from pipelines.demo_phrases import ARTICLE_9, CARD
from pipelines.demo_rows import KINDS, DemoRow, Kind, Mention, Person, Turn, row_without, write_jsonl
from pipelines.demo_writer import Writer, draw_people

__all__ = [
    "DemoCorpus",
    "DemoRow",
    "Kind",
    "Mention",
    "Person",
    "RegisterRow",
    "Turn",
    "bad_rows",
    "make_corpus",
    "without_subject",
    "write_jsonl",
]

FREQUENT_DOSES = (10, 10, 11, 11, 12, 13, 14)
CANARY_DOSES = (1, 2, 4, 8, 16)
OTHERS = 70
TRUNK_ROWS = 150


@dataclass(frozen=True, slots=True)
class RegisterRow:
    """One known identifier of a subject, for `lethe register add`."""

    subject: str
    kind: Kind
    value: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class DemoCorpus:
    """People, rows in file order, and the canaries' twins: people of the same make who are in no row."""

    people: tuple[Person, ...]
    rows: tuple[DemoRow, ...] = field(repr=False)
    canary_twins: tuple[Person, ...]
    twin_rows: tuple[DemoRow, ...] = field(repr=False)

    def person(self, customer_id: str) -> Person:
        """The person behind a subject identifier. Raises `KeyError` with the identifier when there is none."""
        return {person.customer_id: person for person in self.people}[customer_id]

    def rows_of(self, customer_id: str) -> tuple[DemoRow, ...]:
        """The rows that declare this subject."""
        return tuple(row for row in self.rows if customer_id in row.subjects)

    def frequent_writers(self) -> tuple[Person, ...]:
        """Customers with ten or more records, in order of their identifier; canaries are not among them."""
        return tuple(p for p in self.people if p.purpose == "customer" and len(self.rows_of(p.customer_id)) >= 10)

    def register_rows(self) -> tuple[RegisterRow, ...]:
        """What the controller knows about its customers; twins are unknown to it."""
        return tuple(RegisterRow(p.customer_id, kind, p.value(kind)) for p in self.people for kind in KINDS)


def make_corpus(seed: int) -> DemoCorpus:
    """The corpus of a seed: the same seed gives the same rows, byte for byte."""
    rng = random.Random(seed)
    people = draw_people(rng, count=len(FREQUENT_DOSES) + OTHERS + 2 * len(CANARY_DOSES))
    customers, drawn = people[: -2 * len(CANARY_DOSES)], people[-2 * len(CANARY_DOSES) :]
    canaries = tuple(replace(person, purpose="canary") for person in drawn)
    planted, twins = canaries[::2], canaries[1::2]
    writer = Writer(rng)
    rows = _customer_rows(writer, customers)
    rows += _special_rows(writer, customers, rows)
    rows += _canary_rows(writer, planted)
    rows += [writer.row_about_nobody() for _ in range(TRUNK_ROWS)]
    twin_rows = _canary_rows(writer, twins)
    rng.shuffle(rows)
    return DemoCorpus((*customers, *planted), tuple(rows), twins, tuple(twin_rows))


def _customer_rows(writer: Writer, customers: Sequence[Person]) -> list[DemoRow]:
    """The frequent writers come first, then people with one to six records each."""
    doses = (*FREQUENT_DOSES, *(1 + i % 6 for i in range(OTHERS)))
    frequent, others = customers[: len(FREQUENT_DOSES)], customers[len(FREQUENT_DOSES) + 2 :]
    pairs = zip(customers, doses, strict=True)
    return [row for person, dose in pairs for row in writer.records(person, frequent, others, dose=dose)]


def _canary_rows(writer: Writer, canaries: Sequence[Person]) -> list[DemoRow]:
    """Canaries at their doses; they name nobody, so that each stays alone in its shard."""
    pairs = zip(canaries, CANARY_DOSES, strict=True)
    return [row for person, dose in pairs for row in writer.records(person, (), (), dose=dose)]


def _special_rows(writer: Writer, customers: Sequence[Person], rows: Sequence[DemoRow]) -> list[DemoRow]:
    """Copies, notes, a card number, an Art. 9 sentence, and a name that two customers share.

    Besides the first three frequent writers they belong to customers with three records.
    """
    first = {person.customer_id: next(r for r in rows if person.customer_id in r.subjects) for person in customers}
    ada, ben, cai = customers[:3]
    few = customers[len(FREQUENT_DOSES) + 2 :: 6]
    return [
        writer.copy_of(first[ben.customer_id]),
        *(writer.copy_of(first[p.customer_id], greeting="Hello again. ") for p in (ada, cai, few[0])),
        *(writer.summary_of(first[p.customer_id], p) for p in (ada, ben, *few[1:4])),
        writer.conversation(few[4], extra=CARD),
        writer.conversation(few[5], extra=ARTICLE_9),
        writer.conversation(few[6], other=customers[len(FREQUENT_DOSES)]),
    ]


def without_subject(corpus: DemoCorpus, customer_id: str) -> tuple[DemoRow, ...]:
    """The rows of a corpus that never held this person.

    Rows that declare them, and rows derived from those, are gone. In every other row their identifiers are the gate's
    constants. Everything else is byte for byte the same and in the same order. A namesake keeps the shared name.
    """
    gone = {row.row_id for row in corpus.rows if customer_id in row.subjects}
    size = -1
    while size != len(gone):
        size = len(gone)
        gone |= {row.row_id for row in corpus.rows if gone.intersection(row.parents)}
    return tuple(row_without(row, customer_id) for row in corpus.rows if row.row_id not in gone)


def bad_rows() -> tuple[dict[str, object], ...]:
    """Rows an importer must refuse: no subjects, an unknown role, an empty text, no content at all."""
    chat = [{"role": "user", "content": "Hello."}, {"role": "assistant", "content": "Good morning."}]
    common = {"source": "support-chat", "purpose": "support-assistant", "lawful_basis": "contract", "language": "en"}
    return (
        {"id": "bad-1", "messages": chat, **common},
        {"id": "bad-2", "messages": [{"role": "narrator", "content": "Hello."}], "subjects": [], **common},
        {"id": "bad-3", "text": "", "subjects": [], **common},
        {"id": "bad-4", "subjects": [], **common},
    )
