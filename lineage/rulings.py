"""What a reviewer rules about records in quarantine: release or block, under their name and for a reason; and expiry.

::

    quarantined --release--> admitted      keeps its generation; the next training places it
    quarantined --block----> blocked       for good: the text goes, its key is shredded
    quarantined --expire---> blocked       by itself, when nobody ruled within `[gate] quarantine_days`

A ruling is about all the records it names or about none. The reason is one of a few codes and never a sentence: it stands
in the ledger, which nothing is ever taken out of, and a sentence could hold a name that no scan would find.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal, TypeAlias

from sqlmodel import Session, col, delete, select, update

from lineage import ledger
from lineage.access import Actor
from lineage.database import in_chunks
from lineage.errors import RefusedByRule, WrongUsage
from lineage.policy import load_gate_policy
from lineage.review import REVIEWERS, Waiting, Which, named, queue
from lineage.tables import AdmissionRow, QuarantineRow, RecordRow, VaultRow
from lineage.vault import record_key
from lineage.workspace import Workspace

__all__ = [
    "BECAUSE",
    "EXPIRED",
    "Ruling",
    "Verb",
    "allowed",
    "block",
    "clear_out",
    "expire",
    "release",
    "rule",
    "shred_blocked",
]

Verb: TypeAlias = Literal["release", "block"]

BECAUSE: Mapping[Verb, Mapping[str, str]] = {
    "release": {
        "harmless": "read in its context, it is harmless",
        "misread": "what was found is not what its type says",
        "person-clear": "it is clear who is meant, and they are declared or registered",
        "lawful": "there is a lawful basis to learn from it, noted outside Lethe",
    },
    "block": {
        "personal": "it holds what must not be learnt about a person",
        "special-category": "it holds data of Art. 9 or 10 GDPR",
        "unclear": "nobody can say who or what is meant",
        "not-needed": "the purpose can do without it (Art. 5(1)(c) GDPR)",
        "bad-source": "the source is faulty and will be mended",
    },
}
EXPIRED = "expired"


@dataclass(frozen=True, slots=True)
class Ruling:
    """Who rules, why (a key of `BECAUSE`), and when."""

    actor: Actor
    because: str
    now: datetime

    def check(self, verb: Verb) -> None:
        """Refuse whoever may not, and what is no reason.

        Raises:
            RefusedByRule: the actor is no reviewer.
            WrongUsage: an unknown reason; it is not echoed.
        """
        self.actor.require(*REVIEWERS, to=f"{verb} a record")
        if self.because not in BECAUSE[verb]:
            raise WrongUsage("That is no reason to give here.", hint=f"To {verb}: {', '.join(BECAUSE[verb])}.")


def allowed(items: Sequence[Waiting], verb: Verb) -> list[Waiting]:
    """Those of the records that can be ruled upon so."""
    return [i for i in items if i.status == "quarantined" and not i.in_case and (i.releasable or verb == "block")]


def rule(workspace: Workspace, verb: Verb, records: Sequence[str], ruling: Ruling) -> int:
    """Release or block these records, all of them or none; returns how many. What is blocked is shredded at once.

    Raises:
        RefusedByRule, WrongUsage: as `release` and `block`.
    """
    with workspace.database.transaction() as session:
        if verb == "release":
            ruled = release(session, records, ruling, policy_digest=load_gate_policy(workspace.settings).digest)
        else:
            ruled = block(session, records, ruling)
    if verb == "block":
        shred_blocked(workspace)
        workspace.database.compact()
    return len(ruled)


def release(session: Session, records: Sequence[str], ruling: Ruling, *, policy_digest: str) -> list[str]:
    """Admit records under a reviewer's name; returns their ids.

    Raises:
        RefusedByRule: the actor may not, nobody could say what is in one of them, or an open case has one.
        WrongUsage: an unknown record or reason.
    """
    items = _ruled_upon(session, records, ruling, "release")
    for chunk in in_chunks([item.record_id for item in items]):
        session.execute(update(RecordRow).where(col(RecordRow.id).in_(chunk)).values(status="admitted"))
        session.execute(delete(QuarantineRow).where(col(QuarantineRow.record_id).in_(chunk)))
    session.add_all(
        AdmissionRow(record_id=item.record_id, policy_digest=policy_digest, scanner_digest="", verdict="released",
                     reviewer=ruling.actor.name, because=ruling.because, admitted_at=ruling.now)
        for item in items
    )  # fmt: skip
    _write_down(session, "review.released", items, ruling)
    return [item.record_id for item in items]


def block(session: Session, records: Sequence[str], ruling: Ruling) -> list[str]:
    """Refuse records for good and drop their ciphertexts; the caller shreds the keys. Returns their ids.

    Raises:
        RefusedByRule: the actor may not, one is blocked already, or an open case has one.
        WrongUsage: an unknown record or reason.
    """
    items = _ruled_upon(session, records, ruling, "block")
    _block(session, items, by=ruling.actor.name, because=ruling.because, now=ruling.now)
    _write_down(session, "review.blocked", items, ruling)
    return [item.record_id for item in items]


def expire(session: Session, *, keep_days: int, now: datetime) -> list[str]:
    """Block what nobody ruled upon in `keep_days` days (0: never); the caller shreds the keys. Returns the ids.

    What an open erasure case is going to change is left to the case.
    """
    if not keep_days:
        return []
    old = queue(session, Which(status="quarantined", before=now - timedelta(days=keep_days)))
    items = allowed(old, "block")
    if items:
        _block(session, items, by="", because=EXPIRED, now=now)
        reasons = dict(Counter(item.reason for item in items))
        payload = {"records": len(items), "reasons": reasons, "days": keep_days}
        ledger.append(session, at=now, kind="review.expired", payload=payload)
    return [item.record_id for item in items]


def shred_blocked(workspace: Workspace) -> None:
    """Shred the keys of all blocked records up to the version that was blocked, also those that a crash left.

    One that is rectified meanwhile has its new text under a newer key, and keeps it.
    """
    with workspace.database.reader() as session:
        blocked = session.exec(select(RecordRow.id, RecordRow.version).where(RecordRow.status == "blocked")).all()
    workspace.keystore.shred(record_key(record_id, v) for record_id, last in blocked for v in range(last + 1))


def clear_out(workspace: Workspace, *, now: datetime) -> int:
    """Expire what is too old, shred the keys of what is blocked and overwrite what they opened; returns how many expired."""
    with workspace.database.transaction() as session:
        expired = expire(session, keep_days=workspace.settings.gate.quarantine_days, now=now)
    shred_blocked(workspace)
    if expired:
        workspace.database.compact()
    return len(expired)


def _ruled_upon(session: Session, records: Sequence[str], ruling: Ruling, verb: Verb) -> list[Waiting]:
    ruling.check(verb)
    items = named(session, records)
    if taken := sum(item.in_case for item in items):
        raise RefusedByRule(
            f"{taken} of these records belong to an open erasure case.", hint="The case decides about them."
        )
    if refused := sorted({item.reason for item in items} - {item.reason for item in allowed(items, verb)}):
        raise RefusedByRule(
            f"A record with the reason {refused[0]!r} cannot be {verb}{'d' if verb == 'release' else 'ed'}.",
            hint="Mend it and ingest it again." if verb == "release" else "It is blocked already.",
        )
    return items


def _block(session: Session, items: Sequence[Waiting], *, by: str, because: str, now: datetime) -> None:
    decided = {"releasable": False, "because": because, "reviewer": by, "decided_at": now}
    for chunk in in_chunks([item.record_id for item in items]):
        session.execute(update(RecordRow).where(col(RecordRow.id).in_(chunk)).values(status="blocked"))
        session.execute(update(QuarantineRow).where(col(QuarantineRow.record_id).in_(chunk)).values(**decided))
        session.execute(delete(VaultRow).where(col(VaultRow.record_id).in_(chunk)))


def _write_down(session: Session, kind: str, items: Sequence[Waiting], ruling: Ruling) -> None:
    """One event a ruling: counts by reason; which record was ruled how stands at the record, and goes with it."""
    reasons = dict(Counter(item.reason for item in items))
    payload = {"by": ruling.actor.name, "because": ruling.because, "records": len(items), "reasons": reasons}
    ledger.append(session, at=ruling.now, kind=kind, payload=payload)
