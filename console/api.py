"""The same facts as JSON, for a browser's session or a program's token: what `lethe erase list --json` and `show --json` print."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from console.access import case_id_of, reader, workspace_of
from lineage import dossier
from lineage.tokens import Scope

__all__ = ["case", "cases"]


def cases(request: Request) -> Response:
    """All cases by due date."""
    reader(request, Scope.INBOX)
    standings = dossier.inbox(workspace_of(request), now=request.app.state.clock())
    return JSONResponse({"cases": [_line(standing) for standing in standings]})


def case(request: Request) -> Response:
    """One case; report and certificate as addresses of this console."""
    reader(request, Scope.CASES)
    case_id = case_id_of(request)
    found = dossier.read_case(workspace_of(request), case_id, now=request.app.state.clock())
    links = {
        "report": f"/cases/{case_id}/report" if found.report else None,
        "second_report": f"/cases/{case_id}/report/second-stage" if found.second_report else None,
        "certificate": f"/cases/{case_id}/certificate" if found.certificate else None,
    }
    return JSONResponse({**found.as_json(), **links})


def _line(standing: dossier.Standing) -> dict[str, object]:
    case = standing.case
    return {
        "id": case.id,
        "stage": case.stage,
        "due_on": case.due_on.isoformat(),
        "days_left": standing.days_left,
        "alarm": int(standing.alarm),
        "waits_for": standing.waits_for,
    }
