"""Letters to the person: plain words from templates, one kind for each thing that the law wants told.

::

    interim     the request has come in                          while the case is open and not extended
    extended    two further months and why, Art. 12(3)           while the case is open; told inside the first month
    refused     why, complaint and court, Art. 12(4)             REFUSED
    not_found   nothing is held as far as can be seen, Art. 11   NOT_FOUND
    granted     what was done and what it does not cover         SIGNED_OFF, NOTIFYING, CLOSED
    partly      the same, what is kept and why, Art. 12(4)       the same, if records are kept

A letter holds a blank for name and address and nothing else of the person: whoever sends it fills it in outside the
workspace. What is kept in the case is the digest of the letter with the blank, and the day on which it was told
(`letter:<kind>` in its evidence). That somebody was told is said by a member of staff (`lineage.closing`).
"""

from __future__ import annotations

import hashlib
import re
import textwrap
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from enum import StrEnum
from pathlib import Path
from string import Template
from typing import Any, Literal

from sqlmodel import Session

from lineage import clock, inventory, ledger
from lineage.access import Actor
from lineage.case import IDENTIFIERS, CaseFile
from lineage.case_view import Beside, CaseView
from lineage.closure import LEFT_OUT
from lineage.decisions import EXCEPTIONS
from lineage.errors import RefusedByRule, WrongUsage
from lineage.evidence import add_evidence, last_filed
from lineage.pauses import days_paused
from lineage.settings import Settings
from lineage.stages import CERTIFIED, Stage
from lineage.workspace import Workspace

__all__ = [
    "Kind", "Language", "Letter", "Owed", "day_in_words", "filed", "fits", "owed", "require_contact", "require_fit", "tell_before",
    "words_from", "wrapped", "write_letter",
]  # fmt: skip

FOLDER = Path(__file__).with_name("letters")
WIDTH = 78
MAX_ADDRESS_LINES = 10
Language = Literal["en", "de"]


class Kind(StrEnum):
    """What a letter tells."""

    INTERIM = "interim"
    EXTENDED = "extended"
    REFUSED = "refused"
    NOT_FOUND = "not_found"
    GRANTED = "granted"
    PARTLY = "partly"


@dataclass(frozen=True)
class Letter:
    """Which letter is wanted. `addressee` fills the blank, one line each; it is in what is returned and kept nowhere."""

    kind: Kind
    language: Language = "en"
    addressee: tuple[str, ...] = field(default=(), repr=False)


@dataclass(frozen=True)
class Owed:
    """A letter that the person has not got yet, and the last day on which it is in time."""

    kind: Kind
    by: date


@dataclass(frozen=True)
class _Matter:
    """What the letters of a case may say of it. `verdict` is that of the probes; empty: no model had learnt anything."""

    case: CaseView
    day: date
    records: Mapping[str, int]
    kept: Mapping[str, int]
    verdict: str
    backups_end: date | None


def fits(case: CaseView, kind: Kind) -> bool:
    """Whether this is a letter for a case as it stands. Nobody asked for a withdrawal by policy, so nobody is written to."""
    if case.rescan_id:
        return False
    if kind == Kind.INTERIM:
        return not case.settled and not case.extension_reason
    if kind == Kind.EXTENDED:
        return not case.settled and bool(case.extension_reason)
    return kind == _outcome(case)


def owed(session: Session, case: CaseView, settings: Settings) -> Owed | None:
    """What the person must be told next; None: nothing, as things stand. The receipt is a courtesy and never owed."""
    if case.rescan_id:
        return None
    kind = _outcome(case) or (Kind.EXTENDED if fits(case, Kind.EXTENDED) else None)
    if kind is None or "told_on" in filed(session, case.id, kind):
        return None
    return Owed(kind, tell_before(session, case, kind, settings))


def tell_before(session: Session, case: CaseView, kind: Kind, settings: Settings) -> date:
    """The last day on which a letter is in time: the due day; that of the first month for an extension and for a refusal.

    Art. 12(4) GDPR has whoever does not act say so within one month of receipt, and knows of no extension.
    """
    if kind not in (Kind.EXTENDED, Kind.REFUSED):
        return case.due_on
    paused = days_paused(session, case.id, received_on=case.received_on)
    return clock.due(
        case.received_on, settings.country, subdivision=settings.subdivision or None, paused_days=paused
    ).date


