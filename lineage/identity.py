"""Who a record is, before the gate looks at it, and whether it may be stored again.

A record that is in the vault already, or that was erased, never reaches the scan.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlmodel import Session, col, select

from lineage.forms import canonical_identifier
from lineage.keyring import Keyring
from lineage.records import RawRecord, canonical_bytes
from lineage.tables import RecordRow, TombstoneRow

__all__ = ["Identity", "given_id_hmac", "held_already", "identify"]


@dataclass(frozen=True, slots=True)
class Identity:
    """The keyed ids of a raw record, computed before the gate looks at it."""

    record_id: str
    given_hmac: str
    id_hmac: str
    declared: tuple[str, ...]

    @property
    def primary_subject(self) -> str | None:
        """The first declared subject, or None for a record without one."""
        return self.declared[0] if self.declared else None


def identify(raw: RawRecord, keyring: Keyring) -> Identity:
    """The ids of a record. A record without a given id is known by its content."""
    declared = tuple(dict.fromkeys(keyring.subject_key(canonical_identifier(s)) for s in raw.subjects))
    given_hmac = keyring.content(canonical_bytes(raw.content))
    named = raw.given_id if raw.given_id is not None else given_hmac
    return Identity(
        record_id=keyring.record_id(raw.source, named, declared[0] if declared else ""),
        given_hmac=given_hmac,
        id_hmac=given_id_hmac(keyring, raw.source, named),
        declared=declared,
    )


def given_id_hmac(keyring: Keyring, source: str, given_id: str) -> str:
    """Keyed digest of source and given id: how parents and tombstones name a record."""
    return keyring.mac("given-id", source, given_id)


def held_already(session: Session, identities: Sequence[Identity]) -> dict[Identity, str]:
    """For each record that must not be stored again, why: "same", "conflict" or "erased"."""
    found: dict[Identity, str] = {}
    ids = [identity.record_id for identity in identities]
    stored = dict(session.exec(select(RecordRow.id, RecordRow.given_hmac).where(col(RecordRow.id).in_(ids))).all())
    digests = {identity.given_hmac for identity in identities} | {identity.id_hmac for identity in identities}
    buried = set(session.exec(select(TombstoneRow.hmac).where(col(TombstoneRow.hmac).in_(digests))).all())
    for identity in identities:
        if identity.given_hmac in buried or identity.id_hmac in buried:
            found[identity] = "erased"
        elif identity.record_id in stored:
            found[identity] = "same" if stored[identity.record_id] == identity.given_hmac else "conflict"
    return found
