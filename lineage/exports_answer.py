"""The Art. 15 answer as it is given: a letter in plain words, a page, or JSON; and the event that it was given.

The letter has a blank for name and address, and like every letter it needs `[contact]`; it needs `retention` and
`transfers` of `[processing]` too, which nobody but the controller knows. What the ledger keeps is who answered, in which
form, about how many records, and the digest of the answer. That names nobody; but whoever holds the workspace and answers
everybody again finds out whose digest it is, as long as nothing has changed.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, tzinfo
from string import Template
from typing import Literal

from lineage import ledger
from lineage.access import Actor
from lineage.case import IDENTIFIERS
from lineage.errors import WrongUsage
from lineage.exports_access import Access, Fed, Person, Version, read_access
from lineage.exports_page import letter_page
from lineage.letters import FOLDER, Language, day_in_words, require_contact, words_from, wrapped
from lineage.settings import Settings
from lineage.workspace import Workspace

__all__ = ["Asked", "access_letter", "answer_access"]

Form = Literal["text", "html", "json"]
TITLES: Mapping[Language, str] = {"en": "Answer under Article 15 GDPR", "de": "Auskunft nach Artikel 15 DSGVO"}
VERSION_CHARS = 12


@dataclass(frozen=True)
class Asked:
    """Who asks, and in which form and language the answer is wanted. JSON has no language."""

    person: Person
    form: Form = "text"
    language: Language = "en"


def answer_access(workspace: Workspace, asked: Asked, *, actor: Actor, now: datetime) -> str:
    """Search, follow, write the answer, and say in the ledger that it was given.

    Raises:
        RefusedByRule: the actor does not speak with people.
        WrongUsage: nobody is known by that; or the settings a letter needs are not complete.
        NotAcceptable: the identifiers mean several people.
    """
    actor.require(*IDENTIFIERS, to="answer a request for access")
    found = read_access(workspace, asked.person, now=now)
    answer = _written(found, asked, workspace.settings)
    payload = {
        "by": actor.name, "form": asked.form, "records": found.records, "digest": hashlib.sha256(answer.encode()).hexdigest()
    }  # fmt: skip
    with workspace.database.transaction() as session:
        ledger.append(session, at=now, kind="subject.accessed", payload=payload)
    return answer


def _written(found: Access, asked: Asked, settings: Settings) -> str:
    if asked.form == "json":
        return json.dumps(found.as_json(), indent=2, sort_keys=True, ensure_ascii=False) + "\n"
    if asked.form == "html":
        return letter_page(TITLES[asked.language], _letter(found, settings, asked.language), language=asked.language)
    return access_letter(found, settings, language=asked.language)


def access_letter(found: Access, settings: Settings, *, language: Language) -> str:
    """The letter as text, lines of at most 78 characters.

    Raises:
        WrongUsage: `[contact]` or `[processing]` is not complete.
    """
    return "\n".join(wrapped(line) for line in _letter(found, settings, language).splitlines()) + "\n"


def _letter(found: Access, settings: Settings, language: Language) -> str:
    """The letter with one line for each paragraph and each item of a list."""
    require_contact(settings)
    missing = [name for name in ("retention", "transfers") if not getattr(found, name)]
    if missing:
        raise WrongUsage(
            f"This letter needs {' and '.join(missing)} of [processing] in lethe.toml.",
            hint="See docs/configuration.md.",
        )
    say, contact = _Words(language, settings.time_zone), settings.contact
    words = {
        "controller": found.controller, "address": contact.address.strip(), "dpo": contact.dpo.strip(),
        "addressee": words_from(language, "addressee", {}).rstrip(), "day": day_in_words(found.answered_on, language),
        "complaint": words_from(language, "complaint", {"authority": contact.authority.strip()}),
        "retention": _indented(found.retention), "transfers": _indented(found.transfers), "records": found.records or say("nothing"),
        "held": "\n".join(_held(found, say)), "register": " ".join(_known(found, say)),
        "fed": "\n".join(f"  {line}" for fed in found.fed for line in _fed(fed, say)) or f"  {say('not_fed')}",
        "parties": "\n".join(f"  {line}" for line in _parties(found, say)), "backups": f"  {_backups(found, say)}",
    }  # fmt: skip
    return re.sub(r"\n{3,}", "\n\n", words_from(language, "access", words))


def _indented(said: str) -> str:
    """What the controller wrote, every line of it an item of its list."""
    return "\n  ".join(line.strip() for line in said.splitlines() if line.strip())


class _Words:
    """The short sentences of one language, by name; days are those of the controller."""

    def __init__(self, language: Language, zone: tzinfo) -> None:
        text = (FOLDER / language / "access_words.txt").read_text(encoding="utf-8")
        self._sentences = dict(line.split(" = ", 1) for line in text.splitlines())
        self.language, self._zone = language, zone

    def __call__(self, name: str, **words: object) -> str:
        return Template(self._sentences[name]).substitute(words)

    def day(self, at: datetime) -> str:
        return day_in_words(at.astimezone(self._zone).date(), self.language)


def _held(found: Access, say: _Words) -> Iterator[str]:
    for line in found.held:
        yield "  " + say(
            "held_line", records=line.records, source=line.source, purpose=line.purpose, basis=line.lawful_basis,
            relation=say(line.relation), status=say(line.status),
        )  # fmt: skip
    if found.held_since:
        yield f"  {say('since', day=say.day(found.held_since))}"


def _known(found: Access, say: _Words) -> Iterator[str]:
    count = sum(found.register.values())
    yield say("register", count=count) if count else say("no_register")
    if found.categories:
        yield say("categories", kinds=", ".join(f"{kind} {number}" for kind, number in found.categories.items()))


def _fed(fed: Fed, say: _Words) -> Iterator[str]:
    yield say("fed_line", adapter=fed.adapter, records=fed.records, day=say.day(fed.since))
    for version in fed.versions:
        gone = f"; {say('destroyed', day=say.day(version.destroyed_at))}" if version.destroyed_at else ""
        yield _service(version, say) + gone


def _service(version: Version, say: _Words) -> str:
    short = version.digest[:VERSION_CHARS]
    if version.released_at is None:
        return say("never_served", version=short)
    start = say.day(version.released_at)
    if version.withdrawn_at is None:
        return say("in_service", version=short, start=start)
    return say("served", version=short, start=start, end=say.day(version.withdrawn_at))


def _parties(found: Access, say: _Words) -> Iterator[str]:
    for party in found.parties:
        yield say(party.kind, whom=party.whom, scope=party.scope or say("everything"))
    if not found.parties:
        yield say("no_party")
    if found.files:
        yield say("files", count=", ".join(f"{kind} {number}" for kind, number in found.files.items()))


def _backups(found: Access, say: _Words) -> str:
    if not found.backups:
        return say("no_backups")
    return (
        say("backups_dated", day=day_in_words(found.backups_end, say.language))
        if found.backups_end
        else say("backups_undated")
    )
