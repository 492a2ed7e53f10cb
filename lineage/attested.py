"""What an authentic certificate says, for `lineage.verify`: Merkle proofs, the adapter directory, a summary in lines.

Standard library only, and no code of the modules that write certificates. Nothing here judges authenticity: call it with a
predicate whose signatures were checked.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from hashlib import file_digest, sha256
from pathlib import Path, PurePosixPath
from typing import Any

__all__ = ["adapter_difference", "contradiction_of_probes", "proof_holds", "summary_lines"]

RESTS = "the sign-off rests on lineage and re-derivation"  # what such a probe has to say; `soundness` spells it too
TOLERATED = frozenset({"README.md"})  # the model card: no loader reads it as weights or configuration


# --- Merkle proofs: RFC 6962, section 2.1, written as its recursion ---------------------------------------------------


def proof_holds(proof: Mapping[str, Any], root: str) -> bool:
    """Does no leaf under this root (hex) begin with the proof's `absent` (hex)?"""
    try:
        return _is_absent(proof, root)
    except (ValueError, KeyError, TypeError, IndexError, AttributeError, RecursionError):
        return False


def _is_absent(proof: Mapping[str, Any], root: str) -> bool:
    """Neighbours under the same root, next to each other (or at an end), with the absent beginning strictly between them.

    All that begin with it would stand from there on, so the larger neighbour must not be the first of them.
    """
    absent, left, right = bytes.fromhex(proof["absent"]), proof.get("left"), proof.get("right")
    for end in (left, right):
        if end and not (
            0 <= end["index"] < end["size"] and _root(end, end["index"], end["size"], end["path"]).hex() == root
        ):
            return False
    if left and not bytes.fromhex(left["leaf"]) < absent:
        return False
    if right and (not absent < bytes.fromhex(right["leaf"]) or bytes.fromhex(right["leaf"]).startswith(absent)):
        return False
    if left and right:
        return bool(left["size"] == right["size"] and left["index"] + 1 == right["index"])
    if left:
        return bool(left["index"] == left["size"] - 1)
    return right["index"] == 0 if right else root == sha256(b"").hexdigest()


def _root(end: Mapping[str, Any], index: int, size: int, path: Sequence[str]) -> bytes:
    if size == 1:
        if path:
            raise ValueError
        return sha256(b"\x00" + bytes.fromhex(end["leaf"])).digest()
    half, sibling = 1 << ((size - 1).bit_length() - 1), bytes.fromhex(path[-1])
    if index < half:
        return sha256(b"\x01" + _root(end, index, half, path[:-1]) + sibling).digest()
    return sha256(b"\x01" + sibling + _root(end, index - half, size - half, path[:-1])).digest()


# --- the adapter directory ----------------------------------------------------------------------------------------------


def adapter_difference(subjects: Sequence[Any], folder: Path) -> str:
    """How a directory differs from the certified adapter, in a sentence; empty when it is that adapter, byte for byte.

    Folders in the subjects' names tell several adapters apart, and the shards of one that are served side by side: the
    directory must be one of them, or all of them together. README.md may be there without being listed.

    Raises:
        OSError: the directory or a file in it cannot be read.
    """
    next(folder.iterdir(), None)  # a directory that is not there must not pass for an empty one
    entries = list(folder.rglob("*"))
    present = {path.relative_to(folder).as_posix(): _sha256(path) for path in entries if path.is_file()}
    used = {parent for path in entries if path.is_file() for parent in path.parents}
    extra = sum(not path.is_file() and path not in used for path in entries)
    problems = [_difference(files, present, extra=extra) for files in _adapters(subjects)]
    if "" in problems:
        return ""
    return problems[0] if len(problems) == 1 else "The directory is none of the certified adapters."


def _adapters(subjects: Sequence[Any]) -> list[dict[str, str]]:
    """The certified files below each folder of the subjects' names, and of all of them, by their names from there."""
    digests = {subject["name"]: subject["digest"]["sha256"] for subject in subjects}
    folders = {f"{parent}/" for name in digests for parent in PurePosixPath(name).parents} - {"./"} | {""}
    return [
        {name.removeprefix(folder): sha for name, sha in digests.items() if name.startswith(folder)}
        for folder in sorted(folders)
    ]


def _difference(certified: Mapping[str, str], present: Mapping[str, str], *, extra: int) -> str:
    for name in sorted(certified):
        if name not in present:
            return f"The certified file {name} is missing from the directory."
        if present[name] != certified[name]:
            return f"The file {name} is not the certified one: its bytes differ."
    unlisted = sum(name.rpartition("/")[2] not in TOLERATED for name in set(present) - set(certified)) + extra
    return f"The directory holds {unlisted} entries that the certificate does not list." if unlisted else ""


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return file_digest(file, "sha256").hexdigest()


# --- what the probes said ----------------------------------------------------------------------------------------------


def contradiction_of_probes(probes: Sequence[Mapping[str, Any]], adapters: Sequence[Mapping[str, Any]]) -> str:
    """What cannot be true of the probes together, in a sentence; empty if nothing is wrong."""
    if not _stages_belong_together(probes):
        return "A second stage of the probes lacks the first one's FAIL, or the first its second."
    if not _silence_is_told(probes, adapters):
        return f"The probes saw nothing even before, but it is not said, or not true, that {RESTS}."
    if not all(_map_agrees(probe["shard_map"], probe["verdict"]) for probe in probes if "shard_map" in probe):
        return "A shard map and its verdict do not belong together."
    return ""


