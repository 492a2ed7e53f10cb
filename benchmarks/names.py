"""Do name lists make a tripwire worth having? And do the languages' patterns stay quiet: `python benchmarks/names.py [--quick]`.

Generated support records, half of which name nobody and are full of words that are also names (May, Will, Mark, Austin,
Lane, brands called after people), half of which name one person. The people come in four kinds: names from the lists
themselves (flattering), common names of other cultures, invented names, and first names alone. Counted per tier: false
findings on 1,000 records about nobody, and people found.

Then the shipped European policy on generated records about nobody with order numbers, prices, dates and part numbers in
four languages: findings that would redact or stop a record, per 1,000, by type.
"""

from __future__ import annotations

import random
import sys
import time
from collections import Counter
from collections.abc import Callable

from measuring import write_result

from lineage.gazetteer import Gazetteer
from lineage.languages import Scanners
from lineage.policy import Policy, load_policy
from lineage.tiers import GazetteerRule

BAR = 5.0  # false findings per 1,000 records about nobody, above which a tripwire would bury its reviewers

NOBODY = (
    "Will the {product} be here by May? I paid {price} for order {order}.",
    "Mark the box with {part} and send it back before {weekday}.",
    "The Dyson {product} and the Morgan {product} make the same noise.",
    "Our shop in Austin is closed; ask the one in Charlotte or on Madison Avenue.",
    "Grant access to the Jordan Lake hub, then restart the {product}.",
    "Frank discussion: the Henry Hoover and the Kenwood Chef need a new {part}.",
    "Does the Ray Ban case fit? The Jack Wolfskin one does not. Order {order}.",
    "In April the Rose Gold model cost {price}; in June the Amber Hill edition was cheaper.",
    "Bill of {price} for the Tiffany Blue {product}, Hope Street store, {weekday}.",
    "The Taylor Swift ticket and the Harry Potter box set were in the parcel {order}.",
    "Dear Customer Care, the Ford Focus charger and the Mercedes Benz adapter do not fit.",
    "St. James Park, Victoria Station, Florence Nightingale Ward: deliver to any of these.",
    "Please reset {product} {part}. Thank You. Kind Regards. Best Wishes.",
    "The {weekday} driver left the {product} at Stanley Road; reference {order}.",
    "My Ralph Lauren lamp flickers, and so does the Paul Smith one since {weekday}.",
    "Error E-{order}: Drew Power below limit. Chase Bank refused {price}.",
    "The new {product} has no {part}. Where is it?",
    "I was told to wait until {weekday}, and the {product} still makes a noise.",
    "Is the {part} part of the premium plan? It says so on the page.",
    "You charged {price} twice for order {order}. Please send it back.",
)
SOMEBODY = (
    "Please call {name} about the {product} on {weekday}.",
    "My name is {name} and the {part} is broken.",
    "I spoke with {name}, who promised {price} back for order {order}.",
    "{name} will be at home on {weekday}.",
    "The parcel for {name} has not come.",
)
OTHERS = [
    "Oluwaseun Adeyemi",
    "Nguyen Thi Lan",
    "Priya Raghunathan",
    "Mehmet Yıldırım",
    "Siobhán Ní Dhuibhne",
    "Wojciech Szczepański",
    "Fatima Benali",
    "Dmitri Volkov",
    "Chinonso Okafor",
    "Yuki Tanaka",
    "Ahmed Hassan",
    "Ingrid Bjørnstad",
    "João Figueiredo",
    "Zsófia Horváth",
    "Lerato Mokoena",
]
INVENTED = [
    "Maelis Quillfeather",
    "Torvin Ashcombe",
    "Brisela Cresswold",
    "Dessana Eversley",
    "Gessika Hollindale",
    "Jorvan Larkspurn",
    "Kessia Mossgrave",
    "Merovee Penhallow",
    "Ulveda Thistlewood",
    "Xandria Wetherfold",
    "Zelmira Foxcombe",
    "Peverell Hartsease",
]
WORDS = {
    "product": ["kettle", "lamp", "router", "heater", "printer", "vacuum", "speaker", "toaster", "camera"],
    "part": ["filter", "cable", "lid", "handle", "battery", "adapter", "display", "switch"],
    "weekday": ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"],
}
CLEAN = {
    "en": (
        "Order {order} of {date}, part {part_no}, cost £{amount} at {time}.",
        "Item {long} was sent, reference {ref}.",
    ),
    "de": (
        "Bestellung {order} vom {date}, Teil {part_no}, kostete {amount} € um {time} Uhr.",
        "Die Sendung {long} ist unterwegs, Vorgang {ref}.",
        "Laut Rechnung {order} fehlen {amount} Euro. Artikel {part_no} in Größe 42.",
        "Seriennummer {ref}, Zählerstand {order}, Kundennummer {long}.",
    ),
    "fr": (
        "Commande {order} du {date}, pièce {part_no}, {amount} € à {time}.",
        "Le colis {long} est parti, dossier {ref}.",
        "La facture {order} indique {amount} euros. Article {part_no}, taille 42.",
    ),
    "es": (
        "Pedido {order} del {date}, pieza {part_no}, costó {amount} € a las {time}.",
        "El paquete {long} ya salió, referencia {ref}.",
        "La factura {order} dice {amount} euros. Artículo {part_no}, talla 42.",
    ),
}


