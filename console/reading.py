"""A certificate in plain words: the one that waits for the DPO, which is signed as it was shown, or the finished one."""

from __future__ import annotations

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from console.access import case_id_of, signed_in, workspace_of
from lineage.dossier import CaseDossier, read_case
from lineage.errors import LetheError, WrongUsage
from lineage.rendering import Sheet, read_sheet
from lineage.rendering_pages import to_html
from lineage.rendering_pdf import to_pdf
from lineage.stages import Stage
from lineage.supplementing import Waiting, waiting
from lineage.trusted import load_trusted_keys
from lineage.workspace import Workspace

__all__ = ["page", "pdf", "to_sign", "to_supplement"]

POLICY = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; sandbox"


def to_sign(workspace: Workspace, found: CaseDossier) -> Sheet | str | None:
    """What a DPO reads before signing; its digest is that of the very bytes shown. A sentence if it cannot be shown."""
    if found.case.stage != Stage.PURGED:
        return None
    try:
        return _sheet(workspace, found)
    except LetheError as error:
        return str(error)


def to_supplement(workspace: Workspace, found: CaseDossier) -> Waiting | str | None:
    """The supplement that waits for a DPO, or why it cannot be shown; None if none waits."""
    if found.case.stage != Stage.CLOSED:
        return None
    try:
        return waiting(workspace, found.case.id)
    except LetheError as error:
        return str(error)


def page(request: Request) -> Response:
    """Every fact, as a page for the browser."""
    return Response(to_html(_asked_for(request)), media_type="text/html", headers={"content-security-policy": POLICY})


def pdf(request: Request) -> Response:
    """Every fact, to keep or to print."""
    shown, case_id = _asked_for(request), case_id_of(request)
    headers = {"content-disposition": f'attachment; filename="certificate-{case_id}.pdf"'}
    return Response(to_pdf(shown), media_type="application/pdf", headers=headers)


def _asked_for(request: Request) -> Sheet:
    signed_in(request)
    workspace = workspace_of(request)
    found = read_case(workspace, case_id_of(request), now=request.app.state.clock())
    if found.certificate is None and found.half_signed is None:
        raise HTTPException(404)
    return _sheet(workspace, found)


def _sheet(workspace: Workspace, found: CaseDossier) -> Sheet:
    path = found.certificate or (found.half_signed.path if found.half_signed else None)
    if path is None:
        raise WrongUsage("The purge has left no certificate.", hint="Run the purge job again.")
    return read_sheet(path.read_bytes(), trusted=load_trusted_keys(keys=workspace.home / "secrets"))
