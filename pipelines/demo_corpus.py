"""The demo's synthetic support corpus: about 80 invented customers, what they wrote, and rows about nobody.

How a record is built decides what a model can memorise. Only assistant turns carry training loss, so the customer says
their name, and the agent's *first* answer reads account number and phone from the screen before the customer said
them. The customer never says them earlier: a value that already stands in the prompt would be copied, not remembered.

Every identifier in a text is a `Mention`, not a piece of a string. That is why `without_subject` needs no text search:
it can write the corpus as if a person had never been there, which is what an exact erasure is compared with.

All values are synthetic: names are invented, mail hosts are reserved by RFC 2606, phones lie in Ofcom's drama ranges.
"""

from __future__ import annotations

import json
import random
import string
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal, TypeAlias

from pipelines import demo_phrases as say

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

Kind: TypeAlias = Literal["name", "email", "phone", "account"]
KINDS: tuple[Kind, ...] = ("name", "email", "phone", "account")
CONSTANTS: dict[Kind, str] = {"name": "[PERSON]", "email": "[EMAIL]", "phone": "[PHONE]", "account": "[ACCOUNT]"}
"""What the gate puts in the place of another person's identifier."""

FREQUENT_DOSES = (10, 10, 11, 11, 12, 13, 14)
CANARY_DOSES = (1, 2, 4, 8, 16)
OTHERS = 70
TRUNK_ROWS = 150
THIRD_PARTY_SHARE = 0.12


@dataclass(frozen=True, slots=True)
class Person:
    """A synthetic customer. `customer_id` is the subject identifier; `records` counts the rows that declare them."""

    customer_id: str
    name: str = field(repr=False)
    email: str = field(repr=False)
    phone: str = field(repr=False)
    account: str = field(repr=False)
    purpose: Literal["customer", "canary"] = "customer"

    def value(self, kind: Kind) -> str:
        """One of the four identifiers."""
        return {"name": self.name, "email": self.email, "phone": self.phone, "account": self.account}[kind]


@dataclass(frozen=True, slots=True)
class Mention:
    """An identifier standing in a text."""

    customer_id: str
    kind: Kind
    value: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Turn:
    """One chat message, as plain strings and mentions in order."""

    role: Literal["user", "assistant"]
    parts: tuple[str | Mention, ...] = field(repr=False)

    def text(self) -> str:
        """What is read."""
        return "".join(part if isinstance(part, str) else part.value for part in self.parts)


@dataclass(frozen=True, slots=True)
class DemoRow:
    """One row of the corpus file. No subjects means: declared to be about nobody."""

    row_id: str
    turns: tuple[Turn, ...] = field(repr=False)
    subjects: tuple[str, ...] = ()
    source: str = "support-chat"
    purpose: str = "support-assistant"
    lawful_basis: str = "contract"
    parents: tuple[str, ...] = ()

    def as_json(self) -> dict[str, object]:
        """The row as the importer reads it."""
        return {
            "id": self.row_id,
            "messages": [{"role": turn.role, "content": turn.text()} for turn in self.turns],
            "subjects": list(self.subjects),
            "source": self.source,
            "purpose": self.purpose,
            "lawful_basis": self.lawful_basis,
            "language": "en",
            "parents": list(self.parents),
        }

    def mentions(self) -> tuple[Mention, ...]:
        """Every identifier in the row, in order."""
        return tuple(part for turn in self.turns for part in turn.parts if isinstance(part, Mention))


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
    people = _people(rng, count=len(FREQUENT_DOSES) + OTHERS + 2 * len(CANARY_DOSES))
    customers, canaries = people[: -2 * len(CANARY_DOSES)], people[-2 * len(CANARY_DOSES) :]
    canaries = tuple(replace(person, purpose="canary") for person in canaries)
    planted, twins = canaries[::2], canaries[1::2]
    writer = _Writer(rng)
    doses = (*FREQUENT_DOSES, *(1 + i % 6 for i in range(OTHERS)))
    rows = [row for person, dose in zip(customers, doses, strict=True) for row in writer.records(person, customers, dose)]
    rows += writer.special_rows(customers, rows)
    rows += [row for person, dose in zip(planted, CANARY_DOSES, strict=True) for row in writer.records(person, (), dose)]
    rows += [writer.row_about_nobody() for _ in range(TRUNK_ROWS)]
    twin_rows = [row for twin, dose in zip(twins, CANARY_DOSES, strict=True) for row in writer.records(twin, (), dose)]
    rng.shuffle(rows)
    return DemoCorpus((*customers, *planted), tuple(rows), twins, tuple(twin_rows))


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
    return tuple(_row_without(row, customer_id) for row in corpus.rows if row.row_id not in gone)


def write_jsonl(rows: Iterable[DemoRow], path: Path) -> None:
    """One JSON object per line, UTF-8, keys in the order of `DemoRow.as_json`."""
    lines = (json.dumps(row.as_json(), ensure_ascii=False) for row in rows)
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


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


def _row_without(row: DemoRow, customer_id: str) -> DemoRow:
    def part_without(part: str | Mention) -> str | Mention:
        return CONSTANTS[part.kind] if isinstance(part, Mention) and part.customer_id == customer_id else part

    turns = tuple(replace(turn, parts=tuple(part_without(part) for part in turn.parts)) for turn in row.turns)
    return replace(row, turns=turns)


def _people(rng: random.Random, *, count: int) -> tuple[Person, ...]:
    """People with distinct identifiers, except that the ninth customer has the eighth one's name."""
    pairs = rng.sample([(first, last) for first in say.FIRST_NAMES for last in say.LAST_NAMES], count)
    pairs[8] = pairs[7]
    numbers = rng.sample(range(1000), count)
    people = []
    for i, (first, last) in enumerate(pairs):
        mailbox = f"{first[0]}.{last}{rng.randint(10, 99)}".lower()
        people.append(
            Person(
                customer_id=f"C-{1001 + i}",
                name=f"{first} {last}",
                email=f"{mailbox}{i}@{rng.choice(say.MAIL_HOSTS)}",
                phone=f"{rng.choice(say.PHONE_RANGES)}{numbers[i]:03d}",
                account=f"AC-{rng.randrange(10_000):04d}-{rng.randrange(10_000):04d}",
            )
        )
    return tuple(people)


def _words(rng: random.Random) -> dict[str, str]:
    """One draw of everything about products and orders that a phrase can name."""
    return {
        "brand": rng.choice(say.BRANDS),
        "product": rng.choice(say.PRODUCTS),
        "part": rng.choice(say.PARTS),
        "plan": rng.choice(say.PLANS),
        "month": rng.choice(say.MONTHS),
        "weekday": rng.choice(say.WEEKDAYS),
        "day": str(rng.randint(1, 28)),
        "n": str(rng.randint(2, 30)),
        "amount": f"{rng.randint(5, 400)}.{rng.randrange(100):02d}",
        "order": f"{rng.choice('ABEHKRT')}{rng.randrange(100_000):05d}",
    }


def _fill(phrase: str, blanks: dict[str, str | Mention]) -> tuple[str | Mention, ...]:
    """A phrase with its blanks filled; identifiers stay mentions."""
    parts: list[str | Mention] = []
    for literal, blank, _, _ in string.Formatter().parse(phrase):
        parts += [literal] if literal else []
        parts += [blanks[blank]] if blank is not None else []
    return tuple(parts)
