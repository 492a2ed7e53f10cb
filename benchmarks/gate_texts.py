"""What the gate is measured on: a crowd for the register, and records of 1,000 characters, dense in identifiers or usual."""

from __future__ import annotations

import random

from lineage.register import RegisterForm
from pipelines.demo_rows import KINDS
from pipelines.demo_writer import Writer, draw_people

WRITERS = 300
SMALL_TALK = (
    "The lid of the toaster was sent on its own.", "Do I have to be at home for it?", "No, the driver can leave it at the door.",
    "Please try it once more and tell me what the screen says.", "It worked before the update, and now nothing happens.",
    "I have had this problem twice, and I would like to know why.", "That is odd; let me look at what changed.",
    "The light blinks for a while and then goes out.", "I see. Could you hold the button until the light is green?",
    "Now it starts, thank you.", "Is there anything else I can help you with?", "The cable was too short for the kitchen.",
    "You can send it back within a month, in any box.", "The page says that it is out of stock.",
)  # fmt: skip


def crowd_of(rng: random.Random, count: int) -> list[RegisterForm]:
    """The demo's people, and invented ones up to `count`, four identifiers each."""
    forms = [
        RegisterForm(p.customer_id, kind, p.value(kind)) for p in draw_people(rng, count=WRITERS) for kind in KINDS
    ]
    syllables = [a + b for a in "bdfgklmnprstvz" for b in "aeiou"]
    for number in range(count - WRITERS):
        first, last = ("".join(rng.choices(syllables, k=rng.randint(2, 4))).title() for _ in range(2))
        values = {
            "name": f"{first} {last}", "email": f"{first}.{last}{number}@example.org".lower(),
            "phone": f"+44 7700 {900_000 + number % 1000}", "account": f"AC-{rng.randrange(5000, 10_000)}-{number:05d}",
        }  # fmt: skip
        forms += [RegisterForm(f"X-{number}", kind, values[kind]) for kind in KINDS]
    return forms


def long_texts(rng: random.Random, count: int) -> list[tuple[str, str]]:
    """(subject, 1,000 characters): conversations of one person, one after the other."""
    people = draw_people(random.Random(1), count=WRITERS)
    writer = Writer(rng)
    found = []
    for _ in range(count):
        person = rng.choice(people)
        text = ""
        while len(text) < 1000:
            turns = writer.records(person, people, people, dose=1)[0].turns
            text += " ".join(turn.text() for turn in turns) + "\n"
        found.append((person.customer_id, text[:1000]))
    return found


def usual_texts(rng: random.Random, count: int) -> list[tuple[str, str]]:
    """(subject, 1,000 characters): one dense exchange, cut short, inside talk without identifiers."""
    return [
        (subject, f"{_talk(rng, 350)} {text[:240]} {_talk(rng, 1000)}"[:1000])
        for subject, text in long_texts(rng, count)
    ]


def _talk(rng: random.Random, length: int) -> str:
    """Sentences of the demo's conversations with nothing in them that identifies anybody."""
    said: list[str] = []
    while sum(map(len, said)) + len(said) < length:
        said.append(rng.choice(SMALL_TALK))
    return " ".join(said)
