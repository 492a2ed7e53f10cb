"""Near copies on templated text, found by a search and stopped at an ingest: `python benchmarks/near_copies.py [--quick]`.

Three kinds of text in which everybody's records look alike: the demo's short chats, form letters, and 1,000 characters of
small talk around a chat. A copy is a record of somebody in which 10% (or 20%) of the words were replaced, half of them by
usual words of the corpus and half by words that nobody uses, under another person's name; or the same with the person's
identifiers as constants, as the gate leaves them when the register knows the person.

Search: how many copies stand among the candidates of their person, and how many records of other people on the same
templates do. Ingest: half of the people are erased with near tombstones in a real database; what is stopped of the same
records, of changed ones, of other people's new records, and of what the erased themselves say next.
"""

from __future__ import annotations

import random
import re
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TypedDict

from gate_texts import SMALL_TALK
from measuring import beside_bar, write_result
from scipy.stats import binomtest

from lineage import tombstones
from lineage.admit import Decision
from lineage.catalog import GateStamp, Judged, store_judged
from lineage.identity import held_already, identify
from lineage.near_tombstones import NearGuard, lay_near, near_marks
from lineage.nearness import Near, Words, save_found
from lineage.policy import NearRule, load_policy
from lineage.records import Chat, Content, Message, PlainText, RawRecord
from lineage.tables import IngestRow
from lineage.workspace import Workspace, create_workspace, open_workspace
from pipelines.demo_rows import DemoRow, Mention, Person, Turn, row_without
from pipelines.demo_writer import Writer, draw_people

KEY, RULE = b"near copies, keyed for a benchmark", load_policy("default").near
NOW, DAY = datetime(2026, 1, 31, tzinfo=UTC), date(2026, 1, 31)
USUAL = 10  # people who use a word, for it to replace another one: else copies would spread names of third people
THRESHOLDS = (0.6, 0.65, 0.7)
EXACT, TENTH, OTHERS = "the same text, another id", "10% changed", "other people, same templates"
LETTERS = (
    "Dear customer service, my name is {name} and my customer number is {account}. On {day} I ordered a {product} from your "
    "shop in {city}, order {order}, and paid {amount} euros. The parcel arrived, but the {product} does not work: {talk} "
    "Please tell me at {email} whether you will repair it or pay the amount back. Yours sincerely, {name}",
    "Good morning, this is {name}. I moved to {city} last {day} and would like my contract {account} to move with me. The "
    "meter stood at {order} when I left, and I paid {amount} euros in advance. {talk} You can call me at {phone} or write to "
    "{email}. With kind regards, {name}",
    "Hello, I want to end my subscription {account} for the {product} at the end of the month. The last invoice {order} of "
    "{amount} euros was sent to my old address in {city}. {talk} Please confirm this in writing to {email} by {day}. {name}",
)
SLOTS = {
    "product": ("kettle", "lamp", "router", "heater", "printer", "vacuum", "speaker", "toaster", "camera", "mixer"),
    "city": ("Leeds", "Porto", "Ghent", "Turku", "Graz", "Lund", "Bonn", "Nantes", "Split", "Cork", "Brno", "Vigo"),
    "day": ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"),
}


@dataclass(frozen=True)
class Said:
    """A record of a person, by turns whose identifiers are marked."""

    person: str
    row: DemoRow

    @property
    def content(self) -> Content:
        """What is read: a plain text if there is one turn only."""
        turns = [Message(turn.role, turn.text()) for turn in self.row.turns]
        return Chat(tuple(turns)) if len(turns) > 1 else PlainText(turns[0].content)

    def masked(self) -> Said:
        """As the gate leaves it in a record of somebody else."""
        return replace(self, row=row_without(self.row, self.person))


class Author:
    """Writes records of one kind of text, about anybody."""

    def __init__(self, kind: str, rng: random.Random) -> None:
        self._writer, self._rng = Writer(rng), rng
        self.say: Callable[[Person], Said] = {"chats": self._chat, "letters": self._letter, "talk": self._talk}[kind]

    def _chat(self, person: Person) -> Said:
        return Said(person.customer_id, self._writer.conversation(person))

    def _letter(self, person: Person) -> Said:
        slots: dict[str, str | Mention] = {name: self._rng.choice(words) for name, words in SLOTS.items()}
        slots |= {"order": str(self._rng.randrange(10_000, 100_000)), "amount": str(self._rng.randrange(20, 400))}
        slots |= {"talk": self._rng.choice(SMALL_TALK)}
        slots |= {kind: Mention(person.customer_id, kind, person.value(kind)) for kind in ("name", "email", "phone", "account")}  # fmt: skip
        parts = re.split(r"\{(\w+)\}", self._rng.choice(LETTERS))
        turn = Turn("user", tuple(slots[part] if at % 2 else part for at, part in enumerate(parts)))
        return Said(person.customer_id, DemoRow(f"r{self._rng.getrandbits(48):012x}", (turn,), (person.customer_id,)))

    def _talk(self, person: Person) -> Said:
        chat = self._writer.conversation(person)
        before, after = (Turn("user", (" ".join(self._rng.choices(SMALL_TALK, k=8)),)) for _ in range(2))
        return Said(person.customer_id, replace(chat, turns=(before, *chat.turns, after)))


