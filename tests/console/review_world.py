"""Records in quarantine for the desk: through the real gate with a scanner that finds what it is told."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from desk_world import NOW, World

from lineage.admit import Gate, examine
from lineage.catalog import GateStamp, Judged, store_judged
from lineage.identity import identify
from lineage.policy import load_policy
from lineage.records import Chat, Content, Message, PlainText, RawRecord
from lineage.register import RegisterIndex
from lineage.scan import ART9_LEXICON, ScanFailed, Span
from lineage.subjects import load_forms, load_suppression
from lineage.tables import IngestRow

SECRET = "chemotherapy"
CHAT = Chat(
    (
        Message("user", "Hello, I am Wilma Quendolin. Since my chemotherapy I cannot call; write to wilma@quendolin.example."),
        Message("assistant", "Thank you. I have told bert@ostrander.example, who keeps your file, and moved the date to Friday."),
        Message("user", "Please do not tell anybody about the chemotherapy. The parcel 48-2211 is still missing."),
    )
)  # fmt: skip


class Told:
    """Finds the words it was told, with a type each; or fails."""

    def __init__(self, words: Mapping[str, str], failure: Exception | None = None) -> None:
        self.words, self.failure = words, failure

    def scan(self, text: str) -> tuple[Span, ...]:
        if self.failure:
            raise self.failure
        found = ((kind, text.find(word), len(word)) for word, kind in self.words.items())
        return tuple(Span(kind, at, at + length, 1.0, "told") for kind, at, length in found if at >= 0)


ART9 = Told({SECRET: ART9_LEXICON})


def put_in_quarantine(
    world: World, content: Content, *, source: str = "tickets", scanner: Told = ART9, since: datetime = NOW
) -> str:
    """Judge a record of the registered person; returns its id."""
    workspace, default, strict = world.workspace, load_policy("default"), load_policy("strict")
    raw = RawRecord(
        line=1, content=content, given_id=None, subjects=("cust-1",), source=source, purpose="support",
        lawful_basis="contract", language="en",
    )  # fmt: skip
    with workspace.database.transaction() as session:
        register = RegisterIndex(load_forms(session, workspace.keystore))
        suppressed = load_suppression(session, workspace.keyring)
        gate = Gate(scanner, register, suppressed, default, strict, pseudonym=workspace.keyring.pseudonym)
        identity = identify(raw, workspace.keyring)
        judged = Judged(raw, identity, examine(gate, content, declared=identity.declared))
        if session.get(IngestRow, "ing-1") is None:
            session.add(IngestRow(id="ing-1", source=source, generation=0, status="finished", requested_at=NOW))
            session.flush()
        stamp = GateStamp("ing-1", 0, default.digest, "scanner", since)
        store_judged(session, [judged], stamp=stamp, keyring=workspace.keyring, keystore=workspace.keystore)
    return identity.record_id


def note(number: int) -> PlainText:
    return PlainText(f"Note {number}: she asked about chemotherapy and the invoice.")


def failed() -> Told:
    return Told({}, ScanFailed("scan_failed"))
