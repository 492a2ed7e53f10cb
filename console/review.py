"""The quarantine at the desk: the queue by reason, a record with its findings masked, release or block with a reason.

Every ruling is one call of `lineage.rulings`, about all the records it means or none. A bulk ruling is bound to a digest
of exactly the records whose count was read: what came in or went since makes it void.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import cast

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import FormData, QueryParams
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from console.access import read_form, signed_form, signed_in, workspace_of
from console.pages import render
from lineage.access import BrowserSession
from lineage.errors import RefusedByRule, WrongUsage
from lineage.review import REVIEWERS, Waiting, Which, look_at, queue, sources, tally
from lineage.rulings import BECAUSE, Ruling, Verb, allowed, rule

__all__ = ["ROUTES"]

ROWS = 100
DONE: dict[Verb, str] = {"release": "released", "block": "blocked"}
MARK = re.compile(r"(<[A-Z0-9_+]+>|\[[A-Z]+(?:[_-][A-Z]+)*\])")
AGES = {"": "any age", "7": "7 days or more", "14": "14 days or more", "30": "30 days or more", "60": "60 days or more"}
REASONS = {
    "art9_lexicon": "A word of the Art. 9 list",
    "ambiguous_name": "A name that several people share",
    "unknown_person": "A person who is not in the register",
    "unlisted_type": "A type the policy does not list",
    "weak_finding": "Looks like a blocked type, weakly",
    "quarantined_type": "A type the policy stops",
    "blocked_identifier": "A card number or the like",
    "near_erased": "Nearly the same as an erased record",
    "oversize": "Too long to be read",
    "language_not_covered": "A language without a policy",
    "scan_timeout": "The scan took too long",
    "scan_failed": "The scan failed",
    "redaction_unstable": "More to redact after the redaction",
}


def page(request: Request) -> Response:
    """The queue: counts by reason, filters, the records, and the forms of a bulk ruling."""
    browser = _reviewer(request)
    workspace, now = workspace_of(request), request.app.state.clock()
    days, chosen = workspace.settings.gate.quarantine_days, _filters(request.query_params)
    which = _which(chosen, now)
    with workspace.database.reader() as session:
        counts, known = tally(session), sources(session)
        items = queue(session, which, keep_days=days, limit=None if which.narrowed else ROWS)
    total = len(items) if which.narrowed else sum(counts.get(which.status, {}).values())
    bulk = {verb: allowed(items, verb) for verb in BECAUSE} if which.narrowed else {}
    return render(
        request, "review.html", browser=browser, items=items[:ROWS], more=max(0, total - ROWS), total=total,
        counts=counts, bulk={verb: (len(some), _bound(some)) for verb, some in bulk.items() if some}, chosen=chosen,
        sources=known, reasons=REASONS, ages=AGES, because=BECAUSE, keep_days=days, done=_done(request.query_params),
    )  # fmt: skip


def record(request: Request) -> Response:
    """One record with its findings masked. The look is logged."""
    browser = _reviewer(request)
    shown = look_at(workspace_of(request), _id_of(request), actor=browser.actor, now=request.app.state.clock())
    verbs = [verb for verb in BECAUSE if allowed([shown.waiting], verb)]
    return render(
        request, "review_record.html", browser=browser, item=shown.waiting, findings=shown.findings, verbs=verbs,
        segments=[(label, _pieces(text)) for label, text in shown.segments], because=BECAUSE, reasons=REASONS,
    )  # fmt: skip


async def decide(request: Request) -> Response:
    """Release or block one record."""
    return await run_in_threadpool(_decide, request, await read_form(request))


async def decide_many(request: Request) -> Response:
    """Release or block what a filter means."""
    return await run_in_threadpool(_decide_many, request, await read_form(request))


def _decide(request: Request, form: FormData) -> Response:
    browser, verb = _reviewer(request, form), _verb_of(request)
    return _ruled(request, browser, form, verb, [_id_of(request)])


def _decide_many(request: Request, form: FormData) -> Response:
    browser, verb = _reviewer(request, form), _verb_of(request)
    now = request.app.state.clock()
    which = _which(_filters(form), now)
    if not which.narrowed:
        raise WrongUsage("A bulk ruling needs a filter.", hint="Choose a reason, a source or an age first.")
    if form.get("sure") != "yes":
        raise WrongUsage("A bulk ruling must be confirmed.", hint="Tick the box above the button.")
    with workspace_of(request).database.reader() as session:
        items = allowed(queue(session, which), verb)
    if _bound(items) != form.get("digest"):
        raise RefusedByRule("The queue changed since you read it.", hint="Look at it again and count anew.")
    return _ruled(request, browser, form, verb, [item.record_id for item in items])


def _ruled(request: Request, browser: BrowserSession, form: FormData, verb: Verb, records: Sequence[str]) -> Response:
    ruling = Ruling(browser.actor, str(form.get("because", "")), request.app.state.clock())
    count = rule(workspace_of(request), verb, records, ruling)
    return RedirectResponse(f"/review?{DONE[verb]}={count}", 303)


def _reviewer(request: Request, form: FormData | None = None) -> BrowserSession:
    """The session of somebody who may review.

    Raises:
        HTTPException: 401 nobody is logged in; 403 another role, or a form that is not of this session.
    """
    browser = signed_in(request) if form is None else signed_form(request, form)
    if browser.actor.role not in REVIEWERS:
        raise HTTPException(403, f"Only the role {' or '.join(REVIEWERS)} may see the quarantine.")
    return browser


def _filters(given: QueryParams | FormData) -> dict[str, str]:
    """What was chosen; what is none of the choices counts as not chosen."""
    source, reason, age, status = (str(given.get(name, "")) for name in ("source", "reason", "age", "status"))
    return {
        "reason": reason if reason in REASONS else "", "source": source[:200], "age": age if age in AGES else "",
        "status": status if status in ("quarantined", "blocked") else "quarantined",
    }  # fmt: skip


def _which(chosen: dict[str, str], now: datetime) -> Which:
    before = now - timedelta(days=int(chosen["age"])) if chosen["age"] else None
    return Which(reason=chosen["reason"], source=chosen["source"], status=chosen["status"], before=before)


def _bound(items: Sequence[Waiting]) -> str:
    """What a bulk ruling is bound to: exactly these records."""
    return hashlib.sha256("".join(sorted(item.record_id for item in items)).encode()).hexdigest()


def _done(given: QueryParams) -> tuple[str, int] | None:
    """What the last ruling did, from the address it sent the browser to."""
    for verb, word in DONE.items():
        if (count := given.get(word, "")).isdecimal() and len(count) < 9:
            return verb, int(count)
    return None


def _pieces(text: str) -> list[tuple[str, str]]:
    """A masked text in pieces: ("text" | "mark", piece)."""
    return [("mark" if i % 2 else "text", piece) for i, piece in enumerate(MARK.split(text)) if piece]


def _id_of(request: Request) -> str:
    record_id: str = request.path_params["record_id"]
    return record_id


def _verb_of(request: Request) -> Verb:
    verb = request.path_params["verb"]
    if verb not in BECAUSE:
        raise HTTPException(404)
    return cast("Verb", verb)


ROUTES = [
    Route("/review", page),
    Route("/review/all/{verb}", decide_many, methods=["POST"]),
    Route("/review/{record_id}", record),
    Route("/review/{record_id}/{verb}", decide, methods=["POST"]),
]