def _map_agrees(found: Mapping[str, Any], verdict: str) -> bool:
    """Only a drawn map lights shards up, afterwards only beside a FAIL; its rank lies among those it is a rank of."""
    drawn = all(f"p_{when}" in found or not found[f"lit_{when}"] for when in ("before", "after"))
    if "rank" in found or "rank_of" in found:
        drawn = drawn and "p_after" in found and 1 <= found["rank"] <= found["rank_of"]
    return drawn and (verdict == "FAIL" or not found["lit_after"])


def _stages_belong_together(probes: Sequence[Mapping[str, Any]]) -> bool:
    """Does every second stage stand behind the FAIL of a first one of the same level, and every first before a second?

    Without this, a FAIL could be left out of a certificate and only the friendlier second answer shown.
    """
    staged: dict[str, list[tuple[object, object]]] = {}
    for probe in probes:
        staged.setdefault(probe["level"], []).append((probe.get("stage"), probe["verdict"]))
    told = [found for found in staged.values() if any(stage is not None for stage, _ in found)]
    return all(len(found) == 2 and found[0] == (1, "FAIL") and found[1][0] == 2 for found in told)


def _silence_is_told(probes: Sequence[Mapping[str, Any]], adapters: Sequence[Mapping[str, Any]]) -> bool:
    """Does every probe that did not see the person before either say what the sign-off rests on, and does it rest there?

    Without this, a test that could not have found anything would read like one that found nothing.
    """
    silent = [probe for probe in probes if probe["reason"].startswith("NO_PRE_SIGNAL")]
    told = all(probe["verdict"] == "INCONCLUSIVE" and RESTS in probe["reason"] for probe in silent)
    derived = [adapter["rederivation"] for adapter in adapters]
    return told and (not silent or all(d["states_equal"] == d["states_compared"] for d in derived))


# --- summary -----------------------------------------------------------------------------------------------------------


def summary_lines(predicate: Mapping[str, Any], absence: str) -> Iterator[str]:
    """The certificate in lines that a person understands, verdict first and limits last; `absence` says what is proved."""
    request, slices, adapters = predicate["request"], predicate["slices"], predicate["adapters"]
    decisions = [entry["decision"] for entry in predicate["decisions"]]
    counts = ", ".join(f"{decisions.count(name)} {name}" for name in sorted(set(decisions))) or "none"
    verdicts = ", ".join(_verdict(probe) for probe in predicate["probes"]) or "no probe"
    grades = sorted({adapter["rederivation"]["grade"] for adapter in adapters}, reverse=True) or ["none"]
    destroyed = ", ".join(f"{entry['count']} {entry['kind']}" for entry in predicate["destroyed"]) or "nothing"
    before, after = (sum(change[f"records_{when}"] for change in slices) for when in ("before", "after"))
    stores = ", ".join(
        f"{one['store']} ({one['records_found']} of {one['items_searched']})" for one in predicate["search"]["stores"]
    )
    yield f"Verdict of the probes: {verdicts}"
    silent = (probe["reason"] for probe in predicate["probes"] if RESTS in probe["reason"])
    yield from (f"Why the probes cannot tell: {reason.partition(': ')[2]}" for reason in silent)
    mapped = (probe for probe in predicate["probes"] if "shard_map" in probe)
    yield from (f"Where the person stood out, {probe['level']}: {probe['shard_map']['result']}" for probe in mapped)
    yield f"Grade of the retraining: {grades[0]} (A: re-derived in a second process; B: by construction)"
    yield f"Certificate {predicate['certificate']} of {predicate['controller']}, issued {predicate['issued']}"
    yield f"Case {request['case']}: received {request['received']}, due {request['due']}, ground {request['ground']}"
    yield f"Records found, by store: {stores}; decided: {counts}"
    scanners = (predicate["search"]["scanner"], *predicate["search"].get("further_scanners", ()))
    yield f"Scanned by: {'; '.join(_tier(scanner) for scanner in scanners)}"
    yield f"{len(adapters)} adapters, {len(slices)} slices: {before} records before, {after} after"
    yield f"Absence from what is in service: {absence}"
    yield f"Neighbouring records unchanged: {predicate['neighbours_unchanged']}"
    yield f"Destroyed: {destroyed}"
    yield f"To be told: {len(predicate['to_be_told'])}; backups that still expire: {len(predicate['backups'])}"
    yield f"Ledger: {predicate['ledger']['length']} events, head {predicate['ledger']['digest'][:16]}"
    yield from (f"Limit of the claim: {limit}" for limit in predicate["limits"])


def _verdict(probe: Mapping[str, Any]) -> str:
    stage = {1: ", first stage", 2: ", second stage, which decides"}.get(probe.get("stage", 0), "")
    return f"{probe['verdict']} ({probe['level']}{stage})"


def _tier(scanner: Mapping[str, Any]) -> str:
    return f"{scanner['tier']}, {scanner['records']} records" if "records" in scanner else str(scanner["tier"])
