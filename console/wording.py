"""How the desk says things: stages in plain words, the road as a timeline, numbers with their units."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from lineage.case_view import Beside, CaseView
from lineage.chain import Event
from lineage.derived_bounds import REASONS
from lineage.sightings import why_found
from lineage.stages import ROAD, UNFULFILLED, Stage

__all__ = [
    "BESIDE",
    "DECISIONS",
    "EVENT_WORDS",
    "FILTERS",
    "LETTER_WORDS",
    "NOTICE_WORDS",
    "STAGES",
    "STEP_FORMS",
    "StageWords",
    "StepForm",
    "Stop",
    "timeline",
]

NOTHING = "–"


@dataclass(frozen=True)
class StageWords:
    """A stage for people: a label, its tone (wait, run, done, stop) and what it means."""

    label: str
    tone: str
    meaning: str


STAGES: Mapping[Stage, StageWords] = {
    Stage.RECEIVED: StageWords("Received", "run", "The request is in."),
    Stage.IDENTITY_CHECK: StageWords("Who asks?", "wait", "There are reasonable doubts who asks, and the person was asked. The clock stands still until the doubt is gone (Art. 12(6) GDPR); then the search begins anew."),
    Stage.ASSESSMENT: StageWords("Searching", "run", "Every record is being searched for this person. The preview follows by itself."),
    Stage.SEARCHED: StageWords("Nothing found", "wait", "The register does not know the person, and no record holds what they gave. A DPO reads the report of the search and decides: nothing is held; or asks for another identifier (Art. 11 and 12(2) GDPR), refuses, and has it filed again."),
    Stage.PREVIEW_READY: StageWords("Preview ready", "wait", "What would be erased is known. A DPO reads it and approves exactly this preview, or refuses."),
    Stage.APPROVED: StageWords("Approved", "run", "The erasure is approved and starts by itself. First the person's data is taken out of service."),
    Stage.CONTAINED: StageWords("Contained", "run", "The release in service no longer rests on the person's records. Rebuilding follows."),
    Stage.EXECUTING: StageWords("Rebuilding", "run", "Only the affected parts of the adapters are trained again, without the person."),
    Stage.VERIFYING: StageWords("Verifying", "run", "The result is derived a second time and probed for what it might still remember."),
    Stage.EVIDENCE_READY: StageWords("Evidence ready", "wait", "Nothing has been destroyed yet. A DPO reads the evidence and approves the purge on it."),
    Stage.PURGE_APPROVED: StageWords("Purging", "run", "Texts, keys and old weights are being destroyed. This cannot be undone."),
    Stage.PURGED: StageWords("Purged", "wait", "Everything approved is destroyed. A DPO signs the certificate that the pipeline has signed."),
    Stage.SIGNED_OFF: StageWords("Signed off", "done", "The certificate carries both signatures. Tell the person, and the sources listed below; the case closes when you have said that the person was told."),
    Stage.NOTIFYING: StageWords("Being told", "run", "Those who received the data, and the sources it came from, are being told. The case closes when all have acknowledged it and the person was told."),
    Stage.CLOSED: StageWords("Closed", "done", "The person was told, and every party that had to be told has acknowledged it, or a DPO waived that."),
    Stage.NOT_FOUND: StageWords("Not found", "stop", "A DPO decided on the report of the search that nothing of this person is held. That is a finding and not an erasure. The person must hear so, and that they can give another identifier, complain to an authority or go to court."),
    Stage.REFUSED: StageWords("Refused", "stop", "The request was refused. The person must hear the reason and that they can complain to an authority or go to court (Art. 12(4) GDPR)."),
    Stage.WITHDRAWN: StageWords("Withdrawn", "stop", "The person took the request back. Nothing was destroyed, and what was out of service is learnt again by the next training."),
    Stage.FAILED: StageWords("Failed", "stop", "A job gave up. Nothing is half done: a retry goes on at the step that failed."),
}  # fmt: skip

BESIDE: Mapping[Beside, str] = {
    Beside.CLOCK_PAUSED: "Clock stands still", Beside.EXTENDED: "Extended", Beside.ON_HOLD: "Legal hold",
    Beside.PARTLY_REFUSED: "Refused in part", Beside.REOPENED: "Reopened",
}  # fmt: skip
STOPS = {
    Stage.ASSESSMENT: "Search", Stage.PREVIEW_READY: "Preview", Stage.APPROVED: "Approval", Stage.CONTAINED: "Containment",
    Stage.EXECUTING: "Rebuild", Stage.VERIFYING: "Verification", Stage.EVIDENCE_READY: "Evidence",
    Stage.PURGE_APPROVED: "Purge", Stage.PURGED: "Signature", Stage.SIGNED_OFF: "Certificate",
}  # fmt: skip

EVENT_WORDS = {
    "case.received": "Request filed", "case.assessment": "Search started", "case.searched": "Nothing found", "case.not_found": "Decided: nothing is held", "case.recognised": "Found in the register since", "case.forgotten": "The case forgot whom it was about",
    "case.preview_ready": "Preview ready", "case.approved": "Erasure approved", "case.contained": "Taken out of service",
    "case.executing": "Rebuild started", "case.verifying": "Verification started", "case.evidence_ready": "Evidence ready",
    "case.purge_approved": "Purge approved", "case.purged": "Purged", "case.signed_off": "Certificate signed",
    "case.notifying": "Notices made", "case.started": "A job was started by hand", "case.closed": "Closed",
    "letter.written": "Letter to the person written", "letter.told": "The person was told",
    "notice.made": "Notice made", "notice.sent": "Notice sent", "notice.failed": "Notice not acknowledged", "notice.dead": "Notice given up on",
    "notice.acknowledged": "Notice acknowledged", "notice.waived": "Notice waived", "notice.retried": "Notice tried again",
    "supplement.prepared": "Supplement prepared", "supplement.signed": "Supplement signed",
    "probe.registered": "Probe protocol fixed", "case.refused": "Refused", "case.failed": "A job failed", "case.extended": "Time limit extended",
    "case.identity_check": "Asked who it is", "case.withdrawn": "Taken back", "case.alarm": "Time is running out",
    "record.decided": "Decided about a record", "record.held": "A record was held", "record.hold_lifted": "A record was let go",
    "record.goes_on": "A record goes on in a case of its own", "redactions.taken_back": "Redactions taken back",
    "case.held": "Legal hold placed", "case.hold_lifted": "Legal hold lifted", "record.viewed": "A record was opened",
    "inventory.retired": "A derived file was deleted", "inventory.not_reached": "A derived file was not reached",
    "lineage.audited": "Lineage audited on the weights", "lineage.copy_missed": "The weights know a person where lineage does not",
}  # fmt: skip


@dataclass(frozen=True)
class StepForm:
    """What a step asks for: a sentence and a day, each under its label, or not at all."""

    advice: str
    sentence: str = "Reason"
    day: str = ""


STEP_FORMS: Mapping[str, StepForm] = {
    "refuse": StepForm("The person reads this reason (Art. 12(4) GDPR). Do not name them here."),
    "extend": StepForm("Two further months, once. The person must be told inside the first, with this reason (Art. 12(3) GDPR). Do not name them here."),
    "hold": StepForm("Nothing of this case is destroyed while a hold stands (Art. 17(3)(e) GDPR). Do not name the person here."),
    "doubt": StepForm("There are reasonable doubts who asks, and you asked them for more (Art. 12(6) GDPR). From that day the clock stands still, and an approval is taken back.", "", "They were asked on"),
    "confirm": StepForm("The clock runs again; the due date is reckoned from receipt, with the pause. Do not name anybody here.", "How they showed who they are", "They answered on"),
    "withdraw": StepForm("The case ends. Nothing is destroyed, and what was out of service is learnt again by the next training.", "How the person said so"),
}  # fmt: skip

LETTER_WORDS = {
    "interim": "that the request has come in", "extended": "that it takes longer, and why", "refused": "the refusal, and its reason",
    "not_found": "that nothing was found", "granted": "what was done", "partly": "what was done, and what is kept and why",
}  # fmt: skip
NOTICE_WORDS = {
    "pending": "waits to be told", "sent": "is being told", "acknowledged": "acknowledged it", "dead": "was given up on",
    "waived": "is not waited for",
}  # fmt: skip

DECISIONS = {
    "erase": "To erase", "redact": "To redact", "already_redacted": "Redacted before anything learnt from it", "keep": "Kept",
    "candidate": "To be decided: a near copy?", "unrelated": "No copy",
}  # fmt: skip


@dataclass(frozen=True)
class Stop:
    """A stop on the road. `state` is done, here, failed, stopped or todo; `at` is when it was last reached."""

    label: str
    state: str
    at: datetime | None


def timeline(case: CaseView, events: Sequence[Event]) -> list[Stop]:
    """The road of a case, from search to certificate, and where it stands or left the road."""
    reached = {event.kind.removeprefix("case.").upper(): event.at for event in events}
    if case.stage in UNFULFILLED:
        past = [stage for stage in STOPS if stage in reached] or [Stage.ASSESSMENT]
        stops = [Stop(STOPS[stage], "done", reached.get(stage, reached.get(Stage.RECEIVED))) for stage in past]
        return [*stops, Stop(STAGES[case.stage].label, "stopped", reached.get(case.stage))]
    failed = case.stage == Stage.FAILED
    stage = Stage.ASSESSMENT if case.stage == Stage.SEARCHED else case.stage
    here = ROAD.index(Stage(case.resume_stage) if failed else stage)
    return [_stop(stage, ROAD.index(stage) - here, failed=failed, at=reached.get(stage)) for stage in STOPS]


def _stop(stage: Stage, ahead: int, *, failed: bool, at: datetime | None) -> Stop:
    if ahead > 0:
        return Stop(STOPS[stage], "todo", None)
    if ahead < 0 or stage == Stage.SIGNED_OFF:
        return Stop(STOPS[stage], "done", at)
    return Stop(STOPS[stage], "failed" if failed else "here", at)


def days(count: int) -> str:
    """Days to the due date in words."""
    if count < 0:
        return f"{-count} day{'s' if count < -1 else ''} overdue"
    return "due today" if count == 0 else f"{count} day{'s' if count > 1 else ''} left"


def short(digest: object) -> str:
    """The first twelve characters of a digest or handle."""
    return digest[:12] if isinstance(digest, str) and digest else NOTHING


def number(value: object) -> str:
    """A count or a measured quantity, for people."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return value if isinstance(value, str) and value else NOTHING
    return f"{value:,}" if isinstance(value, int) else f"{value:.3g}"


