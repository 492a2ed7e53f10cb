"""Who has to be told: letters to the person, which are shown and not kept, the notices to the parties, and the supplement."""

from __future__ import annotations

from typing import cast, get_args

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import FormData
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, RedirectResponse, Response
from starlette.routing import Route

from console.access import case_id_of, day_of, read_form, signed_form, signed_in, text_of, workspace_of
from console.pages import render
from lineage import closing, dossier, supplementing
from lineage.closing import Telling
from lineage.errors import WrongUsage
from lineage.letters import Kind, Language, Letter, write_letter
from lineage.notices import notices

__all__ = ["ROUTES"]


async def letter(request: Request) -> Response:
    """Write a letter; the answer to this form is the only place where it is shown."""
    return await run_in_threadpool(_letter, request, await read_form(request))


async def told(request: Request) -> Response:
    """Write down that the person was told."""
    return await run_in_threadpool(_told, request, await read_form(request))


async def supplement(request: Request) -> Response:
    """Sign who acknowledged it."""
    return await run_in_threadpool(_supplement, request, await read_form(request))


def signed_supplement(request: Request) -> Response:
    """The supplement as a file."""
    signed_in(request)
    case_id = case_id_of(request)
    path = workspace_of(request).case_directory(case_id) / supplementing.SUPPLEMENT
    if not path.is_file():
        raise HTTPException(404, "There is no supplement to this case.")
    return FileResponse(path, media_type="application/json", filename=f"{case_id}.supplement.json")


async def notice(request: Request) -> Response:
    """Acknowledge a notice by hand, waive it, or send it again."""
    return await run_in_threadpool(_notice, request, await read_form(request))


def _letter(request: Request, form: FormData) -> Response:
    browser, case_id, now = signed_form(request, form), case_id_of(request), request.app.state.clock()
    language = form.get("language")
    wanted = Letter(_kind(form), cast("Language", language) if language in get_args(Language) else "en")
    text = write_letter(workspace_of(request), case_id, wanted, actor=browser.actor, now=now)
    case = dossier.read_case(workspace_of(request), case_id, now=now).case
    today = workspace_of(request).settings.day(now)
    return render(request, "letter.html", browser=browser, case=case, kind=wanted.kind, text=text, today=today)


def _told(request: Request, form: FormData) -> Response:
    browser, case_id = signed_form(request, form), case_id_of(request)
    telling = Telling(_kind(form), day_of(form, "day"), form.get("own") == "yes")
    closing.tell_person(
        workspace_of(request), case_id, telling, actor=browser.actor, now=request.app.state.clock()
    )  # fmt: skip
    return RedirectResponse(f"/cases/{case_id}", 303)


def _notice(request: Request, form: FormData) -> Response:
    browser, workspace, now = signed_form(request, form), workspace_of(request), request.app.state.clock()
    case_id, notice_id = case_id_of(request), request.path_params["notice_id"]
    with workspace.database.reader() as session:
        if notice_id not in {one.id for one in notices(session, case_id)}:
            raise HTTPException(404, "That notice is not one of this case.")
    match request.path_params["verb"]:
        case "ack":
            closing.acknowledge_by_hand(workspace, notice_id, actor=browser.actor, on=day_of(form, "day"), now=now)
        case "waive":
            closing.waive_notice(workspace, notice_id, actor=browser.actor, reason=text_of(form, "reason"), now=now)
        case "retry":
            closing.retry_notice(workspace, notice_id, actor=browser.actor, now=now)
        case _:
            raise HTTPException(404)
    return RedirectResponse(f"/cases/{case_id}", 303)


def _supplement(request: Request, form: FormData) -> Response:
    browser, case_id = signed_form(request, form), case_id_of(request)
    supplementing.sign(
        workspace_of(request), case_id, digest=text_of(form, "digest"), actor=browser.actor, now=request.app.state.clock(),
        passphrase=text_of(form, "passphrase") or None,
    )  # fmt: skip
    return RedirectResponse(f"/cases/{case_id}", 303)


def _kind(form: FormData) -> Kind:
    try:
        return Kind(text_of(form, "kind"))
    except ValueError:
        raise WrongUsage("Choose a letter.") from None


ROUTES = [
    Route("/cases/{case_id}/letter", letter, methods=["POST"]),
    Route("/cases/{case_id}/told", told, methods=["POST"]),
    Route("/cases/{case_id}/notices/{notice_id}/{verb}", notice, methods=["POST"]),
    Route("/cases/{case_id}/supplement", supplement, methods=["POST"]),
    Route("/cases/{case_id}/supplement.json", signed_supplement),
]
