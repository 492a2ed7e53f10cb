"""What an authentic certificate says of the ancestors of what is in service, for `lineage.verify`.

Standard library only, and no code of the modules that write certificates (`lineage.absence`). Nothing here judges
authenticity: call it with a predicate whose signatures were checked.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from lineage.attested import proof_holds

__all__ = ["Absence", "absence_of"]

NOTHING = sha256(b"").hexdigest()  # the root of an empty tree, and the "state" of a shard that never learnt anything
ID, ENTRY = 32, 64  # hex digits of half a record's id, and of a whole leaf: id and content
_HEX = re.compile(r"[0-9a-f]*")
FORGOTTEN = "forgotten with the purge of another case"  # what the limits must say where a redacted record has no proof


@dataclass(frozen=True, slots=True)
class Absence:
    """How much of the absence is proved and how much is only told; `wrong` is a sentence, empty if nothing is."""

    proofs: int
    proven: int
    told: int
    forgotten: int
    wrong: str = ""

    @property
    def sentence(self) -> str:
        """For the check, and for the summary."""
        ancestors = self.proven + self.told
        told = f" Of {self.told} ancestors it is told, not proved." if self.told else ""
        lost = f" Of {self.forgotten} redacted records it is told, not proved." if self.forgotten else ""
        if not self.proofs:
            return f"It carries no Merkle proofs, for {ancestors} ancestors.{told}{lost}"
        return f"{self.proofs} Merkle proofs of non-inclusion hold, under {self.proven} of {ancestors} ancestors.{told}{lost}"


def absence_of(predicate: Mapping[str, Any]) -> Absence:
    """Count what is proved, and find what is wrong with it.

    Raises:
        KeyError, TypeError, AttributeError, ValueError: a field does not have the form that its name promises.
    """
    ancestors, limits = predicate["ancestors"], predicate["limits"]
    proven = [ancestor for ancestor in ancestors if "unproven" not in ancestor]
    told = [ancestor for ancestor in ancestors if "unproven" in ancestor]
    claims = [_claim(ancestor) for ancestor in proven]
    decided = {entry["record"]: entry["decision"] for entry in predicate["decisions"]}
    redacted = {record for record, decision in decided.items() if decision == "redact"}
    lost = len(redacted - {record for record, _ in claims[0]}) if claims else 0
    wrong = "A Merkle proof of non-inclusion does not hold."
    if all(_all_hold(ancestor) for ancestor in proven):
        wrong = next(_wrong(predicate, told, claims, decided), "")
    if not wrong and lost and not any(FORGOTTEN in limit for limit in limits):
        wrong = "A redacted record has no proof, and the limits do not say why."
    return Absence(sum(len(claim) for claim in claims), len(proven), len(told), lost, wrong)


def _wrong(
    predicate: Mapping[str, Any], told: Sequence[Mapping[str, Any]], claims: Sequence[Sequence[tuple[str, str]]],
    decided: Mapping[str, str],
) -> Iterator[str]:  # fmt: skip
    if any(one["proofs"] or one["unproven"] not in predicate["limits"] for one in told):
        yield "An ancestor has no proof, and the limits do not say why."
    if any(claim != claims[0] for claim in claims):
        yield "An ancestor lacks a proof that another one has."
    if claims and not _each_has_its_own(claims[0], decided):
        yield "An erased record has no proof of its own, or a record that was neither erased nor redacted has one."
    if not _lineage_is_whole(predicate):
        yield "An ancestor of a shard of the adapters is missing."
    if not _slices_are_among(predicate["slices"], predicate["ancestors"]):
        yield "A changed slice is not among the ancestors with the root that it has after the erasure."


def _claim(ancestor: Mapping[str, Any]) -> list[tuple[str, str]]:
    return sorted((proof["record"], proof["absent"]) for proof in ancestor["proofs"])


def _all_hold(ancestor: Mapping[str, Any]) -> bool:
    """Each proof written out, and asked; leaves are of one width, or a key would not be the beginning of one."""
    leaves, nodes, size = ancestor["leaves"], ancestor["nodes"], ancestor["records"]
    try:
        ends = [
            {"leaf": end["leaf"], "index": end["index"], "size": size, "path": [nodes[place] for place in end["path"]]}
            for end in leaves
        ]
        spelled = [
            {"absent": proof["absent"]} | {side: ends[proof[side]] for side in ("left", "right") if side in proof}
            for proof in ancestor["proofs"]
        ]
    except IndexError:
        return False
    texts = [*(end["leaf"] for end in ends), *(one["absent"] for one in spelled)]
    wide = all(len(end["leaf"]) == ENTRY for end in ends) and all(_HEX.fullmatch(text) for text in texts)
    return wide and all(proof_holds(one, ancestor["root"]) for one in spelled)


def _each_has_its_own(claim: Sequence[tuple[str, str]], decided: Mapping[str, str]) -> bool:
    """An erased record is absent whatever it said; a redacted one with each of its old contents, or altogether."""
    keys: dict[str, list[int]] = {}
    for record, absent in claim:
        keys.setdefault(record, []).append(len(absent))
    erased = [keys.pop(record, []) for record, decision in decided.items() if decision == "erase"]
    only_redacted = all(decided.get(record) == "redact" for record in keys)
    widths = {width for found in keys.values() for width in found}
    distinct = len({absent for _, absent in claim}) == len(claim)
    return distinct and only_redacted and widths <= {ID, ENTRY} and all(found == [ID] for found in erased)


def _lineage_is_whole(predicate: Mapping[str, Any]) -> bool:
    """Are the parents of all ancestors listed, and where every shard began and ended, and no fewer slices than were built?"""
    states: set[tuple[str, str]] = set()
    needed: set[tuple[str, str]] = set()
    built: dict[tuple[str, int], int] = {}
    for one in predicate["ancestors"]:
        states.add((one["adapter"], one["state"]))
        if "parent" in one:
            needed.add((one["adapter"], one["parent"]))
        if "shard" in one:
            built[one["adapter"], one["shard"]] = built.get((one["adapter"], one["shard"]), 0) + 1
    for adapter in predicate["adapters"]:
        name = adapter["adapter"]
        for shard in adapter["shards"]:
            needed |= {(name, shard["start_digest"]), (name, shard["final_state_digest"])}
            if built.get((name, shard["shard"]), 0) < shard["slices_rebuilt"]:
                return False
        needed |= {(name, shard["final_state_digest"]) for shard in adapter["neighbours"]}
    return {(name, state) for name, state in needed if state != NOTHING} <= states


def _slices_are_among(slices: Sequence[Mapping[str, Any]], ancestors: Sequence[Mapping[str, Any]]) -> bool:
    there = {(a["adapter"], a.get("shard"), a["slice"], a["records"], a["root"]) for a in ancestors}
    after = {(s["adapter"], s["shard"], s["slice"], s["records_after"], s["root_after"]) for s in slices}
    return {change for change in after if change[3:] != (0, NOTHING)} <= there
