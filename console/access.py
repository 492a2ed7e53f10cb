"""Who is there: the session cookie of a browser and the token its forms bring back, or the API token of a program.

Roles are decided in `lineage`; here a request only becomes an `Actor`, or is sent away.
"""

from __future__ import annotations

from datetime import date, datetime
from secrets import compare_digest

from starlette.datastructures import FormData
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from lineage import access
from lineage.access import Actor, BrowserSession
from lineage.dossier import has_case
from lineage.errors import RefusedByRule, WrongUsage
from lineage.tokens import Scope, bearer
from lineage.workspace import Workspace

__all__ = [
    "case_id_of", "clock_of", "day_of", "enter", "log_out", "read_form", "reader", "redeem_link", "require_own_page", "signed_form",
    "signed_in", "text_of", "workspace_of",
]  # fmt: skip

COOKIE = "lethe_session"
MAX_FORM_BYTES = 4 * 2**20  # a certificate with many Merkle proofs; no other form comes near


def workspace_of(request: Request) -> Workspace:
    """The workspace this console serves."""
    workspace: Workspace = request.app.state.workspace
    return workspace


def clock_of(request: Request) -> datetime:
    """The time of this request."""
    now: datetime = request.app.state.clock()
    return now


def signed_in(request: Request) -> BrowserSession:
    """The session behind the cookie.

    Raises:
        HTTPException: 401, nobody is logged in.
    """
    cookie = request.cookies.get(COOKIE, "")
    with workspace_of(request).database.reader() as session:
        browser = access.open_session(session, cookie, request.app.state.clock()) if cookie else None
    if browser is None:
        raise HTTPException(401)
    return browser


def reader(request: Request, scope: Scope) -> Actor:
    """Who reads the API: a program with a token for this, or the browser of somebody who is logged in.

    Raises:
        HTTPException: 401, neither; 403, the token is for something else.
    """
    kind, _, token = request.headers.get("authorization", "").partition(" ")
    if not kind:
        return signed_in(request).actor
    try:
        with workspace_of(request).database.reader() as session:
            known = (
                bearer(session, token.strip(), scope=scope, now=clock_of(request)) if kind.lower() == "bearer" else None
            )
    except RefusedByRule as refusal:
        raise HTTPException(403, str(refusal)) from None
    if known is None:
        raise HTTPException(401, "This token is not valid.")
    return known


def require_own_page(request: Request) -> None:
    """Refuse a form that another site had a browser post: before the login there is no token that could tell.

    Raises:
        HTTPException: 403.
    """
    if request.headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
        raise HTTPException(403, "This form did not come from a page of this desk.")


async def read_form(request: Request, *, max_files: int = 0) -> FormData:
    """The posted form, refused before it is read when it is too big or does not say how big it is.

    Whoever allows files closes the form.

    Raises:
        HTTPException: 413.
    """
    length = request.headers.get("content-length", "")
    if not length.isdigit() or int(length) > MAX_FORM_BYTES:
        raise HTTPException(413)
    return await request.form(max_files=max_files, max_fields=20)


def text_of(form: FormData, name: str) -> str:
    """A field of a form as it was typed; empty if it is not there."""
    value = form.get(name)
    return value if isinstance(value, str) else ""


def day_of(form: FormData, name: str, problem: str = "A day is needed.") -> date:
    """A day of a form.

    Raises:
        WrongUsage: `problem`, because there is none, or it is malformed.
    """
    try:
        return date.fromisoformat(text_of(form, name))
    except ValueError:
        raise WrongUsage(problem, hint="Write it as 2026-01-31.") from None


def signed_form(request: Request, form: FormData) -> BrowserSession:
    """The session of a posted form that carries its session's token.

    Raises:
        HTTPException: 401, nobody is logged in; 403, the form did not come from a page of this session.
    """
    browser = signed_in(request)
    given = form.get("form_token")
    if not isinstance(given, str) or not compare_digest(given.encode(), browser.form_token.encode()):
        raise HTTPException(403, "This form did not come from a page of your session.")
    return browser


def redeem_link(request: Request) -> str:
    """Use the link of this address up; returns the cookie."""
    with workspace_of(request).database.transaction() as session:
        return access.redeem_link(session, request.path_params["token"], clock_of(request))


def enter(request: Request, response: Response, cookie: str) -> None:
    """Hand the browser its cookie."""
    response.set_cookie(
        COOKIE,
        cookie,
        max_age=int(access.SESSION_LIFETIME.total_seconds()),
        httponly=True,
        samesite="strict",
        secure=request.url.scheme == "https",
    )


def log_out(request: Request, response: Response) -> None:
    """Forget the session on both sides."""
    with workspace_of(request).database.transaction() as session:
        access.close_session(session, request.cookies.get(COOKIE, ""))
    response.delete_cookie(COOKIE, httponly=True, samesite="strict")


def case_id_of(request: Request) -> str:
    """The case of this address.

    Raises:
        HTTPException: 404, there is no such case.
    """
    case_id: str = request.path_params["case_id"]
    if not has_case(workspace_of(request), case_id):
        raise HTTPException(404, "There is no such case.")
    return case_id
