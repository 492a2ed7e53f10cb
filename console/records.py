"""One record of a case: a page that asks who looks and why, and the answer to that form, which is the only place for a text.

Reading an address never shows a text: it is the answer to a posted form, kept by no cache (`console.app` says no-store to
everything), and reloading it asks again and is written down again.
"""

from __future__ import annotations

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import FormData
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from console.access import case_id_of, read_form, signed_form, signed_in, text_of, workspace_of
from console.pages import render
from lineage import dossier
from lineage.access import BrowserSession
from lineage.errors import RefusedByRule, WrongPerson, WrongUsage
from lineage.viewing import ListedRecord, OpenedRecord, listed_record, open_record

__all__ = ["ask", "listed_of", "show"]


def ask(request: Request) -> Response:
    """Why the record was found, and a form that asks for a reason."""
    browser = signed_in(request)
    if browser.actor.role not in dossier.DECIDERS:
        raise HTTPException(403, f"Only the role {' or '.join(dossier.DECIDERS)} may open a record of a case.")
    return _page(request, browser, listed_of(request))


async def show(request: Request) -> Response:
    """The text, once the look is written down."""
    return await run_in_threadpool(_show, request, await read_form(request))


def _show(request: Request, form: FormData) -> Response:
    browser = signed_form(request, form)
    try:
        opened = open_record(
            workspace_of(request), case_id_of(request), request.path_params["handle"], actor=browser.actor,
            reason=text_of(form, "reason"), now=request.app.state.clock(),
        )  # fmt: skip
    except WrongPerson:
        raise
    except RefusedByRule:
        listed_of(request)  # a record that is not there is an address that is not there
        raise
    except WrongUsage as problem:
        return _page(request, browser, listed_of(request), problem=problem, status=400)
    return _page(request, browser, opened.listed, opened=opened)


def listed_of(request: Request) -> ListedRecord:
    """The record that an address names; one that is not the case's is an address that is not there."""
    case_id = case_id_of(request)
    try:
        return listed_record(workspace_of(request), case_id, request.path_params["handle"])
    except (RefusedByRule, WrongUsage):
        raise HTTPException(404, "That record is not one of this case.") from None


def _page(
    request: Request, browser: BrowserSession, listed: ListedRecord, *, opened: OpenedRecord | None = None,
    problem: WrongUsage | None = None, status: int = 200,
) -> Response:  # fmt: skip
    found = dossier.read_case(workspace_of(request), listed.case_id, now=request.app.state.clock())
    sightings = found.evidence.get("sightings", {}).get("records", {})
    return render(
        request, "record.html", browser=browser, status=status, case=found.case, listed=listed, opened=opened,
        problem=problem, sightings=sightings.get(listed.handle, ()), ended=found.case.settled,
    )  # fmt: skip
