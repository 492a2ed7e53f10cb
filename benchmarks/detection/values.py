"""Identifiers in the formats of several countries, none of them anybody's, and the numbers of a shop that are no identifiers.

Phones come from ranges that regulators keep for fiction (NANP 555-01xx, Ofcom, Bundesnetzagentur, ARCEP, ACMA, PTS); Spain
and India keep none, so theirs are the example numbers of libphonenumber. Cards are the payment providers' published test
numbers, IBANs are valid for banks that do not exist, addresses of machines lie in the documentation ranges of RFC 5737,
3849 and 7042, wallets are drawn hashes and the vectors of BIP 173, BIP 350 and EIP-55.
"""

from __future__ import annotations

import hashlib
import random
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field

import phonenumbers
from phonenumbers import PhoneNumberFormat as Format

__all__ = ["LABELS", "Drawn", "account", "email", "name", "number_of_a_shop", "phone", "phone_number", "sensitive"]

LABELS = (
    "PERSON", "EMAIL_ADDRESS", "PHONE_NUMBER", "ACCOUNT", "ADDRESS", "CREDIT_CARD", "IBAN_CODE", "US_SSN", "IP_ADDRESS",
    "MAC_ADDRESS", "CRYPTO",
)  # fmt: skip


@dataclass(frozen=True)
class Drawn:
    """A value as it will be written, its label, and which way of writing it is."""

    label: str
    variant: str
    text: str = field(repr=False)


# Prefix in E.164, free digits behind it.
FICTION = {
    "US": (("+1212555", "01##"), ("+1415555", "01##"), ("+1312555", "01##")),
    "GB": (("+4420794", "60###"), ("+44113496", "0###"), ("+44121496", "0###"), ("+44141496", "0###")),
    "DE": (("+493023125", "###"), ("+498999998", "###"), ("+494066969", "###"), ("+496990009", "###")),
    "FR": (("+33199", "00####"), ("+33261", "91####"), ("+33465", "71####"), ("+33353", "01####")),
    "AU": (("+61255", "50####"), ("+6149157", "0006"), ("+6149157", "0156"), ("+6149157", "0737")),
    "SE": (("+46846500", "4##"), ("+4631390", "06##"), ("+467017406", "##")),
}
EXAMPLES = ("ES", "IN")
REGIONS = (*FICTION, *EXAMPLES)


def phone_number(rng: random.Random) -> tuple[str, str]:
    """(region, E.164)."""
    region = rng.choice(REGIONS)
    if region in FICTION:
        prefix, free = rng.choice(FICTION[region])
        return region, prefix + _digits(rng, free)
    kind = rng.choice([phonenumbers.PhoneNumberType.FIXED_LINE, phonenumbers.PhoneNumberType.MOBILE])
    example = phonenumbers.example_number_for_type(region, kind)
    return region, phonenumbers.format_number(example, Format.E164)


def phone(rng: random.Random, region: str, e164: str) -> Drawn:
    """A number as people write it: national or with its country, spaced, dashed, dotted, or in one piece."""
    number = phonenumbers.parse(e164)
    way = rng.choice(["national", "national", "international", "international", "one piece", "00 prefix"])
    match way:
        case "national":
            text = phonenumbers.format_number(number, Format.NATIONAL)
            return Drawn("PHONE_NUMBER", f"{region} national", _separated(rng, text))
        case "one piece":
            return Drawn("PHONE_NUMBER", f"{region} international", e164)
        case "00 prefix":
            text = "00" + phonenumbers.format_number(number, Format.INTERNATIONAL).lstrip("+")
            return Drawn("PHONE_NUMBER", f"{region} 00 prefix", text)
    text = phonenumbers.format_number(number, Format.INTERNATIONAL)
    return Drawn("PHONE_NUMBER", f"{region} international", _separated(rng, text))


def _separated(rng: random.Random, text: str) -> str:
    return rng.choice([text, text, text.replace(" ", "-"), text.replace(" ", "."), text.replace("-", " ")])


def name(rng: random.Random, first: str, last: str) -> Drawn:
    """Mostly the full name; sometimes a part of it, small, or the other way round."""
    way = rng.choices(["full", "title", "first name", "small", "reversed"], [70, 10, 10, 5, 5])[0]
    texts = {
        "full": f"{first} {last}", "title": f"{rng.choice(('Mr', 'Ms', 'Dr'))} {last}", "first name": first,
        "small": f"{first} {last}".lower(), "reversed": f"{last}, {first}",
    }  # fmt: skip
    return Drawn("PERSON", way, texts[way])


