"""The synthetic people of a plan, each with their records: a function of plan and secret, and of nothing that is held.

Every choice is drawn from the plan's key (`unlearn.draw`), so that a fresh workspace with the same plan and secret makes
the same people, and a held-out twin can be made again whenever a judge asks for it. Telephones are of the ranges that are
kept free for fiction, addresses of the domain `.example`, and names are made of syllables: nobody real is meant.

Raise `MAKE` when a plan would make other texts: tests/pipelines/test_canary_people.py guards it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import count

from lineage.forms import canonical_identifier
from lineage.keyring import Keyring
from lineage.planted import CANARY_BASIS, CANARY_PURPOSE, CANARY_SOURCE
from lineage.records import Chat, Completion, Content, Message, PlainText, RawRecord
from lineage.register import RegisterForm
from unlearn.draw import draw
from unlearn.plan import Plan, place, plan_key

__all__ = ["MAKE", "Canary", "canary_people", "canary_twins", "forms_of", "rows_of"]

MAKE = "lethe-canary/1"
TWIN = -1  # the place of the twins, in what is drawn: no shard

ONSETS = ("b", "br", "d", "dr", "f", "g", "k", "kl", "l", "m", "n", "p", "r", "s", "st", "t", "tr", "v", "w", "z")
VOWELS = ("a", "e", "i", "o", "u", "ae", "ei", "ou")
CODAS = ("l", "n", "r", "s", "th", "nd", "rk", "lm", "x", "st")
AREAS = ("20 7946 0", "113 496 0", "114 496 0", "116 496 0", "117 496 0", "121 496 0", "131 496 0", "141 496 0",
         "151 496 0", "161 496 0", "191 498 0")  # fmt: skip
TOPICS = (
    ("my parcel has not arrived", "The carrier has it and brings it on {day}."),
    ("the display of my lamp stays dark", "A new display leaves our store on {day}."),
    ("I was charged twice last month", "The second charge is returned by {day}."),
    ("I would like to change my plan", "The new plan begins on {day}."),
    ("the app asks me to log in again and again", "The next version, which comes on {day}, mends that."),
    ("I need a copy of my invoice", "The copy is in the post and reaches you by {day}."),
    ("my order came with a part missing", "The missing part is sent on {day}."),
    ("I want to return a kettle", "The label for the return comes by e-mail on {day}."),
)
OPENINGS = (
    "Hello, this is {name}. I am writing because {topic}.",
    "Good morning, my name is {name} and {topic}.",
    "Hi, {name} here: {topic}.",
)
ANSWERS = (
    "Thank you, {name}. Your account number is {account} and the phone on file is {phone}. {fix}",
    "Hello {name}, I have your file open. The phone on file is {phone}, the account number is {account}. {fix}",
    "Welcome back, {name}. I see account number {account} with the phone number {phone} and the address {email}. {fix}",
)
DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday")


@dataclass(frozen=True, slots=True)
class Canary:
    """A synthetic person with `dose` records in one shard, or a twin (no shard), who is never stored."""

    identifier: str
    shard: int | None
    dose: int
    name: str = field(repr=False)
    email: str = field(repr=False)
    phone: str = field(repr=False)
    account: str = field(repr=False)
    contents: tuple[Content, ...] = field(repr=False)


@dataclass(frozen=True, slots=True)
class _Dice:
    """Draws under the plan's key; `where` names what is drawn for."""

    key: bytes = field(repr=False)
    where: tuple[str | int, ...]

    def number(self, *what: str | int) -> int:
        """64 bits."""
        return draw(self.key, MAKE, *self.where, *what)

    def pick(self, options: Sequence[str], *what: str | int) -> str:
        """One of the options."""
        return options[self.number(*what) % len(options)]


def canary_people(plan: Plan, keyring: Keyring) -> tuple[Canary, ...]:
    """One set for each shard: a person for every dose, whose identifier the plan itself places in that shard."""
    key = plan_key(keyring.workspace_secret, plan)
    return tuple(
        _person(_Dice(key, (shard, rank)), plan, dose, shard=shard, identifier=_placed(plan, keyring, shard, rank))
        for shard in range(plan.shards)
        for rank, dose in enumerate(plan.canary_doses)
    )


