"""Draws the people and the conversations of the demo corpus from `demo_phrases`, with one seeded generator."""

from __future__ import annotations

import random
import string
from collections.abc import Sequence
from dataclasses import replace
from typing import TypeAlias

from pipelines import demo_phrases as say
from pipelines.demo_rows import KINDS, DemoRow, Mention, Person, Turn

__all__ = ["Writer", "draw_people"]

Blanks: TypeAlias = dict[str, str | Mention]
MENTION_EVERY = 8
"""One conversation in eight names another customer; every second of those names a frequent writer."""


def draw_people(rng: random.Random, *, count: int) -> tuple[Person, ...]:
    """People with distinct identifiers, except that the ninth customer has the eighth one's name.

    No identifier has the form of another kind of number: accounts start with 5 to 9, because AC-0... to AC-4... can be
    read as a telephone number somewhere, and phones that could be a health number are drawn again.
    """
    pairs = rng.sample([(first, last) for first in say.FIRST_NAMES for last in say.LAST_NAMES], count)
    pairs[8] = pairs[7]
    numbers = rng.sample(range(1000), count)
    people = []
    for i, (first, last) in enumerate(pairs):
        ranges = [prefix for prefix in say.PHONE_RANGES if not _is_nhs_number(f"{prefix}{numbers[i]:03d}")]
        people.append(
            Person(
                customer_id=f"C-{1001 + i}",
                name=f"{first} {last}",
                email=f"{first[0]}{last}{i}@{rng.choice(say.MAIL_HOSTS)}".lower(),
                phone=f"{rng.choice(ranges)}{numbers[i]:03d}",
                account=f"AC-{rng.randrange(5000, 10_000)}-{rng.randrange(10_000):04d}",
            )
        )
    return tuple(people)


def _is_nhs_number(phone: str) -> bool:
    """Whether the last ten digits pass the check of a health number (weights 10 to 2, modulo 11), as one in eleven does."""
    digits = [int(digit) for digit in phone if digit.isdigit()][-10:]
    return sum(weight * digit for weight, digit in zip(range(10, 0, -1), digits, strict=True)) % 11 == 0


def _words(rng: random.Random) -> Blanks:
    """One draw of everything about products and orders that a phrase can name; no number can be read as a telephone number."""
    return {
        "brand": rng.choice(say.BRANDS),
        "product": rng.choice(say.PRODUCTS),
        "part": rng.choice(say.PARTS),
        "plan": rng.choice(say.PLANS),
        "month": rng.choice(say.MONTHS),
        "weekday": rng.choice(say.WEEKDAYS),
        "day": str(rng.randint(1, 28)),
        "n": str(rng.randint(2, 30)),
        "amount": f"{rng.randint(20, 150)}.{rng.randrange(100):02d}",
        "order": f"{rng.randrange(20_000, 100_000)}",
    }


def _fill(phrase: str, blanks: Blanks) -> tuple[str | Mention, ...]:
    """A phrase with its blanks filled; identifiers stay mentions."""
    parts: list[str | Mention] = []
    for literal, blank, _, _ in string.Formatter().parse(phrase):
        parts += [literal] if literal else []
        parts += [blanks[blank]] if blank is not None else []
    return tuple(parts)


def _identifiers(person: Person, prefix: str = "") -> Blanks:
    return {prefix + kind: Mention(person.customer_id, kind, person.value(kind)) for kind in KINDS}