def email(rng: random.Random, address: str) -> Drawn:
    """As it is, in capitals, or spelt out to fool machines."""
    way = rng.choices(["plain", "capitals", "spelt out"], [88, 6, 6])[0]
    spelt = address.replace("@", " at ").replace(".", " dot ")
    return Drawn("EMAIL_ADDRESS", way, {"plain": address, "capitals": address.upper(), "spelt out": spelt}[way])


def account(rng: random.Random, number: str) -> Drawn:
    """With its dashes, with spaces, or in one piece."""
    way, by = rng.choices([("dashes", "-"), ("spaces", " "), ("one piece", "")], [80, 10, 10])[0]
    return Drawn("ACCOUNT", way, number.replace("-", by))


def sensitive(rng: random.Random, label: str) -> Drawn:
    """A value that is not a contact detail, by its label."""
    makers: dict[str, Callable[[random.Random], tuple[str, str]]] = {
        "CREDIT_CARD": _card, "IBAN_CODE": _iban, "US_SSN": _ssn, "IP_ADDRESS": _ip, "MAC_ADDRESS": _mac, "CRYPTO": _wallet,
        "ADDRESS": _address,
    }  # fmt: skip
    return Drawn(label, *makers[label](rng))


CARDS = {
    "Visa": ("4111111111111111", "4242424242424242", "4000056655665556", "4012888888881881"),
    "Mastercard": ("5555555555554444", "5105105105105100", "5200828282828210"),
    "Mastercard 2-series": ("2223003122003222", "2223000048400011"),
    "American Express": ("378282246310005", "371449635398431"),
    "Discover": ("6011111111111117", "6011000990139424"),
    "Diners": ("3056930009020004", "30569309025904"),
    "JCB": ("3566002020360505", "3530111333300000"),
}


def _card(rng: random.Random) -> tuple[str, str]:
    brand = rng.choice(list(CARDS))
    return brand, rng.choice([" ", " ", "-", ""]).join(_groups(rng.choice(CARDS[brand]), 4))


# Country, length of the part behind the check digits, its form: A letter, # digit, 0 the bank that does not exist.
BANKS = {
    "DE": "00000000##########", "GB": "ZZZZ000000########", "FR": "0000000000###########00", "ES": "0000000000##########",
    "NL": "ZZZZ##########", "IT": "Z0000000000############", "AT": "00000###########", "BE": "000#########",
    "CH": "00000############", "PL": "00000000################", "SE": "000#################", "IE": "ZZZZ000000########",
}  # fmt: skip


def _iban(rng: random.Random) -> tuple[str, str]:
    country = rng.choice(list(BANKS))
    body = _digits(rng, BANKS[country])
    check = 98 - int("".join(str(int(c, 36)) for c in f"{body}{country}00")) % 97
    return country, rng.choice([" ", " ", ""]).join(_groups(f"{country}{check:02d}{body}", 4))


def _ssn(rng: random.Random) -> tuple[str, str]:
    """Neighbours of the number that was printed on a million wallets and is no longer anybody's."""
    way, by = rng.choice([("dashes", "-"), ("dashes", "-"), ("spaces", " "), ("one piece", "")])
    return way, by.join(("078", "05", f"11{rng.randrange(21, 100)}"))


def _ip(rng: random.Random) -> tuple[str, str]:
    if rng.random() < 0.3:
        return "v6", f"2001:db8:{rng.randrange(1, 65535):x}::{rng.randrange(1, 65535):x}"
    return "v4", f"{rng.choice(('192.0.2', '198.51.100', '203.0.113'))}.{rng.randrange(1, 255)}"


def _mac(rng: random.Random) -> tuple[str, str]:
    last = f"{rng.randrange(256):02X}"
    return rng.choice([
        ("colons", f"00:00:5E:00:53:{last}"), ("dashes", f"00-00-5e-00-53-{last.lower()}"), ("dots", f"0000.5e00.53{last.lower()}"),
    ])  # fmt: skip


BECH32 = (
    "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4",
    "bc1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vqzk5jj0",
)
ETHER = ("0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed", "0xfB6916095ca1df60bB79Ce92cE3Ea74c37c5d359")
BASE58 = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"


