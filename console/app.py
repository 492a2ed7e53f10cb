"""The console as an ASGI application: addresses, headers, and the one place where errors become pages.

::

    WrongUsage, NotAcceptable 400    not logged in 401    wrong person 403    unknown 404    out of order, stale 409
    text destroyed 410               Fault 503             anything else 500, without a traceback
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from starlette.applications import Starlette
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from console import api, decisions, login, pages, reading, records, review, single, telling
from lineage.errors import Fault, GateClosed, LetheError, RefusedByRule, WrongPerson
from lineage.vault import Shredded
from lineage.workspace import open_workspace

__all__ = ["create_app"]

HEADERS = {
    "content-security-policy": "default-src 'none'; style-src 'self'; img-src 'self' data:; form-action 'self'; "
    "frame-ancestors 'none'; base-uri 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cache-control": "no-store",
}
SENTENCES = {
    401: "Log in first.",
    403: "This is not open to you.",
    404: "There is no such page or case.",
    405: "This address does not take that.",
    413: "What you sent is too big.",
}
LOG = logging.getLogger("lethe.console")


def create_app(
    workspace_dir: Path, *, dagster_url: str | None = None, clock: Callable[[], datetime] = lambda: datetime.now(UTC)
) -> Starlette:
    """The console of a workspace. With `dagster_url`, cases link to their runs there.

    Raises:
        WrongUsage, Fault: as `open_workspace`.
    """
    app = Starlette(
        routes=_routes(),
        middleware=[Middleware(_Guard)],
        exception_handlers={LetheError: _deliberate, HTTPException: _http},
    )
    app.state.workspace = open_workspace(workspace_dir)
    app.state.templates = pages.environment()
    app.state.dagster_url = dagster_url.rstrip("/") if dagster_url else None
    app.state.clock = clock
    return app


def _routes() -> list[Route | Mount]:
    return [
        Route("/", pages.inbox),
        Route("/healthz", pages.healthz),
        *login.ROUTES,
        Route("/file", pages.file_form),
        Route("/file", decisions.file, methods=["POST"]),
        Route("/verify", pages.verify),
        Route("/verify", decisions.verify, methods=["POST"]),
        Route("/keys/{role}.pub", pages.public_key),
        Route("/cases/{case_id}", pages.case),
        Route("/cases/{case_id}/report", pages.report),
        Route("/cases/{case_id}/report/second-stage", pages.second_report),
        Route("/cases/{case_id}/certificate", pages.certificate),
        Route("/cases/{case_id}/certificate.html", reading.page),
        Route("/cases/{case_id}/certificate.pdf", reading.pdf),
        Route("/cases/{case_id}/records/{handle}", records.ask),
        Route("/cases/{case_id}/records/{handle}", records.show, methods=["POST"]),
        *single.ROUTES,
        *telling.ROUTES,
        Route("/cases/{case_id}/{action}", pages.decide),
        Route("/cases/{case_id}/{action}", decisions.decide, methods=["POST"]),
        *review.ROUTES,
        Route("/api/cases", api.cases),
        Route("/api/cases/{case_id}", api.case),
        Mount("/static", StaticFiles(directory=pages.ROOM / "static")),
    ]


def _deliberate(request: Request, error: Exception) -> Response:
    """A LetheError: its sentence and its hint."""
    match error:
        case Fault():
            status = 503
        case Shredded():
            status = 410
        case WrongPerson():
            status = 403
        case RefusedByRule() | GateClosed():
            status = 403 if request.url.path.startswith("/login/") else 409
        case _:
            status = 400
    return _error_page(request, status, str(error), hint=getattr(error, "hint", ""))


def _http(request: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 500
    said = error.detail if isinstance(error, HTTPException) else ""
    is_default = not said or said == HTTPException(status).detail
    return _error_page(request, status, SENTENCES.get(status, "That did not work.") if is_default else said)


def _error_page(request: Request, status: int, sentence: str, *, hint: str = "") -> Response:
    if request.url.path.startswith("/api/"):
        asks = {"www-authenticate": "Bearer"} if status == 401 else None
        return JSONResponse({"error": sentence, "hint": hint}, status_code=status, headers=asks)
    return pages.render(request, "error.html", status=status, code=status, sentence=sentence, hint=hint)


class _Guard:
    """Security headers on every answer, and a plain page for what nobody foresaw.

    The exception's text may quote what was posted, so the log gets its type and place only.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = False

        async def send_guarded(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        try:
            await self._app(scope, receive, send_guarded)
        except Exception as error:  # noqa: BLE001  # the last door: anything may come here, and none of it may reach a page
            LOG.critical("unexpected %s at %s", type(error).__name__, _place(error))
            if not started:
                page = _error_page(Request(scope), 500, "Something went wrong on our side.", hint="Nothing was half done; try again.")  # fmt: skip
                await page(scope, receive, send_guarded)


def _place(error: BaseException) -> str:
    trace = error.__traceback__
    while trace and trace.tb_next:
        trace = trace.tb_next
    return f"{Path(trace.tb_frame.f_code.co_filename).name}:{trace.tb_lineno}" if trace else "?"
