"""Texts to compare scanners on: ordinary support transcripts, clean ones, and texts made to break shortcuts. All invented.

Everything is drawn from one `random.Random`, so a seed names its texts. Identifiers are generated or documentation values.
"""

from __future__ import annotations

import random
from collections.abc import Callable

from lineage.canaries import CANARIES

__all__ = ["adversarial", "clean", "mixed", "ordinary"]

WORDS = (
    "please check my order it has not arrived and the courier said that nobody was at home when they called yesterday "
    "could you send a replacement to the same address thank you very much for your help with this matter we are sorry to "
    "hear about the delay our team will look into what went wrong screen shows an error after update battery lasts two "
    "hours colour faded washing machine invoice arrived twice box damaged again waited three weeks"
).split()
CONTEXT = (
    "phone call mobile telephone cell date birthday card credit visa iban bank transaction ip ipv4 mac ethernet email url "
    "website link wallet bitcoin ssn social security uuid guid passport license driver nhs itin tax account check medical "
    "PHONE Call:mobile duplicate-licence cardholder the:1 1:your the:card:be be Be BE DEA website: date: (card) e-mail's"
).split()
TLDS = "com org co.uk de fr io museum sm xyz academy invalid c onl рф xn--p1ai COM photography".split()
SPACES = " \t\n\r\x0b\x0c\x1c\x1f\x85\xa0\u2003\u2028\u3000\u200b\u2060\ufeff"
MARKS = "\u200e\u200f\u202e\u200d\u00ad\u0301\U0001f600\U0001f44d\u20ac\xa3%$\x00\u0130\u0131\u017f\u212a\xdf\u03a3"
GLUE = "-./:_,;()[]<>\"'`#*+=@|~\\&%!?"
DIGITS = (
    "0123456789",
    "\u0660\u0661\u0662\u0663\u0664\u0665\u0666\u0667\u0668\u0669",
    "\uff10\uff11\uff12\uff13\uff14\uff15\uff16\uff17\uff18\uff19",
)
EMOTICONS = (
    ":)",
    ":-)",
    ":D",
    "8)",
    "8-)",
    ":(",
    ":-/",
    "xD",
    "(:",
    ":'(",
    "O.o",
    "a.m.",
    "10a.m.",
    "Mr.",
    "e.g.",
    "'s",
    "<3",
)


def _digits(rng: random.Random, count: int) -> str:
    return "".join(rng.choices("0123456789", k=count))


def _shaped(rng: random.Random, shape: str) -> str:
    """`9` a digit, `h` a hexadecimal digit, `A` a capital; the rest as it stands."""
    kinds = {"9": "0123456789", "h": "0123456789abcdefABCDEF", "A": "ABCDEFGHIJKLMNOPQRSTUVWXYZ"}
    return "".join(rng.choice(kinds[c]) if c in kinds else c for c in shape)


def luhn(prefix: str) -> str:
    """The digits with the check digit that makes them a possible card number."""
    doubled = [int(d) * (2 if i % 2 == 0 else 1) for i, d in enumerate(reversed(prefix))]
    return prefix + str(-sum(d - 9 if d > 9 else d for d in doubled) % 10)


def _card(rng: random.Random) -> str:
    number = luhn(rng.choice(("4", "51", "37", "6011", "35", "1800")) + _digits(rng, 14))[
        : rng.choice((13, 14, 15, 16, 16, 16, 19))
    ]
    number = luhn(number[:-1]) if rng.random() < 0.8 else number
    separator = rng.choice(("", " ", "-", ".", "  "))
    return separator.join(number[i : i + 4] for i in range(0, len(number), 4))


