"""What a notice says: which adapters to withdraw, or which source an erasure was about. Handles and digests, nothing else."""

from __future__ import annotations

from sqlmodel import Session, col, select

from lineage import builds, ledger
from lineage.database import in_chunks
from lineage.evidence import last_filed
from lineage.tables import ComposedAdapterRow, PartyRow, ShardAdapterRow

__all__ = ["said_to"]

ASKED = {
    "recipient": "Personal data was erased (Art. 17 and 19 GDPR). Stop using every adapter named under withdraw, and delete your "
    "copies and whatever you made from them. What serves instead is named beside it.",
    "upstream": "Records from the sources named here were erased (Art. 17 GDPR). The controller tells you separately whom it "
    "concerns; nothing about the person is in this notice.",
}  # fmt: skip


def said_to(session: Session, case_id: str, party: PartyRow) -> dict[str, object]:
    """What one party is told of a case: within its scope, or all of it."""
    signed = [e.payload for e in ledger.events_of_case(session, case_id) if e.kind == "case.signed_off"]
    said: dict[str, object] = {"asked": ASKED[party.kind]}
    if signed and "certificate" in signed[-1]:
        said["certificate"] = signed[-1]["certificate"]
    if party.kind == "upstream":
        sources = last_filed(session, case_id, "contract").get("sources_to_be_told", [])
        return {**said, "sources": [party.scope] if party.scope else sources}
    gone = _withdrawn(session, case_id)
    return {
        **said,
        "adapters": [
            {"adapter": name, "withdraw": sorted(digests), "serving": builds.current_release(session, name) or ""}
            for name, digests in sorted(gone.items())
            if party.scope in ("", name)
        ],
    }


def _withdrawn(session: Session, case_id: str) -> dict[str, set[str]]:
    """The composed and shard adapters that learnt from the records, by adapter: what served before, and what was destroyed."""
    contained, destroyed = (last_filed(session, case_id, kind) for kind in ("containment", "destruction"))
    gone = {name: {facts["before"]} - {"", None} for name, facts in contained.get("adapters", {}).items()}
    for table, kind in ((ComposedAdapterRow, "composed_adapters"), (ShardAdapterRow, "shard_adapters")):
        for chunk in in_chunks(destroyed.get(kind, [])):
            query = select(table.adapter, table.digest).where(col(table.digest).in_(chunk))
            for name, digest in session.exec(query).all():
                gone.setdefault(name, set()).add(digest)
    return gone
