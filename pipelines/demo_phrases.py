"""The words of the demo corpus: invented names, reserved phone ranges, support phrases. Data only; `demo_corpus` draws.

A phrase names its blanks in braces. `{name} {email} {phone} {account}` are the customer's own identifiers, the same with
`other_` in front are a third person's; everything else is a word about the product or the order.
"""

from __future__ import annotations

__all__ = [
    "ANSWERED_CLOSINGS",
    "ARTICLE_9",
    "BRANDS",
    "CARD",
    "CONFIRMED_PHONE",
    "FAQ",
    "FIRST_ANSWERS",
    "FIRST_NAMES",
    "GREETINGS",
    "INTRODUCTIONS",
    "LAST_NAMES",
    "MAIL_HOSTS",
    "MONTHS",
    "NOTE_REQUESTS",
    "PARTS",
    "PHONE_RANGES",
    "PLANS",
    "PRODUCTS",
    "PROMISES",
    "SUMMARIES",
    "THIRD_PARTY",
    "TOPICS",
    "WEEKDAYS",
]


def _list(words: str) -> tuple[str, ...]:
    return tuple(words.split())


FIRST_NAMES = _list(
    "Maelis Torvin Anwick Brisela Caldor Dessana Ervane Filomar Gessika Halvard Iselin Jorvan Kessia Lorimer "
    "Merovee Nadira Osmund Pelline Quillan Rosmira Severan Tamsel Ulveda Verrick Wendeline Xandria Yorath Zelmira "
    "Arlott Bettine Corwin Dunstan Elspeth Ferrand Gwenlyn Hesper Idonea Jessamy Kendrith Leofric Mirabel Nerissa "
    "Orlanth Peverell"
)
LAST_NAMES = _list(
    "Quillfeather Ashcombe Brackenridge Cresswold Dunmarrow Eversley Fennimore Garrowby Hollindale Inchbarrow "
    "Jarrowfell Kettlewick Larkspurn Mossgrave Netherby Oxborrow Penhallow Quarrington Rookwell Sallowmere "
    "Thistlewood Underholt Varnleigh Wetherfold Yarrowdene Zellbrook Applegarth Birchanger Coldharbour Drakelow "
    "Elderfield Foxcombe Greystoke Hartsease Ivelbury Junivall Knapwell Lowmarsh Merrivale Northwold Oakhanger "
    "Pinkerdale Ravensholt Stonehurst"
)
MAIL_HOSTS = ("example.org", "example.com", "example.net")

# Ofcom, "Telephone numbers for use in TV and radio drama programmes": never given to a subscriber. Three free
# digits. Listed are the ranges that libphonenumber holds to be valid.
PHONE_RANGES = (
    "+44 20 7946 0",
    "+44 113 496 0",
    "+44 114 496 0",
    "+44 116 496 0",
    "+44 117 496 0",
    "+44 121 496 0",
    "+44 131 496 0",
    "+44 141 496 0",
    "+44 151 496 0",
    "+44 161 496 0",
    "+44 191 498 0",
)

BRANDS = _list("Corvex Lumora Tessel Brindel Halvar Quorin Vesper Oakline Nimbel Pellor")
PRODUCTS = _list(
    "kettle lamp router heater printer vacuum speaker toaster camera monitor thermostat freezer oven scanner"
)
PARTS = _list("filter cable lid handle battery adapter display switch door fuse")
MONTHS = _list("January February March April June July August September October November")
WEEKDAYS = _list("Monday Tuesday Wednesday Thursday Friday Saturday")
PLANS = _list("basic family business premium")

INTRODUCTIONS = (
    "Hello, my name is {name}. {opening}",
    "Good morning, this is {name}. {opening}",
    "Hi, {name} here. {opening}",
    "{opening} My name is {name}.",
)
FIRST_ANSWERS = (
    "Welcome back, {name}. Your account number is {account} and the phone on file is {phone}. {answer}",
    "Hello {name}, I have your file open. Your account number is {account} and the phone on file is {phone}. {answer}",
    "Good morning, {name}. On my screen your account number is {account}, and the phone on file is {phone}. {answer}",
    "Thank you for your message, {name}. I see account number {account} with the phone number {phone}. {answer}",
    "Welcome back, {name}. The phone on file is {phone} and your account number is {account}. {answer}",
)
GREETINGS = (
    "Welcome back. {answer}",
    "Hello, thank you for your message. {answer}",
    "Good morning. {answer}",
    "Thank you for your message. {answer}",
)