def changed(content: Content, share: float, vocabulary: Sequence[str], rng: random.Random) -> Content:
    """The content with this share of its words replaced, at least one."""
    segments = [segment.split(" ") for segment in content.segments()]
    places = [(i, j) for i, words in enumerate(segments) for j in range(len(words))]
    for i, j in rng.sample(places, max(1, round(share * len(places)))):
        segments[i][j] = rng.choice(vocabulary) if rng.random() < 0.5 else "".join(rng.choices("bdfgklmnoprstuvz", k=7))
    return content.with_segments([" ".join(words) for words in segments])


@dataclass(frozen=True)
class Corpus:
    """What people of one kind of text said."""

    kind: str
    people: tuple[Person, ...]
    said: tuple[Said, ...]
    vocabulary: tuple[str, ...]
    author: Author
    rng: random.Random

    def copy(self, said: Said, share: float) -> Content:
        """A changed copy."""
        return changed(said.content, share, self.vocabulary, self.rng)


def corpus_of(kind: str, count: int, seed: int) -> Corpus:
    """Three records of each person, and the usual words in them."""
    rng = random.Random(seed)
    people, author = draw_people(rng, count=count), Author(kind, rng)
    said = tuple(author.say(person) for person in people for _ in range(3))
    users: dict[str, set[str]] = {}
    for one in said:
        for segment in one.content.segments():
            for word in segment.split(" "):
                users.setdefault(word, set()).add(one.person)
    usual = sorted(word for word, whose in users.items() if len(whose) >= USUAL)
    return Corpus(kind, people, said, tuple(usual), author, rng)


class Share(TypedDict):
    """Hits of a total, their share and its interval."""

    hits: int
    of: int
    share: float
    low: float
    high: float


def share_of(hits: int, total: int) -> Share:
    """A share with its 95% Wilson interval."""
    interval = binomtest(hits, total).proportion_ci(method="wilson")
    return {"hits": hits, "of": total, "share": round(hits / total, 5), "low": round(float(interval.low), 5), "high": round(float(interval.high), 5)}  # fmt: skip


# --- search --------------------------------------------------------------------------------------------------------------


def searched(corpus: Corpus, rule: NearRule, copies: Sequence[tuple[Said, Content]]) -> dict[str, Share]:
    """Every person of a copy is searched once; the copies lie in records of other people."""
    near = Near(KEY, rule, frozenset(), {})
    words = Words(near)
    for at, one in enumerate(corpus.said):
        near.people[f"r{at}"] = one.person
        words.read(f"r{at}", one.content)
    for at, (one, content) in enumerate(copies):
        near.people[f"c{at}"] = corpus.rng.choice([p.customer_id for p in corpus.people if p.customer_id != one.person])
        words.read(f"c{at}", content)
    found = false = bothered = 0
    for at, (one, _) in enumerate(copies):
        own = {f"r{number}" for number, other in enumerate(corpus.said) if other.person == one.person}
        seen = words.around(own).record_ids - own
        wrong = {record for record in seen if record.startswith("r")}
        found, false, bothered = found + (f"c{at}" in seen), false + len(wrong), bothered + bool(wrong)
    compared = len(copies) * (len(corpus.said) - 3)
    return {
        "copies_found": share_of(found, len(copies)), "false_candidates": share_of(false, compared),
        "searches_with_a_false_candidate": share_of(bothered, len(copies)),
    }  # fmt: skip


def search_figures(corpus: Corpus) -> dict[str, dict[str, Share]]:
    """Recall and false candidates by how a copy differs, and by the threshold."""
    firsts = corpus.said[::3]
    figures: dict[str, dict[str, Share]] = {}
    for name, share, mask in (
        ("10% changed", 0.1, False),
        ("20% changed", 0.2, False),
        ("10% changed, identifiers as constants", 0.1, True),
    ):
        copies = [(one, corpus.copy(one.masked() if mask else one, share)) for one in firsts]
        for threshold in (RULE.threshold,) if mask else THRESHOLDS:
            rule = RULE.model_copy(update={"threshold": threshold})
            figures[f"{name}, threshold {threshold}"] = searched(corpus, rule, copies)
    return figures


# --- ingest --------------------------------------------------------------------------------------------------------------


def judged(workspace: Workspace, content: Content, person: str, number: str) -> Judged:
    """A record that the gate lets pass as it is."""
    raw = RawRecord(1, content, number, (person,), "tickets", "support", "contract", "en")
    return Judged(raw, identify(raw, workspace.keyring), Decision("allow", "clean", (), content))