def _iban(rng: random.Random) -> str:
    country, length = rng.choice(
        (("DE", 18), ("GB", 18), ("FR", 23), ("NL", 14), ("BE", 12), ("MT", 27), ("XX", 16), ("de", 18))
    )
    account = (_shaped(rng, "AAAA") if country in ("GB", "NL", "MT") else "") + _digits(rng, 30)
    account = account[:length]
    numeric = "".join(str(int(c, 36)) for c in account + country + "00")
    check = f"{98 - int(numeric) % 97:02}" if rng.random() < 0.7 else _digits(rng, 2)
    text = country + check + account
    separator = rng.choice(("", "", " ", "-"))
    return separator.join(text[i : i + 4] for i in range(0, len(text), 4)) + rng.choice(("", "", " 2 days", " AB", "X"))


def _phone(rng: random.Random) -> str:
    return _shaped(
        rng,
        rng.choice(
            (
                "+44 20 7946 0999",
                "020 7946 0999",
                "07700 900999",
                "+1 (212) 555-0199",
                "(415) 555-2671",
                "1-800-555-0199",
                "212.555.0199",
                "+49 30 901820999",
                "030/901820",
                "+33 1 99 00 99 99",
                "01 99 00 99 99",
                "+91 98765 43999",
                "+972 3-999-9999",
                "0011 44 20 7946 0999",
                "00 44 20 7946 0999",
                "+44 (0)20 7946 0999 ext. 99",
                "212 555 0199 x999",
                "(212) 555-0199 (415) 555-2671",
                "651-234-2345/332-445-1234",
                "99999 - 332-445-1234",
                "999 9999",
                "+1 212 555 0199;ext=99",
                "+290 9999",
                "+1-242-365-1234",
                "3324451234 8002341234",
                "2024-01-02 08:99",
                "211-227 (2003)",
                "[212] 555 0199",
                "+39 02 9999 9999",
                "+5511999999999",
                "0 99 99 99",
                "+44\xa020\xa07946\xa00999",
                "9 9 9 9 9 9 9 9 9 9",
            )
        ),
    )


def _date(rng: random.Random) -> str:
    day, month, year = rng.randint(0, 32), rng.randint(0, 13), rng.choice((rng.randint(1900, 2030), rng.randint(0, 99)))
    name = rng.choice(("Jan", "FEB", "sep", "\u017fep", "Dec"))
    return rng.choice(
        (
            f"{day}/{month}/{year}",
            f"{day:02}/{month:02}/{year}",
            f"{year}/{month}/{day}",
            f"{day}-{month}-{year}",
            f"{year}-{month:02}-{day:02}",
            f"{day}.{month}.{year}",
            f"{day}-{name}-{year}",
            f"{name}-{year}",
            f"{day}-{name}",
            f"{month}/{year}",
            f"{year}-{month:02}-{day:02}T12:34:56.789Z",
            f"{year}-{month:02}-{day:02}T12:34+01:00",
            f"{year}-{month:02}-{day:02} 08:30",
        )
    )


def _mail(rng: random.Random) -> str:
    local = rng.choice(("ann.example", "o'neil", "a", "x_y+z", "\u00fcber", "a..b", "-dash-", "first.last", "1.2"))
    return f"{local}@{rng.choice(('example', 'mail-host', 'sub.example', 'xn--80ak6aa92e', 'a--b', 'ex_ample'))}.{rng.choice(TLDS)}"


def _url(rng: random.Random) -> str:
    host = rng.choice(
        ("example", "www.example", "www1.shop", "a.b.c", "under_score", "192.0.2.1", "example-", "\u212aelvin")
    )
    tail = rng.choice(("", "/", "/path?q=1&x=(y)", "/a<b", ":8080/x", "/\u00fc", "/a,b."))
    url = rng.choice(("", "http://", "https://", "HTTPS://", "ftp://")) + f"{host}.{rng.choice(TLDS)}{tail}"
    return rng.choice((url, url, f'"{url}"', f"'{url}'", f"({url})", f"<{url}>"))


