"""A case that does not erase takes its redactions back: its records of others say again what they said before.

The old content lies sealed with the case until its purge (`lineage.renewal`), with what followed from it
(`lineage.aftermath`), so it comes back without a scan and in the transaction that refuses or withdraws the case, or that
carries out the decision to keep the record. What was trained on the redacted text is stale from then on, as after any change.

Two cases may redact one record, one after the other. They are undone from the last one down, and only as far as no case stands
by its redaction: what another case took out does not come back, so an earlier one waits below a later one, and comes back
with it or goes with its purge. Nor does a text come back that speaks of somebody who was erased meanwhile, or that was: that
is let go for good.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property

from sqlmodel import Session, col, select

from lineage import ledger
from lineage.aftermath import Aftermath, near_again, write_again
from lineage.holds import held_of
from lineage.records import content_from_json
from lineage.redaction import speaks_of
from lineage.renewal import displace, supersede, superseded
from lineage.stages import UNFULFILLED
from lineage.subjects import load_suppression
from lineage.suppression import SuppressionList
from lineage.tables import CaseRow, RecordRow, SupersededRow, TombstoneRow, VaultRow
from lineage.vault import record_key
from lineage.withdrawal import give_back
from lineage.workspace import Workspace

__all__ = ["adopt_redactions", "end_without_erasure", "take_back"]


def end_without_erasure(session: Session, workspace: Workspace, case_id: str, *, now: datetime) -> None:
    """A case was refused, was withdrawn, or found nothing: what it restricted may be learnt again, as it was before."""
    give_back(session, case_id)
    take_back(session, workspace, case_id, now=now)


def take_back(
    session: Session, workspace: Workspace, case_id: str, *, now: datetime, only: Collection[str] | None = None
) -> int:
    """Undo a case's redactions (of the records in `only`, if given); returns how many records say again what they said.

    One event for each case whose redactions are undone. `stay` counts those of this case that could not be: another case's
    redaction lies on top of them, or an earlier version of Lethe made them.
    """
    undoing = _Undoing(session, workspace, case_id, now)
    wanted = {record_id for record_id, _ in superseded(session, "redacted", by=case_id)}
    records = sorted(wanted if only is None else wanted.intersection(only))
    undone: Counter[str] = Counter()
    kept: dict[str, Aftermath] = {}
    for record_id in records:
        for by, aftermath in undoing.of(record_id):
            undone[by] += 1
            kept[record_id] = aftermath
    for record_id, aftermath in kept.items():  # once all say again what they said
        near_again(session, record_id, aftermath)
    stay = len({record_id for record_id, _ in superseded(session, "redacted", by=case_id)}.intersection(records))
    for case in sorted({*undone, *([case_id] if stay else [])}):
        payload = {"records": undone[case]} | ({"stay": stay} if case == case_id and stay else {})
        ledger.append(session, at=now, kind="redactions.taken_back", case_id=case, payload=payload)
    return len(kept)


def adopt_redactions(session: Session, case_id: str) -> int:
    """What earlier cases of the same person redacted and could not take back is this case's to destroy; returns how many.

    Such a record says nothing of the person any more, so no search would find it, and its old text would outlive the purge.
    """
    person = session.get_one(CaseRow, case_id).subject_key
    earlier = select(CaseRow.id).where(
        CaseRow.subject_key == person, CaseRow.id != case_id, col(CaseRow.stage).in_(sorted(UNFULFILLED))
    )
    query = select(SupersededRow).where(SupersededRow.reason == "redacted", col(SupersededRow.by).in_(earlier))
    rows = session.exec(query).all() if person is not None else ()
    for row in rows:
        row.by = case_id
    session.flush()
    return len(rows)


@dataclass
class _Undoing:
    session: Session
    workspace: Workspace
    case_id: str
    now: datetime

    @cached_property
    def erased(self) -> SuppressionList:
        return load_suppression(self.session, self.workspace.keyring)

    def of(self, record_id: str) -> Iterator[tuple[str, Aftermath]]:
        """Undo what may be undone of a record, the last redaction first: the case it was for, what followed from the text."""
        while (old := self._last(record_id)) is not None and not self._stands(old):
            plain = self._open(old)
            if plain is None or old.aftermath is None:
                return
            if not self._of_somebody_erased(old, plain):
                yield old.by, self._bring_back(old, plain, old.aftermath)
            elif held_of(self.session, [record_id]):
                return
            else:  # as wrong data goes: it must not come back, and nothing that learnt it may serve
                old.reason, old.ciphertext, old.aftermath = "rectified", None, None
                self.session.flush()

    def _last(self, record_id: str) -> SupersededRow | None:
        of_record = SupersededRow.record_id == record_id, SupersededRow.reason == "redacted"
        query = select(SupersededRow).where(*of_record).order_by(col(SupersededRow.version).desc())
        return self.session.exec(query.limit(1)).first()

    def _stands(self, old: SupersededRow) -> bool:
        """Whether another case that has not ended, or that has erased, stands by its redaction."""
        return old.by != self.case_id and self.session.get_one(CaseRow, old.by).stage not in UNFULFILLED

    def _open(self, old: SupersededRow) -> bytes | None:
        name, keystore = record_key(old.record_id, old.version), self.workspace.keystore
        if old.ciphertext is None or not keystore.holding([name]):
            return None
        return keystore.open([(name, old.ciphertext)])[0]

    def _of_somebody_erased(self, old: SupersededRow, plain: bytes) -> bool:
        """While it was sealed, no search saw the text: somebody it speaks of, or whose it was as well, may be erased by now."""
        buried = select(TombstoneRow.id).where(TombstoneRow.kind == "content", TombstoneRow.hmac == old.given_hmac)
        content = content_from_json(json.loads(plain)["content"])
        return self.session.exec(buried).first() is not None or speaks_of(self.erased, content)

    def _bring_back(self, old: SupersededRow, plain: bytes, kept: Aftermath) -> Aftermath:
        """Seal the text under a new key, so that no key of a text that is replaced opens one that is not."""
        session, row = self.session, self.session.get_one(RecordRow, old.record_id)
        admissible = row.status, row.trunk_eligible
        supersede(session, row, why="unredacted", by=old.by, at=self.now)
        row.given_hmac, row.content_hmac, row.version = old.given_hmac, old.content_hmac, row.version + 1
        (sealed,) = self.workspace.keystore.seal([(record_key(row.id, row.version), plain)])
        session.add(VaultRow(record_id=row.id, ciphertext=sealed))
        write_again(session, row, kept)
        if (row.status, row.trunk_eligible) != admissible:
            displace(session, row.id)
        session.delete(old)
        session.flush()
        return kept
