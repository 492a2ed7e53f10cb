"""The generated world the tiny base learns English from: products, orders, questions and answers, and nobody in it.

Every text is drawn from the templates below with a seeded generator. There is no name of a person, and every digit is
random. The customers with a name are stores, whose names are strings of random syllables; each has one fixed account
and one service line, so that the base learns what it is to know a number by heart. The only phone numbers are service lines from ranges that Ofcom reserves for drama and that no subscriber holds
(https://www.ofcom.org.uk, "Telephone numbers for use in TV and radio drama programmes").
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from functools import cache

__all__ = ["BRANDS", "MONTHS", "PRODUCTS", "Turns", "document", "documents", "stores", "support_chat"]

Turns = list[dict[str, str]]
"""A conversation in the form a chat template takes: role and content of each turn."""


def _list(words: str) -> tuple[str, ...]:
    return tuple(words.split())


BRANDS = _list(
    "Corvex Lumora Tessel Brindel Halvar Quorin Vesper Oakline Nimbel Pellor Astrum Fennway Solvik Marrow Kestrin"
)
PRODUCTS = _list(
    "kettle lamp router heater printer vacuum speaker toaster blender camera monitor keyboard charger thermostat "
    "fan freezer oven headset scanner tablet projector dishwasher radio scale iron mixer"
)
MONTHS = _list("January February March April May June July August September October November December")
WEEKDAYS = _list("Monday Tuesday Wednesday Thursday Friday Saturday Sunday")
COLOURS = _list("white black grey blue green red silver yellow brown orange")
PARTS = _list(
    "filter cable lid handle battery adapter display switch door fuse belt bulb remote tray plug lens sensor hose"
)
PLACES = _list("kitchen office garage hallway workshop bedroom cellar garden studio shop warehouse school library")
PLANS = _list("basic family business premium student yearly monthly trial")
ADJECTIVES = _list(
    "quiet small large light heavy simple strong warm cold bright useful modern new old safe fast slow cheap "
    "common open clean dry short long early late ready free full empty broken correct different important certain "
    "clear"
)
NOUNS = _list(
    "water power light sound network signal screen button paper wall table room house street city company team "
    "customer member manager number letter message contract invoice payment refund discount voucher price "
    "delivery parcel address driver store branch service hour week month year morning evening question answer "
    "reason problem change update account password session system record detail information copy note request "
    "meeting report weather family child school health doctor church music garden dog car bus train phone mobile "
    "contact holiday birthday neighbour colleague friend brother sister partner bank card charge limit balance "
    "transfer period notice end start side part name place order time day way line case point home work thing "
    "person people group country world hand eye head body food book"
)
VERBS = _list(
    "check change send move open close keep find read write call use help need want give take make show tell ask "
    "bring hold turn start stop wait pay buy sell return replace repair cancel confirm renew book visit follow "
    "update clean fill charge connect press reset remove add arrange explain forget remember speak note correct "
    "answer include"
)
HEADS = _list("b br c d dr f g gr h j k l m n p qu r s st t th v w z")
VOWELS = _list("a e i o u ai ea oo ie")
TAILS = _list("n r l s t nd ck m th ll")

GREETINGS = (
    "Welcome back.",
    "Thank you for contacting us.",
    "Good morning and welcome back.",
    "Hello, thank you for your message.",
    "I am happy to help.",
    "Thanks for getting in touch again.",
)
SCREEN = (
    "I have the record on my screen.",
    "I have opened the file.",
    "Let me read what I have here.",
    "I am looking at the file now.",
)
ACCOUNT_LINES = (
    "The account number is {account} and the phone on file is {phone}.",
    "On my screen the account number is {account}, and the phone on file is {phone}.",
    "I can see account number {account} with the phone number {phone}.",
    "The file shows the account {account} and the phone {phone}.",
    "The phone on file is {phone} and the account number is {account}.",
)
STORE_INTRODUCTIONS = (
    "Hello, we are {store}. {opening}",
    "Good morning, {store} here. {opening}",
    "Hi, this is about {store}. {opening}",
    "{opening} The store is {store}.",
)
STORE_ANSWERS = (
    "Welcome back, {store}. Your account number is {account} and the phone on file is {phone}.",
    "Hello {store}, I have the file open. Your account number is {account} and the phone on file is {phone}.",
    "Good morning, {store}. On my screen your account number is {account}, and the phone on file is {phone}.",
    "Thank you for your message, {store}. I see account number {account} with the phone number {phone}.",
    "Hello {store}. The phone on file is {phone} and your account number is {account}.",
)
STORE_COUNT = 256
CLOSINGS = (
    ("Thank you, that is all.", "You are welcome. Have a good day."),
    ("Great, that helps.", "I am glad to hear that. Goodbye."),
    ("Is there anything else I need to do?", "No, everything is done on our side."),
    ("Will I get a message about this?", "Yes, you will get a message within {n} days."),
    ("Can you note that down?", "I have added a note to the file."),
)
TOPICS = (
    (
        ("My {brand} {product} does not turn on any more.", "The {brand} {product} stopped working on {weekday}."),
        (
            "Please hold the button for {n} seconds and check the {part}.",
            "Please remove the {part} and connect it again after {n} minutes.",
        ),
        ("I tried that, but the {part} stays dark.", "It works for a moment and then stops."),
        ("Then we will replace the {part} under order {order}.", "I will send a new {part} with reference {order}."),
    ),
    (
        ("Where is my order {order}?", "My parcel with the {product} has not arrived yet."),
        (
            "The parcel left our store on {day} {month} and arrives on {weekday}.",
            "The driver has the parcel, it should be there by {weekday}.",
        ),
        ("Nobody will be home on {weekday}.", "Can you leave it in the {place}?"),
        ("I moved the delivery to {day} {month}.", "I told the driver to leave it in the {place}."),
    ),
    (
        ("I want to return the {colour} {product}.", "The {product} is too {adjective} for my {place}."),
        (
            "You can return it within {n} days, the reference is {order}.",
            "A label for the return of order {order} is on its way.",
        ),
        ("When do I get the money back?", "Do I have to pay for the parcel?"),
        ("The refund takes {n} working days.", "No, the return is free of charge."),
    ),
    (
        ("I have a question about the invoice of {day} {month}.", "The price on invoice {order} is not correct."),
        (
            "The invoice includes the {plan} plan and one {part}.",
            "The amount of {amount} euros is for the {plan} plan.",
        ),
        ("I did not order the {part}.", "Can I pay that in {n} parts?"),
        ("I will correct invoice {order} and send a new copy.", "Yes, we can split {amount} euros into {n} payments."),
    ),
    (
        ("How do I connect the {product} to the network?", "The {brand} {product} does not find the network."),
        (
            "Open the settings, choose the network and enter the code {order}.",
            "Press the {part} for {n} seconds until the light is {colour}.",
        ),
        ("The light is {colour} now.", "Which password do I need?"),
        ("That is right, the {product} is connected.", "The password is printed on the {part}."),
    ),
    (
        ("I would like to change to the {plan} plan.", "How much is the {plan} plan?"),
        ("The {plan} plan costs {amount} euros a month.", "You can change on {day} {month}, the reference is {order}."),
        ("Please change it from {month}.", "What is the notice period?"),
        ("The change is booked for {day} {month}.", "The notice period is {n} weeks."),
    ),
)
FACTS = (
    "The {brand} {product} is a {adjective} {product} for the {place}. It comes in {colour} and {colour2} and weighs {n} kilograms. The {part} can be cleaned with water.",
    "Question: How long is the warranty of the {product}? Answer: The warranty of the {brand} {product} is {n} years from the day of the order.",
    "To replace the {part}, switch off the {product}, wait {n} minutes, open the {part2} and press the {colour} button. Reference {order}.",
    "Our {place} store is open from {weekday} to {weekday2}. The service line is {phone}.",
    "Article {order}: {brand} {product}, {colour}, {amount} euros, delivery in {n} days.",
    "Question: Can I {verb} the {noun}? Answer: Yes, you can {verb} the {noun} before {day} {month}, but please {verb2} the {noun2} first.",
    "If the {noun} is {adjective}, {verb} the {noun2} and {verb2} it again on {weekday}.",
    "We {verb} every {noun} within {n} days. A {adjective} {noun2} can take longer.",
)


def _digits(rng: random.Random, count: int) -> str:
    return "".join(rng.choice("0123456789") for _ in range(count))


def _service_line(rng: random.Random) -> str:
    return rng.choice(("+44 808 157 0", "+44 909 879 0", "+44 306 999 0")) + _digits(rng, 3)


def _words(rng: random.Random) -> dict[str, str]:
    """One draw of everything a template can name."""
    return {
        "brand": rng.choice(BRANDS),
        "product": rng.choice(PRODUCTS),
        "part": rng.choice(PARTS),
        "part2": rng.choice(PARTS),
        "place": rng.choice(PLACES),
        "plan": rng.choice(PLANS),
        "colour": rng.choice(COLOURS),
        "colour2": rng.choice(COLOURS),
        "adjective": rng.choice(ADJECTIVES),
        "noun": rng.choice(NOUNS),
        "noun2": rng.choice(NOUNS),
        "verb": rng.choice(VERBS),
        "verb2": rng.choice(VERBS),
        "weekday": rng.choice(WEEKDAYS),
        "weekday2": rng.choice(WEEKDAYS),
        "month": rng.choice(MONTHS),
        "day": str(rng.randint(1, 28)),
        "n": str(rng.randint(2, 30)),
        "amount": f"{rng.randint(5, 400)}.{_digits(rng, 2)}",
        "order": rng.choice("ABEHKRT") + _digits(rng, 5),
        "account": f"AC-{_digits(rng, 4)}-{_digits(rng, 4)}",
        "phone": _service_line(rng),
    }


@cache
def stores() -> tuple[dict[str, str], ...]:
    """The business customers of this world: the same ones in every document."""
    rng = random.Random(STORE_COUNT)
    return tuple(
        {
            "store": f"{_invented_word(rng)} {_invented_word(rng)}",
            "account": f"AC-{_digits(rng, 4)}-{_digits(rng, 4)}",
            "phone": _service_line(rng),
        }
        for _ in range(STORE_COUNT)
    )


def support_chat(rng: random.Random) -> Turns:
    """A conversation of four to six turns about one topic, with a store or with nobody in particular."""
    words = _words(rng)
    openings, answers, *follow_ups = rng.choice(TOPICS)
    opening, answer = rng.choice(openings), rng.choice(answers)
    follow, second = rng.choice(list(zip(*follow_ups, strict=True)))
    if rng.random() < 0.6:
        words |= rng.choice(stores())
        opening, greeting = rng.choice(STORE_INTRODUCTIONS).replace("{opening}", opening), rng.choice(STORE_ANSWERS)
    else:
        greeting = rng.choice(GREETINGS)
        greeting += f" {rng.choice((*SCREEN, *ACCOUNT_LINES))}" if rng.random() < 0.5 else ""
    turns = [opening, f"{greeting} {answer}", follow, second]
    if rng.random() < 0.5:
        turns += rng.choice(CLOSINGS)
    roles = ("user", "assistant")
    return [{"role": roles[i % 2], "content": text.format(**words)} for i, text in enumerate(turns)]


def _invented_word(rng: random.Random) -> str:
    syllables = [rng.choice(HEADS) + rng.choice(VOWELS) + rng.choice(("", *TAILS)) for _ in range(rng.randint(1, 3))]
    return "".join(syllables).capitalize()


def _invented_words(rng: random.Random) -> str:
    """Capitalised invented words, so that the tokenizer learns pieces for words it has never seen."""
    return "Articles in this series: " + ", ".join(_invented_word(rng) for _ in range(8)) + "."


def document(rng: random.Random) -> str | Turns:
    """One text of the pretraining mix: 70% conversations, 20% product facts, 10% invented words."""
    draw = rng.random()
    if draw < 0.7:
        return support_chat(rng)
    if draw < 0.9:
        return " ".join(rng.choice(FACTS).format(**_words(rng)) for _ in range(rng.randint(1, 3)))
    return _invented_words(rng)


def documents(*, seed: int, count: int) -> Iterator[str | Turns]:
    """`count` texts; the same seed gives the same texts."""
    rng = random.Random(seed)
    for _ in range(count):
        yield document(rng)
