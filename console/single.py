"""What a DPO decides about one record of a case: kept with an exception, erased, redacted, found unrelated; or held."""

from __future__ import annotations

from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import FormData
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from console.access import case_id_of, read_form, signed_form, signed_in, text_of, workspace_of
from console.pages import render
from console.records import listed_of
from lineage import desk, dossier
from lineage.access import BrowserSession
from lineage.decisions import AS_FOUND, EXCEPTIONS, Choice, decisions_of
from lineage.errors import WrongUsage
from lineage.holds import LEAVE_OUT
from lineage.viewing import ListedRecord

__all__ = ["ROUTES"]

PAGE = "/cases/{case_id}/records/{handle}/decision"
WORDS = {
    "keep": ("Keep it", "An exception of Art. 17(3) GDPR applies. The request is then refused in part, and the person reads why."),
    "erase": ("Erase it", "The whole record goes, and what was made from it, instead of losing its mention of the person."),
    "redact": ("Redact the mention", "The person's details become a constant, if the gate admits the record so; if not, it is erased."),
    "unrelated": ("No copy", "It looks like a copy and is none: it is left as the rest of the search says."),
    LEAVE_OUT: ("Leave it out of the purge", "The rest is destroyed; this record stays, restricted, until its hold is lifted. Then a case of its own opens."),
    AS_FOUND: ("As the search found it", "Take an earlier decision back."),
}  # fmt: skip
SENSIBLE = {
    "mentioned": ("keep", "erase", "redact", AS_FOUND), "derived": ("keep", "erase", "redact", AS_FOUND),
    "near_duplicate": ("keep", "erase", "unrelated", AS_FOUND),
}  # fmt: skip


def ask(request: Request) -> Response:
    """What is decided about the record so far, and the forms."""
    browser = signed_in(request)
    _require_decider(browser)
    return _page(request, browser, listed_of(request))


async def decide(request: Request) -> Response:
    """Take a decision about the record; the preview is made anew."""
    return await run_in_threadpool(_decide, request, await read_form(request))


async def hold(request: Request) -> Response:
    """Hold the record, or let it go."""
    return await run_in_threadpool(_hold, request, await read_form(request))


def _decide(request: Request, form: FormData) -> Response:
    choice = Choice(text_of(form, "decision"), text_of(form, "exception"), text_of(form, "reason"))
    if choice.decision != "keep":
        choice = Choice(choice.decision)  # what was typed for another choice
    return _decided(request, _decider(request, form), desk.decide_record, choice)


def _hold(request: Request, form: FormData) -> Response:
    browser, reason = _decider(request, form), text_of(form, "reason").strip()
    if not reason and text_of(form, "lift") != "yes":
        return _page(request, browser, listed_of(request), problem=WrongUsage("A hold takes a reason."))
    return _decided(request, browser, desk.hold_record, reason=reason)


def _decider(request: Request, form: FormData) -> BrowserSession:
    browser = signed_form(request, form)
    _require_decider(browser)
    return browser


def _decided(request: Request, browser: BrowserSession, act: Any, *given: Any, **named: Any) -> Response:
    listed = listed_of(request)
    now = request.app.state.clock()
    try:
        act(workspace_of(request), listed.case_id, listed.handle, *given, **named, actor=browser.actor, now=now)
    except WrongUsage as problem:
        return _page(request, browser, listed, problem=problem)
    return RedirectResponse(f"/cases/{listed.case_id}", 303)


def _page(
    request: Request, browser: BrowserSession, listed: ListedRecord, *, problem: WrongUsage | None = None
) -> Response:
    workspace = workspace_of(request)
    found = dossier.read_case(workspace, case_id_of(request), now=request.app.state.clock())
    with workspace.database.reader() as session:
        ruling = decisions_of(session, listed.case_id).get(listed.handle)
    decided = ruling is not None and bool(ruling.decision)
    sensible = SENSIBLE.get(listed.relation, ("keep", AS_FOUND))
    held = (LEAVE_OUT,) if ruling is not None and ruling.hold_reason and not found.case.rescan_id else ()
    choices = {name: WORDS[name] for name in (*held, *sensible) if decided or name != AS_FOUND}
    return render(
        request, "record_decision.html", browser=browser, status=400 if problem else 200, case=found.case, listed=listed,
        ruling=ruling, choices=choices, exceptions=EXCEPTIONS, problem=problem,
        sightings=found.evidence.get("sightings", {}).get("records", {}).get(listed.handle, ()),
    )  # fmt: skip


def _require_decider(browser: BrowserSession) -> None:
    if browser.actor.role not in dossier.DECIDERS:
        raise HTTPException(403, f"Only the role {' or '.join(dossier.DECIDERS)} may decide about a record.")


ROUTES = [
    Route(PAGE, ask),
    Route(PAGE, decide, methods=["POST"]),
    Route("/cases/{case_id}/records/{handle}/hold", hold, methods=["POST"]),
]