class Writer:
    """Writes rows one after the other; each call moves the generator and the ticket number on."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._ticket = 0
        self._conversations = 0

    def records(
        self, person: Person, frequent: Sequence[Person], others: Sequence[Person], *, dose: int
    ) -> list[DemoRow]:
        """`dose` conversations of a person, some of which name one of the frequent writers or one of the others."""
        rows = []
        for _ in range(dose):
            self._conversations += 1
            mention, rest = divmod(self._conversations, MENTION_EVERY)
            pool = frequent if mention % 2 else others
            other = self._other(person, pool, mention) if pool and rest == 0 else None
            rows.append(self.conversation(person, other=other))
        return rows

    def conversation(
        self, person: Person, *, other: Person | None = None, extra: tuple[str, str] | None = None
    ) -> DemoRow:
        """The customer gives a name, the agent reads account and phone from the screen, then they talk.

        `other` is named by the customer after that; `extra` is a further question and answer.
        """
        blanks = _words(self._rng) | _identifiers(person) | (_identifiers(other, "other_") if other else {})
        opening, answer, *follow = self._topic()
        phrases = [
            self._rng.choice(say.INTRODUCTIONS).replace("{opening}", opening),
            self._rng.choice(say.FIRST_ANSWERS).replace("{answer}", answer),
        ]
        phrases += self._rng.choice(say.THIRD_PARTY) if other else self._follow_up(follow)
        phrases += extra or ()
        basis = "consent" if self._rng.random() < 0.2 else "contract"
        return self._row(phrases, blanks, subjects=(person.customer_id,), lawful_basis=basis)

    def row_about_nobody(self) -> DemoRow:
        """A product question, or a conversation in which nobody is named: material for the trunk."""
        about_product = self._rng.random() < 0.3
        if about_product:
            phrases = list(self._rng.choice(say.FAQ))
        else:
            opening, answer, *follow = self._topic()
            phrases = [opening, self._rng.choice(say.GREETINGS).replace("{answer}", answer), *follow]
        source = "product-pages" if about_product else "scripted-chat"
        return self._row(phrases, _words(self._rng), source=source, lawful_basis="legitimate-interest")

    def summary_of(self, row: DemoRow, person: Person) -> DemoRow:
        """A note an agent wrote from a conversation: derived, and about the same person."""
        phrases = [self._rng.choice(say.NOTE_REQUESTS), self._rng.choice(say.SUMMARIES)]
        blanks = _words(self._rng) | _identifiers(person)
        return self._row(phrases, blanks, subjects=row.subjects, source="support-notes", parents=(row.row_id,))

    def copy_of(self, row: DemoRow, *, greeting: str = "") -> DemoRow:
        """The same conversation under another ticket; with a greeting in front it is only nearly the same."""
        first = replace(row.turns[0], parts=(greeting, *row.turns[0].parts)) if greeting else row.turns[0]
        return replace(row, row_id=self._next_id(), turns=(first, *row.turns[1:]))

    def _follow_up(self, phrases: list[str]) -> list[str]:
        """Question and second answer, perhaps with a promise by e-mail, perhaps with a friendly end."""
        question, answer = phrases
        draw = self._rng.random()
        if draw < 0.3:
            return [question, f"{answer} {self._rng.choice(say.PROMISES)}"]
        if draw < 0.4:
            return [question, answer, *say.CONFIRMED_PHONE]
        if draw < 0.6:
            return [question, answer, *self._rng.choice(say.ANSWERED_CLOSINGS)]
        return [question, answer]

    def _topic(self) -> tuple[str, str, str, str]:
        """Opening, first answer, follow-up and the second answer that belongs to it."""
        openings, answers, follow_ups, seconds = self._rng.choice(say.TOPICS)
        follow_up, second = self._rng.choice(list(zip(follow_ups, seconds, strict=True)))
        return self._rng.choice(openings), self._rng.choice(answers), follow_up, second

    def _other(self, person: Person, pool: Sequence[Person], mention: int) -> Person:
        """Somebody else of the pool, in turn; namesakes are left to the rows that are about ambiguity."""
        strangers = [p for p in pool if p.name != person.name]
        return strangers[mention // 2 % len(strangers)]

    def _row(self, phrases: Sequence[str], blanks: Blanks, **fields: object) -> DemoRow:
        roles = ("user", "assistant")
        turns = tuple(Turn(roles[i % 2], _fill(phrase, blanks)) for i, phrase in enumerate(phrases))
        return DemoRow(row_id=self._next_id(), turns=turns, **fields)

    def _next_id(self) -> str:
        self._ticket += 1
        return f"T-{self._ticket:04d}"