def filed(session: Session, case_id: str, kind: Kind) -> dict[str, Any]:
    """What the case knows of a letter: language, digest, the day it was written on and, if so, `told_on`; else empty."""
    return last_filed(session, case_id, f"letter:{kind}")


def write_letter(workspace: Workspace, case_id: str, letter: Letter, *, actor: Actor, now: datetime) -> str:
    """Render a letter and keep the digest of it with its blank in the case; the same letter again adds nothing.

    Raises:
        RefusedByRule: it is not a letter for this case as it stands, it was told already, or the actor may not write it.
        WrongUsage: no such case, an address that is none, or `[contact]` is not complete.
    """
    actor.require(*IDENTIFIERS, to="write to the person")
    settings, today = workspace.settings, workspace.settings.day(now)
    with workspace.database.transaction() as session:
        case = CaseFile(session, case_id).view
        require_fit(case, letter.kind)
        if "told_on" in (before := filed(session, case_id, letter.kind)):
            raise RefusedByRule(f"The person was told so on {before['told_on']} already.")
        matter = _matter(session, case, settings, today)
        whole, blank = _render(matter, letter, settings), _render(matter, replace(letter, addressee=()), settings)
        body = {
            "kind": letter.kind.value, "language": letter.language, "written_on": today.isoformat(),
            "digest": hashlib.sha256(blank.encode()).hexdigest(),
        }  # fmt: skip
        if body != before:
            add_evidence(session, case_id, f"letter:{letter.kind}", body, now=now)
            ledger.append(session, at=now, kind="letter.written", case_id=case_id, payload={**body, "by": actor.name})
    return whole


def require_fit(case: CaseView, kind: Kind) -> None:
    """Refuse a letter that does not say what is the case.

    Raises:
        RefusedByRule: it is for another stage, or nobody asked.
    """
    if not fits(case, kind):
        raise RefusedByRule(f"The letter {kind} is not one for case {case.id}, which is at {case.stage}.")


def _outcome(case: CaseView) -> Kind | None:
    """The letter that answers the request, once it is answered."""
    if case.stage in CERTIFIED:
        return Kind.PARTLY if Beside.PARTLY_REFUSED in case.beside else Kind.GRANTED
    return {Stage.REFUSED: Kind.REFUSED, Stage.NOT_FOUND: Kind.NOT_FOUND}.get(case.stage)


# --- the words ------------------------------------------------------------------------------------------------------------


def _matter(session: Session, case: CaseView, settings: Settings, today: date) -> _Matter:
    contract = last_filed(session, case.id, "contract")
    if case.stage in CERTIFIED and not contract:
        raise WrongUsage(
            f"Case {case.id} has lost its evidence to a restored backup, so this letter cannot say what was done.",
            hint="Write it yourself from the certificate; then: lethe erase told --own-letter",
        )
    records, probed = contract.get("records", ()), last_filed(session, case.id, "probe")
    purged = [
        settings.day(event.at) for event in ledger.events_of_case(session, case.id) if event.kind == "case.purged"
    ]
    ends = [backup.gone_after(max(purged, default=today)) for backup in inventory.everything(session).backups]
    return _Matter(
        case=case,
        day=today,
        records=Counter(record["decision"] for record in records),
        kept=Counter(record["ground"] for record in records if record["decision"] == "keep"),
        verdict=probed["verdict"] if probed.get("adapters") else "",
        backups_end=max((end for end in ends if end), default=None) if all(ends) else None,
    )