def ingest_figures(corpus: Corpus, folder: Path, news: int) -> dict[str, Share]:
    """Erase half of the people, and see what of later rows is stopped."""
    create_workspace(folder, controller="Benchmark")
    workspace = open_workspace(folder)
    held = [judged(workspace, one.content, one.person, f"r{at}") for at, one in enumerate(corpus.said)]
    gone = {person.customer_id for person in corpus.people[::2]}
    erased = [(item, one) for item, one in zip(held, corpus.said, strict=True) if one.person in gone]
    bury(workspace, held, [item for item, _ in erased])
    with workspace.database.reader() as session:
        guard = NearGuard.of(session, workspace.keyring, RULE)
        exact = held_already(session, [replace(item.identity, id_hmac="") for item, _ in erased])

    strangers = draw_people(random.Random(99), count=len(corpus.people))
    new = [*(person for person in corpus.people if person.customer_id not in gone), *strangers]
    told = [corpus.author.say(new[at % len(new)]) for at in range(news)]
    later = {
        TENTH: [(corpus.copy(one, 0.1), one.person) for _, one in erased],
        "20% changed": [(corpus.copy(one, 0.2), one.person) for _, one in erased],
        OTHERS: [(one.content, one.person) for one in told],
        "what the erased say next": [(one.content, one.person) for one in map(corpus.author.say, corpus.people[::2])],
    }
    figures = {EXACT: share_of(len(exact), len(erased)), "with a sketch": share_of(len(guard.graves), len(erased))}
    for threshold in THRESHOLDS:
        asked = replace(guard, rule=RULE.model_copy(update={"threshold": threshold}))
        for name, rows in later.items():
            stopped = sum(
                asked.whose(judged(workspace, content, person, "new")) is not None for content, person in rows
            )
            figures[f"{name}, threshold {threshold}"] = share_of(stopped, len(rows))
    return figures


def bury(workspace: Workspace, held: Sequence[Judged], erased: Sequence[Judged]) -> None:
    """What previews and a purge do about near copies; the rows stay, which an ingest does not look at."""
    ids = [item.identity.record_id for item in erased]
    with workspace.database.transaction() as session:
        session.add(IngestRow(id="ing", source="tickets", generation=0, status="finished", requested_at=NOW))
        session.flush()
        store_judged(
            session, held, stamp=GateStamp("ing", 0, "policy", "scanner", NOW), keyring=workspace.keyring,
            keystore=workspace.keystore,
        )  # fmt: skip
        words = Near.of(session, workspace.keyring, RULE).reader()
        for item in held:
            words.read(item.identity.record_id, item.raw.content)
        save_found(session, words.around(ids[:1]), ids[:1])
        marks = near_marks(workspace, session, "case-1", ids)
        lay_near(session, marks, case_id="case-1", until=DAY)
        tombstones.bury(session, case_id="case-1", record_ids=ids, forms=(), keyring=workspace.keyring, on=DAY)


def main(quick: bool) -> int:
    """Measure, print beside the bars, keep the figures."""
    people, news, seeds = (40, 200, 1) if quick else (300, 4000, 2)
    figures: dict[str, object] = {}
    met = True
    for kind in ("chats", "letters", "talk"):
        corpora = [corpus_of(kind, people, seed) for seed in range(seeds)]
        search = [search_figures(corpus) for corpus in corpora]
        with tempfile.TemporaryDirectory() as place:
            stopped = [ingest_figures(c, Path(place) / f"{n}", news // seeds + 1) for n, c in enumerate(corpora)]
        found = {name: together([one[name] for one in stopped]) for name in stopped[0]}
        seen = {name: {f: together([one[name][f] for one in search]) for f in search[0][name]} for name in search[0]}
        figures[kind] = {"search": seen, "ingest": found}
        for name, shares in seen.items():
            print(f"{kind}, search, {name}: {shares}")
        for name, part in found.items():
            print(f"{kind}, ingest, {name}: {part}")
        at_default = f", threshold {RULE.threshold}"
        met &= beside_bar(f"{kind}: erased records stopped", found=rate(found[EXACT]), at_least=1.0)
        met &= beside_bar(f"{kind}: 10% changed stopped", found=rate(found[TENTH + at_default]), at_least=0.95)
        met &= beside_bar(f"{kind}: other people's stopped", found=rate(found[OTHERS + at_default]), at_most=0.001)
    if not quick:
        print(write_result("near-copies", {"rule": RULE.model_dump(), "people": people * seeds, "kinds": figures}))
    return 0 if met or quick else 1


def rate(part: Share) -> float:
    """The share itself."""
    return part["share"]


def together(parts: Sequence[Share]) -> Share:
    """One share over several corpora."""
    return share_of(sum(part["hits"] for part in parts), sum(part["of"] for part in parts))


if __name__ == "__main__":
    sys.exit(main("--quick" in sys.argv))