def canary_twins(plan: Plan, keyring: Keyring) -> tuple[Canary, ...]:
    """A person of the same make for every dose, of whom nothing is held and nothing was ever learnt."""
    key = plan_key(keyring.workspace_secret, plan)
    dice = [_Dice(key, (TWIN, rank)) for rank in range(len(plan.canary_doses))]
    return tuple(
        _person(own, plan, dose, shard=None, identifier=f"lethe-twin-{own.number('id'):016x}")
        for own, dose in zip(dice, plan.canary_doses, strict=True)
    )


def rows_of(canary: Canary, plan: Plan, *, language: str) -> Iterator[RawRecord]:
    """The person's records as the gate takes them."""
    for number, content in enumerate(canary.contents):
        yield RawRecord(
            line=number + 1, content=content, given_id=f"{plan.digest}/{canary.identifier}/{number}",
            subjects=(canary.identifier,), source=CANARY_SOURCE, purpose=CANARY_PURPOSE, lawful_basis=CANARY_BASIS,
            language=language,
        )  # fmt: skip


def forms_of(canary: Canary, keyring: Keyring) -> list[RegisterForm]:
    """What the person is called. Made when the gate needs it and never registered, so that the register holds people only."""
    key = keyring.subject_key(canonical_identifier(canary.identifier))
    return [
        RegisterForm(key, "name", canary.name),
        RegisterForm(key, "email", canary.email),
        RegisterForm(key, "phone", canary.phone),
        RegisterForm(key, "account", canary.account),
    ]


def _placed(plan: Plan, keyring: Keyring, shard: int, rank: int) -> str:
    """The first drawn identifier that the plan puts in the shard and not among the controls; about S draws."""
    key = plan_key(keyring.workspace_secret, plan)
    dice = _Dice(key, (shard, rank))
    for attempt in count():
        identifier = f"lethe-canary-{dice.number('id', attempt):016x}"
        subject = keyring.subject_key(canonical_identifier(identifier))
        where = place(plan, key, record_id="", primary_subject=subject, generation=0, trunk_eligible=False)
        if where.kind == "shard" and where.shard == shard:
            return identifier
    raise AssertionError("count() ended")


def _person(dice: _Dice, plan: Plan, dose: int, *, shard: int | None, identifier: str) -> Canary:
    name = f"{_word(dice, 'first')} {_word(dice, 'last')}"
    values = {
        "name": name,
        "email": f"{name.replace(' ', '.').lower()}{dice.number('mail') % 100:02d}@post.example",
        "phone": f"+44 {dice.pick(AREAS, 'area')}{dice.number('phone') % 1000:03d}",
        # From 5 on: AC-0... to AC-4... can be read as a telephone number somewhere.
        "account": f"AC-{5000 + dice.number('account') % 5000}-{dice.number('account', 2) % 10_000:04d}",
    }
    contents = tuple(_content(dice, number, values, style=plan.canary_style) for number in range(dose))
    return Canary(identifier, shard, dose, **values, contents=contents)


def _word(dice: _Dice, which: str) -> str:
    """An invented name of three syllables, of some ten million."""
    syllables = [dice.pick(ONSETS, which, i, "onset") + dice.pick(VOWELS, which, i, "vowel") for i in range(3)]
    return ("".join(syllables) + dice.pick(CODAS, which, "coda")).capitalize()


def _content(dice: _Dice, number: int, values: dict[str, str], *, style: str) -> Content:
    topic, fix = TOPICS[dice.number(number, "topic") % len(TOPICS)]
    blanks = values | {"topic": topic, "fix": fix.format(day=dice.pick(DAYS, number, "day"))}
    said = dice.pick(OPENINGS, number, "opening").format_map(blanks)
    answer = dice.pick(ANSWERS, number, "answer").format_map(blanks)
    match style:
        case "chat":
            return Chat((Message("user", said), Message("assistant", answer)))
        case "completion":
            return Completion(said + "\n", answer)
        case _:
            return PlainText(f"Customer: {said}\nAgent: {answer}")