def _render(matter: _Matter, letter: Letter, settings: Settings) -> str:
    """The letter as text, lines of at most `WIDTH` characters."""
    lang, contact, case = letter.language, settings.contact, matter.case
    require_contact(settings)
    words = {
        "case": case.id, "received": day_in_words(case.received_on, lang), "due": day_in_words(case.due_on, lang),
        "reason": case.extension_reason if letter.kind == Kind.EXTENDED else case.problem,
        "complaint": words_from(lang, "complaint", {"authority": contact.authority.strip()}),
        "consent": words_from(lang, "consent", {}) + "\n" if case.only_consent else "",
        "kept": "\n".join(_kept(matter, lang)),
    }  # fmt: skip
    if letter.kind in (Kind.GRANTED, Kind.PARTLY):
        words["done"] = _done(matter, lang)
    body = words_from(lang, letter.kind, words)
    if case.stage == Stage.IDENTITY_CHECK and letter.kind == Kind.INTERIM:
        body += "\n" + words_from(lang, "interim_asked", {})
    frame = {
        "controller": settings.controller, "address": contact.address.strip(), "dpo": contact.dpo.strip(), "body": body,
        "addressee": _addressee(letter), "case": case.id, "day": day_in_words(matter.day, lang),
    }  # fmt: skip
    whole = re.sub(r"\n{3,}", "\n\n", words_from(lang, "frame", frame))
    return "\n".join(wrapped(line) for line in whole.splitlines()) + "\n"


def require_contact(settings: Settings) -> None:
    """Refuse a letter that could not say who writes it, whom to ask and where to complain.

    Raises:
        WrongUsage: `[contact]` is not complete.
    """
    missing = [name for name in ("address", "dpo", "authority") if not getattr(settings.contact, name).strip()]
    if missing:
        raise WrongUsage(
            f"A letter needs {' and '.join(missing)} of [contact] in lethe.toml.", hint="See docs/configuration.md."
        )


def _done(matter: _Matter, lang: Language) -> str:
    backups = "dated" if matter.backups_end else "undated"
    models = words_from(lang, "models", {}) + "\n" if matter.verdict else ""
    unclear = words_from(lang, "unclear", {}) + "\n" if matter.verdict not in ("", "PASS") else ""
    facts = {
        "erased": matter.records.get("erase", 0), "redacted": matter.records.get("redact", 0),
        "replaced": matter.records.get("already_redacted", 0), "models": models + unclear,
        "backups": words_from(lang, f"backups_{backups}", {"backups_end": day_in_words(matter.backups_end or matter.day, lang)}).strip(),
    }  # fmt: skip
    return words_from(lang, "done", facts)


def _kept(matter: _Matter, lang: Language) -> list[str]:
    """What is kept, by exception of Art. 17(3), with the DPO's reasons; a record on another basis was not asked for."""
    prefixes = {f"{words}: ": letter for letter, words in EXCEPTIONS.items()} | {f"{LEFT_OUT}: ": "e"}
    lines = []
    for ground, count in sorted(matter.kept.items()):
        for prefix, letter in prefixes.items():
            if ground.startswith(prefix):
                said = {"count": count, "letter": letter, "reason": ground.removeprefix(prefix)}
                name = "held_line" if ground.startswith(LEFT_OUT) else "kept_line"
                lines.append("  " + words_from(lang, name, said).strip())
    return lines


def _addressee(letter: Letter) -> str:
    lines = [" ".join(line.split()) for line in letter.addressee]
    if len(lines) > MAX_ADDRESS_LINES or not all(line.isprintable() for line in lines):
        raise WrongUsage(f"An address has at most {MAX_ADDRESS_LINES} lines of printable characters.")
    return "\n".join(lines) or words_from(letter.language, "addressee", {}).rstrip()


def day_in_words(day: date, lang: Language) -> str:
    """A day as people write it."""
    return f"{day.day}{'.' if lang == 'de' else ''} {words_from(lang, 'months', {}).split()[day.month - 1]} {day.year}"


def words_from(lang: Language, name: str, words: Mapping[str, object]) -> str:
    """A template with its blanks filled; one that is left over is a fault of ours."""
    return Template((FOLDER / lang / f"{name}.txt").read_text(encoding="utf-8")).substitute(words)


def wrapped(line: str) -> str:
    """A line of a letter in lines of at most `WIDTH` characters, its indent kept."""
    indent = " " * (len(line) - len(line.lstrip()))
    return textwrap.fill(
        line.strip(), WIDTH, initial_indent=indent, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
    )  # fmt: skip
