"""Support transcripts with every identifier marked as it is written: whose, which kind, which way, from where to where."""

from __future__ import annotations

import random
import string
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from detection import values
from detection.values import Drawn
from lineage.records import Chat, Message
from lineage.register import RegisterForm

__all__ = ["Customer", "Labelled", "Mark", "customers", "forms_of", "write_set"]


def _list(words: str) -> tuple[str, ...]:
    return tuple(words.split())


# Common names of several countries, words that are names (Will, Grace, Price), and six invented surnames.
FIRST = _list(
    "Maria James Olga Wei Fatima Carlos Priya Hans Chloé Ahmed Ingrid Luca Sofia Dmitri Aisha Pablo Emma Noah Yuki Lars Elena "
    "Rahul Greta Mateo Amélie Kofi Zoë Tomasz Leila Björn Nadia Oliver Sunita Rosa Mark Grace Will Hope Jordan Paris"
)
LAST = _list(
    "Schmidt Okafor Kowalski Nguyen Patel García Dubois Lindqvist Rossi Ivanova Haddad Mensah O'Brien Tanaka Fernández Müller "
    "Singh Andersson Moreau Novak Jensen Castillo Fischer Bianchi Sharma Lefèvre Björk Costa Reyes Weber Hill Price Young Banks "
    "Quillfeather Brackenridge Thistlewood Varnleigh Wetherfold Zellbrook"
)


@dataclass(frozen=True)
class Customer:
    """Somebody invented. `registered` says whether the controller's register knows them."""

    number: str
    first: str = field(repr=False)
    last: str = field(repr=False)
    email: str = field(repr=False)
    region: str
    phone: str = field(repr=False)
    account: str = field(repr=False)
    registered: bool


@dataclass(frozen=True)
class Mark:
    """A labelled span: half-open, in one segment. `own` means that the record declares the person it belongs to."""

    segment: int
    start: int
    end_exclusive: int
    label: str
    variant: str
    own: bool
    registered: bool


@dataclass(frozen=True)
class Labelled:
    """One record with its marks; `declared` are its subjects. A record without marks is clean."""

    content: Chat = field(repr=False)
    declared: tuple[str, ...]
    marks: tuple[Mark, ...]


@dataclass(frozen=True)
class _Piece:
    drawn: Drawn
    own: bool
    registered: bool


def customers(rng: random.Random, count: int, *, registered: float) -> list[Customer]:
    """Distinct names and identifiers."""
    pairs = rng.sample([(first, last) for first in FIRST for last in LAST], count)
    found = []
    for i, (first, last) in enumerate(pairs):
        region, phone = values.phone_number(rng)
        local = rng.choice([f"{first}.{last}", f"{first[0]}{last}{i}", f"{last}_{i}", f"{first}+shop{i}"])
        host = rng.choice(["example.com", "example.org", "mail.example.net", "post.example.com"])
        address = f"{_ascii(local)}@{host}".lower()
        number = f"AC-{rng.randrange(5000, 10_000)}-{rng.randrange(10_000):04d}"
        found.append(Customer(f"C-{i}", first, last, address, region, phone, number, rng.random() < registered))
    return found


def _ascii(text: str) -> str:
    return text.translate(str.maketrans("éèëüöíáñÅ", "eeeuoiana")).replace("'", "")


def forms_of(people: Sequence[Customer]) -> list[RegisterForm]:
    """What the register holds of those who are in it."""
    return [
        RegisterForm(person.number, kind, value)
        for person in people
        if person.registered
        for kind, value in (
            ("name", f"{person.first} {person.last}"), ("email", person.email), ("phone", person.phone), ("account", person.account),
        )
    ]  # fmt: skip


