"""The door: log in by password or by a one-time link, set one's own password, log out."""

from __future__ import annotations

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import FormData
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from console.access import (
    clock_of,
    enter,
    log_out,
    read_form,
    redeem_link,
    require_own_page,
    signed_form,
    signed_in,
    text_of,
    workspace_of,
)
from console.pages import render
from lineage import passwords
from lineage.access import BrowserSession
from lineage.errors import LetheError, RefusedByRule, WrongUsage

__all__ = ["ROUTES"]

WRONG = "Name or password is wrong, or there were too many tries."
NOT_THE_CURRENT = "That is not your password until now, or there were too many tries."


def door(request: Request) -> Response:
    """The form for name and password."""
    return render(request, "login.html")


async def log_in(request: Request) -> Response:
    """Take name and password."""
    require_own_page(request)
    return await run_in_threadpool(_log_in, request, await read_form(request))


def _log_in(request: Request, form: FormData) -> Response:
    name, password = text_of(form, "name").strip(), text_of(form, "password")
    cookie = passwords.log_in(workspace_of(request).database, name, password, now=clock_of(request))
    if cookie is None:
        return render(request, "login.html", status=403, problem=WRONG)
    response = RedirectResponse("/", 303)
    enter(request, response, cookie)
    return response


def link(request: Request) -> Response:
    """The page behind a one-time link; looking at it does not use the link up."""
    return render(request, "link.html")


def redeem(request: Request) -> Response:
    """Use a login link up."""
    require_own_page(request)
    response = RedirectResponse("/", 303)
    enter(request, response, redeem_link(request))
    return response


async def sign_out(request: Request) -> Response:
    """Log out."""
    form = await read_form(request)
    signed_form(request, form)
    response = RedirectResponse("/login", 303)
    await run_in_threadpool(log_out, request, response)
    return response


def password(request: Request) -> Response:
    """The form for one's own password."""
    return _password_page(request, signed_in(request))


async def set_password(request: Request) -> Response:
    """Set one's own password; every session ends, this one too."""
    return await run_in_threadpool(_set_password, request, await read_form(request))


def _set_password(request: Request, form: FormData) -> Response:
    browser = signed_form(request, form)
    database, me, now = workspace_of(request).database, browser.actor, clock_of(request)
    new, again = (text_of(form, name) for name in ("new", "again"))
    try:
        if new != again:
            raise WrongUsage("The two new passwords are not the same.")
        current = text_of(form, "current")
        if _has_one(request, browser) and not passwords.is_password(database, me.name, current, now=now):
            raise RefusedByRule(NOT_THE_CURRENT)
        passwords.set_password(database, me, password=new, now=now)
    except LetheError as problem:
        return _password_page(request, browser, problem=problem)
    return RedirectResponse("/login", 303)


def _password_page(request: Request, browser: BrowserSession, *, problem: LetheError | None = None) -> Response:
    status = 200 if problem is None else 403 if isinstance(problem, RefusedByRule) else 400
    values = {"has_one": _has_one(request, browser), "problem": problem, "min_chars": passwords.MIN_CHARS}
    return render(request, "password.html", browser=browser, status=status, **values)


def _has_one(request: Request, browser: BrowserSession) -> bool:
    with workspace_of(request).database.reader() as session:
        return passwords.has_password(session, browser.actor.name)


ROUTES = [
    Route("/login", door),
    Route("/login", log_in, methods=["POST"]),
    Route("/login/{token}", link),
    Route("/login/{token}", redeem, methods=["POST"]),
    Route("/logout", sign_out, methods=["POST"]),
    Route("/password", password),
    Route("/password", set_password, methods=["POST"]),
]