def _wallet(rng: random.Random) -> tuple[str, str]:
    way = rng.choice(["Bitcoin base58", "Bitcoin bech32", "Ethereum"])
    return way, {"Bitcoin bech32": rng.choice(BECH32), "Ethereum": rng.choice(ETHER)}.get(way) or _base58(rng)


def _base58(rng: random.Random) -> str:
    body = b"\0" + rng.randbytes(20)
    whole = body + hashlib.sha256(hashlib.sha256(body).digest()).digest()[:4]
    number, text = int.from_bytes(whole, "big"), ""
    while number:
        number, rest = divmod(number, 58)
        text = BASE58[rest] + text
    return "1" + text


STREETS = (
    ("GB", "{n} Marrowbone Crescent, Leeds LS1 1ZZ"), ("GB", "Flat {m}, {n} Thimble Row, Norwich"),
    ("US", "{n} Larkspur Avenue, Apt {m}, Springfield, OH 00000"), ("US", "{n} Old Quarry Road, Dayton"),
    ("DE", "Erlenwegstraße {n}, 00000 Musterstadt"), ("FR", "{n} rue des Trois Fontaines, 00000 Villeneuve"),
    ("ES", "Calle de los Olmos {n}, {m}º B, 00000 Madrid"), ("IN", "{n}, 2nd Cross, Indira Layout, Bengaluru 000000"),
)  # fmt: skip


def _address(rng: random.Random) -> tuple[str, str]:
    country, form = rng.choice(STREETS)
    return country, form.format(n=rng.randrange(2, 220), m=rng.randrange(1, 30))


def number_of_a_shop(rng: random.Random) -> dict[str, str]:
    """One draw of everything that looks like an identifier and is none."""
    day, month, year = rng.randrange(1, 29), rng.randrange(1, 13), rng.randrange(2019, 2027)
    return {
        "order": rng.choice([_digits(rng, "#####"), _digits(rng, "##########"), _digits(rng, "###-#######-#######"), _digits(rng, "SO-2025-######")]),
        "part": _digits(rng, rng.choice(["KX-###", "HD-##-####", "A#### B##", "BRK#######"])),
        "price": _digits(rng, rng.choice(["£##.##", "$1,###.##", "€ ##,##", "##9.## EUR"])),
        "tracking": _digits(rng, rng.choice(["1Z999AA1#########4", "############", "JD0146000########", "9400 1000 0000 #### #### ##", "RM#########GB"])),
        "date": rng.choice([f"{day:02d}/{month:02d}/{year}", f"{year}-{month:02d}-{day:02d}", f"{day:02d}.{month:02d}.{year}", f"{month}/{day}/{year % 100:02d}"]),
        "time": f"{rng.randrange(24):02d}:{rng.randrange(60):02d}",
        "serial": _digits(rng, rng.choice(["SN########", "#########", "########-##", "C02#######Q6"])),
        "version": _digits(rng, rng.choice(["#.#.#", "1#.#.##", "v#.##.###"])),
        "ean": _digits(rng, rng.choice(["40########7##", "0 1####5 #####4 #"])),
        "invoice": _digits(rng, rng.choice(["INV-########", "2025/####", "RE ######"])),
        "ticket": _digits(rng, rng.choice(["#######", "T-#####", "CASE ########"])),
        "postcode": _digits(rng, rng.choice(["#####", "#####-####"])),
        "size": _digits(rng, rng.choice(["#0 x #0 x 1#0 cm", "1#00 W", "#,### mAh", "#0-#0 °C"])),
        "reference": str(uuid.UUID(int=rng.getrandbits(128), version=4)),
        "product": rng.choice(PRODUCTS),
    }  # fmt: skip


PRODUCTS = (
    "Galaxy Tab A9", "Aurora Kettle 1.7L", "Jasper lamp", "Iris robot vacuum", "Oscar bookshelf", "ThinkBook 14 G6", "Madison desk",
    "Nordwand rucksack", "Olympia drill 18V", "Sofia armchair", "Amber monitor 27\"", "Cooper wok", "Hudson bike lock",
)  # fmt: skip


def _digits(rng: random.Random, form: str) -> str:
    return "".join(str(rng.randrange(10)) if c == "#" else c for c in form)


def _groups(text: str, size: int) -> list[str]:
    return [text[i : i + size] for i in range(0, len(text), size)]
