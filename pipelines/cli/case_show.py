"""`lethe erase show|preview|open`: what there is to read about a case, and one of its records under a name and a reason."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pipelines.cli.case_decide import actor_of
from pipelines.cli.options import acting, actor_option, json_option, opened, say, show, workspace_option

if TYPE_CHECKING:
    from lineage.dossier import CaseDossier
    from lineage.viewing import Piece

LISTED_RECORDS = 30
BESIDE = {
    "CLOCK_PAUSED": "the clock stands still: the person was asked who they are", "EXTENDED": "extended by two months",
    "ON_HOLD": "under legal hold", "PARTLY_REFUSED": "refused in part: records are kept", "REOPENED": "in a further round",
}  # fmt: skip
DECISIONS = {
    "candidate": "to be decided", "erase": "to erase", "redact": "to redact", "already_redacted": "redacted at ingest",
    "unrelated": "no copy", "keep": "kept",
}  # fmt: skip


@click.command("show")
@click.argument("case_id")
@workspace_option
@json_option
def show_(case_id: str, workspace_dir: Path | None, as_json: bool) -> None:
    """Everything about a case: stage, clock, evidence, runs.

    \b
    Example:
      lethe erase show CASE
    """
    from lineage.dossier import read_case

    found = read_case(opened(workspace_dir), case_id, now=datetime.now(UTC))

    def lines() -> None:
        say(f"{found.case.id}  {found.case.stage}  due {found.case.due_on}  ({found.case.due_basis})")
        if found.case.problem:
            say(f"  problem: {found.case.problem}")
        for beside in found.case.beside:
            say(f"  {BESIDE[beside]}")
        if found.case.reopen_reason:
            say(f"  reopened: {found.case.reopen_reason}")
        in_vain = found.case.stage in ("SEARCHED", "NOT_FOUND") and "search_report" in found.evidence
        for line in _report_lines(found.evidence["search_report"]) if in_vain else _records(found.evidence):
            say(line)
        for event in found.events:
            say(f"  {event.at:%Y-%m-%d %H:%M}  {event.kind}")
        for line in (*files_told(found), *_telling(found), *_papers(found)):
            say(line)

    show(found.as_json(), as_json=as_json, lines=lines)


def files_told(found: CaseDossier) -> Iterator[str]:
    """What became of the derived files that the purge was to delete."""
    from lineage.derived_bounds import REASONS

    for file in found.evidence.get("destruction", {}).get("derived_files", ()):
        why = f"not reached: {REASONS[file['reason']]}" if "reason" in file else file["result"]
        yield f"  {file['file']} was {why}"


def _telling(found: CaseDossier) -> Iterator[str]:
    """What the case waits for, the letters to the person, and what may be done next."""
    if found.standing.waits_for:
        yield f"  waits for {found.standing.waits_for}"
    for kind, letter in found.letters.items():
        told = f"told on {letter['told_on']}" if "told_on" in letter else "written, not told yet"
        yield f"  letter {kind}: {told}"
    for step in found.next_steps:
        yield f"  next: {step.label} ({' or '.join(role.value for role in step.roles)})"


def _papers(found: CaseDossier) -> Iterator[str]:
    """Where the reports and the certificate lie; while it waits for the DPO, how to read it and how to sign what was read."""
    named = (("report", found.report), ("second stage", found.second_report), ("certificate", found.certificate))
    yield from (f"  {label}: {path}" for label, path in named if path)
    if found.half_signed:
        yield f"  read it: lethe certificate show {found.half_signed.path}"
        yield f"  sign it: lethe erase sign {found.case.id} --digest {found.half_signed.digest}"


@click.command("preview")
@click.argument("case_id")
@workspace_option
@actor_option
@json_option
def preview(case_id: str, workspace_dir: Path | None, actor_name: str, as_json: bool) -> None:
    """Find every record the erasure must reach and what it costs; prints the digest that an approval binds.

    \b
    Example:
      lethe erase preview CASE --as max
    """
    from lineage.dossier import read_case
    from pipelines.launch import run_case_job

    workspace = opened(workspace_dir)
    run_case_job(workspace, "case_preview", case_id, actor=actor_of(workspace, actor_name))
    found = read_case(workspace, case_id, now=datetime.now(UTC))
    if found.case.stage == "SEARCHED":
        report = found.evidence["search_report"]
        body = {"case": case_id, "digest": found.case.preview_digest, "search_report": report}
        show(body, as_json=as_json, lines=lambda: _say_report(case_id, report, found.case.preview_digest))
        return
    contract, forecast = found.evidence["contract"], found.evidence["forecast"]
    body = {"case": case_id, "digest": found.case.preview_digest, "contract": contract, "forecast": forecast,
            "sightings": found.evidence["sightings"]}  # fmt: skip
    show(body, as_json=as_json, lines=lambda: _say_preview(case_id, found.evidence, found.case.preview_digest))


def _say_report(case_id: str, report: Mapping[str, Any], digest: str) -> None:
    """Where nothing was found, with what, and how to decide on it."""
    say(
        f"{case_id}: nothing was found. The register does not know the person; the identifiers given were searched for."
    )
    for line in _report_lines(report):
        say(line)
    say(f"  decide so: lethe erase not-found {case_id} --digest {digest}")


def _report_lines(report: Mapping[str, Any]) -> Iterator[str]:
    """The report of a search, without any value."""
    stores = ", ".join(f"{one['store']} {one['searched']} ({one['found']} found)" for one in report["stores"])
    yield f"  searched: {stores}"
    yield f"  for: {', '.join(f'{count} {kind}' for kind, count in report['forms'].items())}"
    yield f"  scanned at ingest by: {'; '.join(report['scanners']) or 'nothing is admitted'}"
    if report["blind_spots"]:
        yield f"  cannot see: {report['blind_spots']}"


def _say_preview(case_id: str, evidence: Mapping[str, Any], digest: str) -> None:
    """What the erasure reaches and costs, and how to approve it."""
    contract, forecast = evidence["contract"], evidence["forecast"]
    records = contract["records"]
    counts = Counter(r["decision"] for r in records)
    redacting = f"{counts['redact']} of others to redact, " if counts["redact"] else ""
    say(f"{case_id}: {counts['erase']} records to erase, {redacting}{counts['already_redacted']} already redacted.")
    if counts["candidate"]:
        say(
            f"  {counts['candidate']} of others may be near copies. First: lethe erase decide {case_id} RECORD erase|unrelated"
        )
    for ground, count in sorted(Counter(r["ground"] for r in records if r["decision"] == "keep").items()):
        say(f"  {count} kept: {ground}")
    for line in _records(evidence):
        say(line)
    for name, cost in forecast["adapters"].items():
        shards = ", ".join(_told(part) for part in cost["affected"]) or "none"
        say(f"  {name}: shards {shards}; {cost['steps']} of {cost['full_steps']} steps "
            f"({cost['fraction']:.1%} of a full retrain), about {cost['seconds_estimate']:.0f} s")  # fmt: skip
        for words, part in (
            ("the probes", cost["probes"]["first"]),
            ("after a FAIL the probes", cost["probes"]["if_fail"]),
        ):
            if part["extra_adapters"]:
                say(f"    {words} train {part['extra_adapters']} extra adapters for a while: {part['steps']} steps")
    for party in contract.get("parties_to_be_told", ()):
        say(f"  outside this workspace, to be told: {party['whom']} ({party['kind']})")
    for file in contract.get("derived_files", ()):
        how = "deleted by the purge" if file.get("deleted_by_machine") else "to be withdrawn"
        say(f"  outside this workspace, {how}: {file['file']} ({file['kind']})")
    for source in contract["sources_to_be_told"]:
        say(f"  outside this workspace, to be told: the source {source}")
    say(f"  approve it: lethe erase approve {case_id} --digest {digest}")


def _told(part: Mapping[str, Any]) -> str:
    """An affected shard of a forecast."""
    whole = " (all of it: its environment changed)" if part["drifted"] else ""
    return f"{part['shard']} from slice {part['first_slice']}{whole}"


def _records(evidence: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    """A line for each record of the closure: its handle, what happens to it, and why it was found. Never a text."""
    from lineage.sightings import why_found

    records = evidence.get("contract", {}).get("records", [])
    sightings = evidence.get("sightings", {}).get("records", {})
    near = evidence.get("sightings", {}).get("near", {})
    order = list(DECISIONS)
    for record in sorted(records, key=lambda r: (order.index(r["decision"]), r["handle"]))[:LISTED_RECORDS]:
        why = why_found(record["relation"], sightings.get(record["handle"], ()))
        for pair in near.get(record["handle"], ())[:1]:
            why += f" ({pair['of'][:12]}, similarity {pair['similarity']:.2f})"
        yield f"  {record['handle'][:12]}  {DECISIONS[record['decision']]:18}  {why}"
    if len(records) > LISTED_RECORDS:
        yield f"  and {len(records) - LISTED_RECORDS} more records, with --json"


@click.command("open")
@click.argument("case_id")
@click.argument("record")
@click.option("--reason", required=True, help="Why, in a sentence without personal data; it stands in the ledger.")
@workspace_option
@actor_option
@json_option
def open_(case_id: str, record: str, reason: str, workspace_dir: Path | None, actor_name: str, as_json: bool) -> None:
    """Show the text of one record of a case to a DPO, and write down who looked and why.

    RECORD is the handle that the preview lists, or its beginning. [[...]] are forms of the person, <...> masks others.

    \b
    Example:
      lethe erase open case-b1653c7e 3f2a9c1b04de --as dana --reason "Is it the same Ann?"
    """
    from lineage.viewing import open_record

    workspace = opened(workspace_dir)
    with workspace.database.reader() as session:
        actor = acting(session, actor_name)
    found = open_record(workspace, case_id, record, actor=actor, reason=reason, now=datetime.now(UTC))

    def lines() -> None:
        say(f"{case_id}  {found.listed.handle[:12]}  {DECISIONS[found.listed.decision]}  ({found.listed.relation})")
        for segment in found.segments:
            say(f"  {segment.name}: {''.join(_shown(piece) for piece in segment.pieces)}")
        say("  This look is written down in the ledger.")

    show(asdict(found), as_json=as_json, lines=lines)


def _shown(piece: Piece) -> str:
    own = piece.entity_type and not piece.masked
    return f"[[{piece.entity_type}: {piece.text}]]" if own else piece.text