def _address(rng: random.Random) -> str:
    v4 = ".".join(str(rng.choice((0, 1, 12, 192, 255, 256, 99))) for _ in range(rng.choice((3, 4, 4, 4, 5))))
    shapes = (
        "2001:db8::hhhh",
        "::1",
        "::",
        "h::",
        "::ffff:" + v4,
        "hhhh:hhhh:hhhh:hhhh:hhhh:hhhh:hhhh:hhhh",
        "64:ff9b::" + v4,
        "1:2:3:4:5:6:" + v4,
        "fe80::hh%eth0/64",
        "1::2.",
        "1::2.5",
        "::/0",
        "h:h::h:h:",
        "hh:hh:hh:hh:hh:hh",
        "hh-hh-hh-hh-hh-hh",
        "hhhh.hhhh.hhhh",
        "aa:bb-cc:dd:ee:ff",
        "ff:ff:ff:ff:ff:ff",
        v4,
        v4 + "/24",
        v4 + "/33",
        "14:30",
        "12:34:56",
    )
    return _shaped(rng, rng.choice(shapes))


def _identifier(rng: random.Random) -> str:
    return _shaped(rng, rng.choice((
        "999-99-9999", "99999-9999", "999-999999", "999999999", "999 99 9999", "999.99.9999", "999-99.9999", "9ff-70-9999", "911-70-1234", "911701234",
        "911 701234", "401-023-2137", "401 023 2137", "9999999999", "999999999999", "A99999999", "H12234567", "AA999999A", "99AAA99999", "A9A9A", "A-Z]]99",
        "BB1388568", "A91388568", "AB9999999", "hhhhhhhh-hhhh-4hhh-9hhh-hhhhhhhhhhhh", "00000000-0000-0000-0000-000000000000",
        "hhhhhhhh-hhhh-0hhh-hhhh-hhhhhhhhhhhh", "16Yeky6GMjeNkAiNcBY7ZhrLoMSgg1BoyZ", "bc1qar0srrr7xfkvy5l643lydnw9re59gtzzwf5mdq", "3hhhhhhhhhhhhhhhhhhhhhhhhhhhhhhh",
        "AC-9999-9999", "KX-999", "#99999", "\xa3999.99", "$9,999.99", "99%", "99999", "9999999", "20999999",
    )))  # fmt: skip


_MAKERS: tuple[Callable[[random.Random], str], ...] = (_card, _iban, _phone, _date, _mail, _url, _address, _identifier)


def _canary(rng: random.Random) -> str:
    return rng.choice(list(CANARIES.values()))


def clean(rng: random.Random, length: int = 1000) -> str:
    """Prose with order numbers, prices and times, in which a scanner of shapes finds nothing."""
    words: list[str] = []
    size = 0
    while size < length:
        word = rng.choice(WORDS)
        roll = rng.random()
        if roll < 0.015:
            word = rng.choice(
                (
                    f"order {_digits(rng, 5)}",
                    f"\xa3{_digits(rng, 2)}.{_digits(rng, 2)}",
                    f"KX-{_digits(rng, 3)}",
                    "at 14:30",
                    "10km",
                )
            )
        elif roll < 0.1:
            word += rng.choice((".", ",", "?", ".\n", "!", "'s"))
        words.append(word)
        size += len(word) + 1
    return " ".join(words)[:length]


def ordinary(rng: random.Random, length: int = 1000) -> str:
    """A support transcript: prose with about one identifier, date or address in fifty words, often with its context word."""
    parts: list[str] = []
    size = 0
    while size < length:
        part = clean(rng, rng.randint(60, 400))
        if rng.random() < 0.5:
            part += f" {rng.choice(CONTEXT[:24])}"
        part += (
            f" {rng.choice(_MAKERS)(rng) if rng.random() < 0.9 else _canary(rng)}{rng.choice(('', '.', ',', chr(10)))}"
        )
        parts.append(part)
        size += len(part) + 1
    return " ".join(parts)[:length]