def chance(value: object) -> str:
    """A p-value, without powers of ten."""
    measured = _measured(value)
    return "< 0.0001" if measured is not None and 0 <= measured < 0.0001 else number(value)


def percent(value: object) -> str:
    """A fraction in percent."""
    measured = _measured(value)
    return NOTHING if measured is None else f"{100 * measured:.1f} %"


def seconds(value: object) -> str:
    """A duration given in seconds."""
    measured = _measured(value)
    if measured is None:
        return NOTHING
    if measured < 90:
        return f"{measured:.1f} s" if measured < 10 else f"{measured:.0f} s"
    return f"{measured / 60:.0f} min" if measured < 5400 else f"{measured / 3600:.1f} h"


def amount(value: object) -> str:
    """How many: a count, the length of a list, or the sum over a table."""
    match value:
        case list():
            return number(len(value))
        case Mapping():
            return number(sum(part for part in value.values() if isinstance(part, int)))
        case _:
            return number(value)


def per_adapter(body: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """The facts of each adapter in a piece of evidence."""
    adapters = body.get("adapters", body)
    return {name: facts for name, facts in adapters.items() if isinstance(facts, Mapping)}


def probe_rows(probe: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """(probe, old adapter, new adapter) for the table a DPO reads; models are named `pre_<shard>`, `post_<shard>`."""
    pre, post = (
        {"membership": p} if not isinstance(p, Mapping) else p for p in (probe.get("p_pre"), probe.get("p_post"))
    )
    rows = [(f"p-value, {name}", chance(pre[name]), chance(post.get(name))) for name in pre]
    for what, title in (("extraction", "extracted"), ("exposure", "exposure rank")):
        models: Mapping[str, Any] = probe.get(what) or {}
        for name in (name for name in models if "pre" in name.split("_")):
            before, after = models[name] or {}, models.get(name.replace("pre", "post")) or {}
            where = name.replace("pre", "").strip("_")
            place = f", shard {where}" if where.isdigit() else where and f", {where}"
            rows += [(f"{kind} {title}{place}", number(before[kind]), number(after.get(kind))) for kind in before]
    return rows


def _measured(value: object) -> float | None:
    """A measured quantity: evidence writes it as a decimal string, because canonical JSON has no safe fractions."""
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return None
    try:
        return float(value)
    except ValueError:
        return None


def day(value: date) -> str:
    """A date, written out: 2 March 2026."""
    return f"{value.day} {value:%B %Y}"


def instant(value: datetime | None) -> str:
    """A time in UTC to the minute."""
    return f"{value:%Y-%m-%d %H:%M} UTC" if value else ""


def detail(payload: Mapping[str, Any]) -> str:
    """What a ledger event says besides who and which case; digests shortened."""
    parts = (f"{key} {_brief(value)}" for key, value in payload.items() if key not in ("case", "by"))
    return ", ".join(parts)


def _brief(value: object) -> str:
    text = str(value)
    return text[:12] if len(text) == 64 else text


FILTERS = {
    "amount": amount, "chance": chance, "per_adapter": per_adapter, "probe_rows": probe_rows, "days": days, "short": short, "number": number, "percent": percent, "seconds": seconds, "day": day,
    "instant": instant, "detail": detail, "why": why_found, "spared": lambda why: REASONS.get(why, why),
}  # fmt: skip