# opening, first answer, follow-up, second answer: each with two ways to say it
TOPICS = (
    (
        ("My {brand} {product} makes a loud noise since {weekday}.", "The {product} from {brand} is very loud."),
        ("A loose {part} often makes that noise.", "Please check whether the {part} sits in its place."),
        ("The {part} is in its place and it is still loud.", "I cannot open the {part} without a tool."),
        (
            "Then I will order a new {part}, reference {order}.",
            "I will send a driver on {day} {month}, reference {order}.",
        ),
    ),
    (
        ("My order {order} came without the {part}.", "There is no {part} in the parcel of my {product}."),
        (
            "I am sorry, the {part} of the {brand} {product} was sent on its own.",
            "The {part} follows in a second parcel.",
        ),
        ("When will the second parcel be here?", "Do I have to be at home for it?"),
        ("The second parcel arrives on {day} {month}.", "No, the driver can leave it at the door on {weekday}."),
    ),
    (
        ("I was charged twice for the {product}.", "Invoice {order} was taken from my account two times."),
        (
            "You are right, invoice {order} was booked twice on {day} {month}.",
            "I can see the second payment of {amount} euros.",
        ),
        ("How long does the refund take?", "Please send the {amount} euros back."),
        (
            "The refund of {amount} euros takes {n} working days.",
            "The money is on its way and arrives before {weekday}.",
        ),
    ),
    (
        ("I want to move to the {plan} plan.", "Can I change my plan to {plan}?"),
        ("The {plan} plan costs {amount} euros a month.", "You can start the {plan} plan on {day} {month}."),
        ("Good, please start it in {month}.", "Is the {product} included in the price?"),
        ("Done, the change has the reference {order}.", "Yes, one {brand} {product} is included."),
    ),
    (
        ("We are moving house on {day} {month}.", "My address changes in {month}."),
        ("I can send the {product} to the new address.", "Then the delivery of {weekday} goes to the new address."),
        ("Please wait until {weekday} with the delivery.", "Will the {plan} plan work there too?"),
        ("The delivery waits until {day} {month}.", "Yes, the {plan} plan works at every address."),
    ),
    (
        ("I forgot the password of my {brand} {product}.", "The {product} does not take my password."),
        ("Press the {part} for {n} seconds and choose a new one.", "I have sent a code that is good for {n} minutes."),
        ("The code did not arrive yet.", "Now it asks for a reference."),
        ("Please try the code {order}.", "The reference is {order}."),
    ),
    (
        ("How long is the warranty of my {product}?", "Is my {brand} {product} still under warranty?"),
        ("The warranty of the {product} ends on {day} {month}.", "Your warranty is good for {n} more months."),
        ("Does it include the {part}?", "Can I make the warranty longer?"),
        ("Yes, the {part} is included.", "Yes, for {amount} euros, reference {order}."),
    ),
    (
        ("Please cancel my order of the {product}.", "I ordered the wrong {product}, number {order}."),
        ("Order {order} can be cancelled until {weekday}.", "I can change it to another {product} from {brand}."),
        ("Then please cancel it.", "What does the other one cost?"),
        ("Order {order} is cancelled.", "It costs {amount} euros with delivery on {day} {month}."),
    ),
)
ANSWERED_CLOSINGS = (
    ("Thank you, that is all.", "You are welcome. Have a good day."),
    ("Great, that helps me.", "I am glad to hear that. Goodbye."),
    ("Can you confirm that in writing?", "Yes, the confirmation is on its way."),
)
PROMISES = ("I will send the confirmation to {email}.", "You get a copy at {email}.")
CONFIRMED_PHONE = ("Is {phone} still the right number?", "Yes, {phone} is right.")

# What a customer says about somebody else, and what the agent makes of it.
THIRD_PARTY = (
    ("Please also tell {other_name}, we share the {product}.", "I have noted {other_name} as a second contact."),
    ("On that day you can reach {other_name} at {other_phone}.", "The driver will call {other_phone}."),
    ("Please send a copy to {other_email} as well.", "A copy goes to {other_email}."),
    ("My neighbour {other_name} will take the parcel.", "Then {other_name} can sign for the parcel."),
    ("It should go on the account of {other_name}, {other_account}.", "I have moved it to account {other_account}."),
)
NOTE_REQUESTS = ("Please write a short note about the last contact of {name}.", "Summarise the last contact of {name}.")
SUMMARIES = (
    "Note on {name}: the account number is {account} and the phone on file is {phone}. Asked about the {product}, reference {order}.",
    "Contact of {name}, account number {account}, phone {phone}. The matter of the {product} was solved on {day} {month}.",
)
CARD = ("You can take it from my card 4111 1111 1111 1111.", "I have noted the payment for order {order}.")
ARTICLE_9 = (
    "I have diabetes and my insulin must stay cold, and at Ramadan I cook only at night.",
    "I understand, order {order} gets the first place in the list.",
)

FAQ = (
    (
        "How do I clean the {part} of the {brand} {product}?",
        "Switch off the {product}, wait {n} minutes and clean the {part} with warm water.",
    ),
    (
        "What does the {plan} plan include?",
        "The {plan} plan includes one {product}, a new {part} every year and costs {amount} euros a month.",
    ),
    ("Which {part} fits the {brand} {product}?", "Article {order} fits every {brand} {product} made after {month}."),
    ("How long does delivery take?", "A {product} is delivered within {n} working days, a {part} on {weekday}."),
    (
        "Tell me about the {brand} {product}.",
        "The {brand} {product} is quiet, weighs {n} kilograms and has a {part} that can be replaced.",
    ),
    (
        "How do I return a {product}?",
        "Print the label, put the {product} in its box and bring it to a store before {weekday}.",
    ),
)