def _glued(rng: random.Random) -> str:
    return "".join(
        rng.choice(_MAKERS)(rng) + rng.choice((*GLUE, *MARKS, "", "", "a", "1")) for _ in range(rng.randint(2, 8))
    )


def _soup(rng: random.Random) -> str:
    digits = rng.choice((*DIGITS, DIGITS[0], "".join(DIGITS)))
    return "".join(
        rng.choice(digits) if rng.random() < 0.7 else rng.choice(" -./()+:x, ") for _ in range(rng.randint(20, 300))
    )


def _noise(rng: random.Random) -> str:
    alphabet = GLUE + SPACES + MARKS + "abcdefhXYZ0123456789" * 2
    return "".join(rng.choice(alphabet) for _ in range(rng.randint(5, 250)))


def _context(rng: random.Random) -> str:
    parts: list[str] = []
    for _ in range(rng.randint(1, 6)):
        parts.append(rng.choice(CONTEXT))
        parts += rng.choices((*WORDS, "the", "a", "of", "...", "-", "the:x", "be", *EMOTICONS), k=rng.randint(0, 14))
        parts.append(rng.choice(_MAKERS)(rng))
    return "".join(part + rng.choice((" ", " ", " ", "  ", "\n", "\t", "\xa0", " \n ")) for part in parts)


def _emoticons(rng: random.Random) -> str:
    pieces = (*EMOTICONS, *CONTEXT[:10], ":", ")", "(", "-", ".", "'", "s", "8", "D", "x", "m", "a", "3")
    words = ["".join(rng.choices(pieces, k=rng.randint(1, 3))) for _ in range(rng.randint(4, 25))]
    words.insert(rng.randint(0, len(words)), rng.choice(_MAKERS)(rng))
    return " ".join([*words, rng.choice(_MAKERS)(rng)])


def _mutated(rng: random.Random) -> str:
    text = list(ordinary(rng, rng.randint(40, 400)))
    for _ in range(rng.randint(1, 12)):
        at = rng.randrange(len(text))
        match rng.randrange(4):
            case 0:
                text[at] = rng.choice(MARKS + SPACES + GLUE)
            case 1:
                text.insert(at, rng.choice(MARKS + SPACES + GLUE))
            case 2:
                text[at] = text[at].swapcase()
            case _:
                text[at] = chr(0xFEE0 + ord(text[at])) if "!" <= text[at] <= "~" else ""
    return "".join(text)


def _long_tokens(rng: random.Random) -> str:
    unit = rng.choice(("a", "ab.", "1", "1-", "a@", "x.com", ":", "1:", "\u0661", "-", "a1", "AB12", "4111"))
    return unit * rng.randint(20, 120) + rng.choice(("", " ", "\n")) + rng.choice(_MAKERS)(rng)


def _broken(rng: random.Random) -> str:
    return rng.choice(
        ("", " ", "\n", "\ud800", "ip 192.0.2.17 \udc00", "\ufeff", "\x00", "a", "1", "::", "@", "  ::  ")
    )


_FAMILIES = (_glued, _soup, _noise, _context, _context, _emoticons, _mutated, _mutated, _long_tokens)


def adversarial(rng: random.Random) -> str:
    """A short text meant to make a shortcut differ: odd digits, marks, spaces, glue, near and far context, emoticons."""
    if rng.random() < 0.01:
        return _broken(rng)
    text = rng.choice(_FAMILIES)(rng)
    if rng.random() < 0.15:
        text = rng.choice(
            (
                text.upper(),
                text.lower(),
                text.replace(" ", ""),
                text.translate({48 + i: d for i, d in enumerate(DIGITS[1])}),
            )
        )
    return text


def mixed(rng: random.Random) -> str:
    """One record of the comparison: half of them adversarial."""
    if rng.random() < 0.5:
        return adversarial(rng)
    return ordinary(rng, rng.randint(100, 1200)) if rng.random() < 0.9 else clean(rng, rng.randint(100, 1200))
