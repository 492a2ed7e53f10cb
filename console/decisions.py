"""What a browser posts: file a request, decide. Every decision is one call of `lineage.desk`."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import FormData, UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from console.access import case_id_of, day_of, read_form, signed_form, text_of, workspace_of
from console.pages import file_page, verify_page
from lineage import desk, dossier, signing
from lineage.access import Actor
from lineage.desk import Intake
from lineage.errors import LetheError, RefusedByRule, WrongPerson, WrongUsage
from lineage.verify import load_trusted_keys, verify_bytes
from lineage.workspace import Workspace

__all__ = ["decide", "file", "verify"]

"""What whoever filed the request may never do, so that it is the wrong person who tries (403), not the wrong time (409)."""


async def file(request: Request) -> Response:
    """File a request."""
    return await run_in_threadpool(_file, request, await read_form(request))


async def decide(request: Request) -> Response:
    """Take one decision about a case."""
    return await run_in_threadpool(_decide, request, await read_form(request))


async def verify(request: Request) -> Response:
    """Verify a certificate that was uploaded, or that of a case."""
    form = await read_form(request, max_files=1)
    try:
        upload = form.get("certificate")
        content = await upload.read() if isinstance(upload, UploadFile) else b""
    finally:
        await form.close()
    return await run_in_threadpool(_verify, request, form, content)


def _file(request: Request, form: FormData) -> Response:
    browser = signed_form(request, form)
    typed = {
        name: text_of(form, name)
        for name in ("identifiers", "ground", "identity_method", "received_on", "only_consent")
    }
    try:
        intake = Intake(
            typed["identifiers"].splitlines(),
            typed["ground"],
            typed["identity_method"],
            day_of(form, "received_on", "The date of receipt is missing or malformed."),
            typed["only_consent"] == "yes",
        )
        case = desk.file_case(workspace_of(request), intake, actor=browser.actor, now=request.app.state.clock())
    except LetheError as problem:
        status = 409 if isinstance(problem, RefusedByRule) else 400
        return file_page(request, browser, typed=typed, problem=problem, status=status)
    return RedirectResponse(f"/cases/{case.id}", 303)


def _decide(request: Request, form: FormData) -> Response:
    browser = signed_form(request, form)
    workspace, case_id, action = workspace_of(request), case_id_of(request), request.path_params["action"]
    now = request.app.state.clock()
    try:
        _act(workspace, case_id, action, actor=browser.actor, now=now, form=form)
    except RefusedByRule as refusal:
        raise HTTPException(403 if isinstance(refusal, WrongPerson) else 409, _said(refusal)) from None
    return RedirectResponse(f"/cases/{case_id}", 303)


def _act(workspace: Workspace, case_id: str, action: str, *, actor: Actor, now: datetime, form: FormData) -> None:
    which: tuple[Workspace, str] = workspace, case_id
    who: dict[str, Any] = {"actor": actor, "now": now}
    digest, reason = text_of(form, "digest"), text_of(form, "reason")
    acts: dict[str, Callable[[], object]] = {
        "approve": lambda: desk.approve(*which, digest=digest, **who),
        "approve_purge": lambda: desk.approve_purge(*which, digest=digest, **who),
        "not_found": lambda: desk.not_found(*which, digest=digest, **who),
        "sign": lambda: signing.sign(*which, digest=digest, passphrase=text_of(form, "passphrase") or None, **who),
        "refuse": lambda: desk.refuse(*which, reason=reason, **who),
        "extend": lambda: desk.extend(*which, reason=reason, **who),
        "hold": lambda: desk.hold(*which, reason=reason, **who),
        "doubt": lambda: desk.doubt_identity(*which, asked_on=day_of(form, "day"), **who),
        "confirm": lambda: desk.confirm_identity(*which, answered_on=day_of(form, "day"), method=reason, **who),
        "withdraw": lambda: desk.withdraw(*which, reason=reason, **who),
        "retry": lambda: desk.retry(*which, **who),
    }
    if action not in acts:
        raise HTTPException(404)
    acts[action]()


def _verify(request: Request, form: FormData, content: bytes) -> Response:
    browser = signed_form(request, form)
    workspace, case_id = workspace_of(request), text_of(form, "case")
    if not content and case_id:
        path = workspace.case_directory(case_id) / "certificate.json" if dossier.has_case(workspace, case_id) else None
        content = path.read_bytes() if path and path.is_file() else b""
    if not content:
        raise WrongUsage("Choose a certificate file, or a case that has one.")
    trusted = load_trusted_keys(keys=workspace.home / "secrets")
    return verify_page(request, browser, result=verify_bytes(content, trusted=trusted, expect_case=case_id or None))


def _said(error: LetheError) -> str:
    return f"{error} {error.hint}".strip()