def filled(template: str, rng: random.Random, **more: str) -> str:
    """A template with words and numbers drawn."""
    numbers = {
        "order": str(rng.randrange(10_000, 10**rng.choice((5, 6, 7, 8, 9, 10, 11)))), "price": f"£{rng.randrange(9, 900)}.99",
        "date": f"{rng.randrange(1, 29):02}.{rng.randrange(1, 13):02}.{rng.randrange(2023, 2027)}",
        "amount": f"{rng.randrange(9, 2000)},{rng.randrange(100):02}", "time": f"{rng.randrange(24):02}:{rng.randrange(60):02}",
        "part_no": f"{rng.choice('ABCKXT')}{rng.choice('LXZQ')}-{rng.randrange(100, 9999)}",
        "long": str(rng.randrange(10**11, 10**12)),
        "ref": "".join(rng.choice("ABCDEFGHJKLMNPRTVWXYZ0123456789") for _ in range(rng.choice((8, 9, 10)))),
    }  # fmt: skip
    return template.format(**numbers, **{kind: rng.choice(words) for kind, words in WORDS.items()}, **more)


def people(gazetteer: Gazetteer) -> dict[str, Callable[[random.Random], str]]:
    """How to draw a person of each kind."""
    first, last = sorted(gazetteer.first), sorted(gazetteer.last)
    return {
        "from the lists": lambda rng: f"{rng.choice(first)} {rng.choice(last)}",
        "other cultures": lambda rng: rng.choice(OTHERS),
        "invented": lambda rng: rng.choice(INVENTED),
        "first name alone": lambda rng: rng.choice(first),
    }


def tripwire(policy: Policy, records: int) -> dict[str, dict[str, float]]:
    """Figures of the name lists, pairs only and with single names."""
    table = {}
    for mode, rule in {
        "pairs": GazetteerRule(enabled=True),
        "pairs and single": GazetteerRule(enabled=True, single=True),
    }.items():
        gazetteer, rng = Gazetteer.of(policy.model_copy(update={"gazetteer": rule})), random.Random(21)
        hits = [list(gazetteer.names(filled(rng.choice(NOBODY), rng))) for _ in range(records)]
        plain = [any(gazetteer.names(filled(rng.choice(NOBODY[-4:] + CLEAN["en"]), rng))) for _ in range(records)]
        false, stopped = sum(map(len, hits)), sum(map(bool, hits))
        figures = {"false findings per 1,000": 1000 * false / records, "stopped per 1,000": 1000 * stopped / records}
        figures["stopped per 1,000 without such words"] = 1000 * sum(plain) / records
        true = 0
        for kind, draw in people(gazetteer).items():
            texts = [filled(rng.choice(SOMEBODY), rng, name=draw(rng)) for _ in range(records)]
            found = sum(any(True for _ in gazetteer.names(text)) for text in texts)
            figures[f"found, {kind}"] = found / records
            true += found
        figures["precision, one record in five about each kind and about nobody"] = true / (true + stopped)
        table[mode] = {name: round(value, 3) for name, value in figures.items()}
    return table


def quiet(policy: Policy, records: int) -> dict[str, dict[str, float]]:
    """Per language, findings on records about nobody that would change or stop them, by type, per 1,000 records."""
    scanners, table = Scanners(policy), {}
    for language, scanner in scanners.by_language.items():
        rng, counts, started = random.Random(5), Counter[str](), time.perf_counter()
        for _ in range(records):
            for span in scanner.scan(filled(rng.choice(CLEAN[language]), rng)):
                rule = policy.entities.get(span.entity_type)
                if rule is None or (rule.action if span.score >= rule.min_score else rule.weak_action) != "allow":
                    counts[span.entity_type] += 1
        pace = records / (time.perf_counter() - started)
        table[language] = {
            **{kind: round(1000 * n / records, 1) for kind, n in counts.most_common()},
            "records/s": round(pace),
        }
    return table


def main() -> None:
    """Print both tables and keep them."""
    records = 200 if "--quick" in sys.argv else 2000
    policy = load_policy("european")
    names, languages = tripwire(policy, records), quiet(policy, records)
    for title, table in (("name lists", names), ("languages, records about nobody", languages)):
        print(title)
        for row, figures in table.items():
            print(f"  {row}: {figures}")
    worst = names["pairs"]["stopped per 1,000"]
    print(f"bar for the name lists: {BAR} stopped per 1,000 records about nobody; pairs stop {worst}")
    if "--quick" not in sys.argv:
        write_result("names", {"name_lists": names, "languages": languages})


if __name__ == "__main__":
    main()