OPENINGS = (
    "Hi, this is {name}. My order {order} of {date} has not arrived, tracking {tracking}.",
    "Hello, {name} here, account {account}. The {product} (part {part}) stopped working after the update to {version}.",
    "Good morning, I was charged {price} twice for invoice {invoice}. My account is {account}, you can reach me at {email}.",
    "Please call me back on {phone} about case {ticket}, I am free after {time}.",
)  # fmt: skip
CLEAN_OPENINGS = (
    "My order {order} of {date} has not arrived, tracking {tracking}.",
    "The {product} (part {part}, serial {serial}) stopped working after the update to {version}.",
    "I was charged {price} twice for invoice {invoice}, is that the {product}?",
    "Does the {product} fit the {part}? It says {size} and EAN {ean} on the box.",
    "What became of case {ticket}? You wrote on {date} at {time} that {price} would be paid back.",
    "Can you ship two of {part} to postcode {postcode} before {date}? Reference {reference}.",
)  # fmt: skip
ANSWERS = (
    "I see order {order}: {product}, {price}, left the warehouse on {date} at {time}.",
    "Thank you. Part {part} is replaced free of charge, the new serial is {serial}.",
    "The invoice {invoice} over {price} was corrected; the reference is {reference}.",
    "Your parcel {tracking} reaches the {postcode} area on {date}.",
)  # fmt: skip
OTHERS = (
    "Could you send it to {o_name} instead, at {o_email}?",
    "My colleague {o_name} ({o_phone}) will take the parcel.",
    "It was ordered by {o_name}, account {o_account}, but I paid the {price}.",
    "Please also copy {o_email} when {product} is back in stock.",
    "The neighbour, {o_name}, lives at {o_address} and can be reached on {o_phone}.",
    "Deliver to {o_address}, please, not to me.",
)  # fmt: skip
SENSITIVE = {
    "CREDIT_CARD": ("Take it from my card {x} please.", "The card {x} was declined at {time}."),
    "IBAN_CODE": ("Refund the {price} to {x}.", "My IBAN is {x}."),
    "US_SSN": ("For the credit check, my SSN is {x}.", "They asked for a social security number: {x}."),
    "IP_ADDRESS": ("The log shows {x} at {time}.", "I connect from {x}, firmware {version}."),
    "MAC_ADDRESS": ("The router says {x}.", "Device {x} does not join, serial {serial}."),
    "CRYPTO": ("You can pay me back to {x}.", "The wallet is {x}."),
    "ADDRESS": ("Send it to {x}.", "I moved to {x} on {date}."),
}


def write_set(rng: random.Random, people: Sequence[Customer], *, named: int, clean: int) -> Iterator[Labelled]:
    """`named` records with identifiers and `clean` ones without, in that order."""
    labels = list(SENSITIVE)
    for i in range(named):
        own, other = rng.sample(people, 2)
        turns = [rng.choice(OPENINGS), rng.choice(ANSWERS)]
        has_other, has_sensitive = i % 5 in (0, 1, 2), i % 5 in (2, 3)
        if has_other:
            turns += [rng.choice(OTHERS), rng.choice(ANSWERS)]
        label = rng.choice(labels) if has_sensitive else None
        if label:
            turns += [rng.choice(SENSITIVE[label]), rng.choice(ANSWERS)]
        yield _written(rng, turns, own=own, other=other, label=label)
    for _ in range(clean):
        turns = [rng.choice(CLEAN_OPENINGS), rng.choice(ANSWERS)]
        if rng.random() < 0.5:
            turns += [rng.choice(CLEAN_OPENINGS), rng.choice(ANSWERS)]
        yield _written(rng, turns)


def _written(
    rng: random.Random, turns: Sequence[str], *, own: Customer | None = None, other: Customer | None = None,
    label: str | None = None,
) -> Labelled:  # fmt: skip
    texts, marks = [], []
    for segment, phrase in enumerate(turns):
        blanks: dict[str, str | _Piece] = {**values.number_of_a_shop(rng)}
        blanks |= _contacts(rng, own, "", own=True) if own else {}
        blanks |= _contacts(rng, other, "o_", own=False) if other else {}
        blanks |= {"x": _Piece(values.sensitive(rng, label), own=True, registered=False)} if label else {}
        text = ""
        for literal, blank, _, _ in string.Formatter().parse(phrase):
            text += literal
            value = blanks[blank] if blank else ""
            if isinstance(value, _Piece):
                end = len(text) + len(value.drawn.text)
                marks.append(
                    Mark(segment, len(text), end, value.drawn.label, value.drawn.variant, value.own, value.registered)
                )
                value = value.drawn.text
            text += value
        texts.append(text)
    roles = ("user", "assistant")
    chat = Chat(tuple(Message(roles[i % 2], text) for i, text in enumerate(texts)))
    return Labelled(chat, (own.number,) if own else (), tuple(marks))


def _contacts(rng: random.Random, person: Customer, prefix: str, *, own: bool) -> dict[str, str | _Piece]:
    drawn = {
        "name": values.name(rng, person.first, person.last), "email": values.email(rng, person.email),
        "phone": values.phone(rng, person.region, person.phone), "account": values.account(rng, person.account),
    }  # fmt: skip
    found: dict[str, str | _Piece] = {
        prefix + kind: _Piece(value, own, person.registered) for kind, value in drawn.items()
    }
    return found | {f"{prefix}address": _Piece(values.sensitive(rng, "ADDRESS"), own, registered=False)}
