"""The pages of the desk: what a browser reads. Nothing here changes a case."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, select_autoescape
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, PlainTextResponse, Response

from console.access import case_id_of, signed_in, workspace_of
from console.picture import lineage_picture
from console.reading import to_sign, to_supplement
from console.wording import (
    BESIDE,
    DECISIONS,
    EVENT_WORDS,
    FILTERS,
    LETTER_WORDS,
    NOTICE_WORDS,
    STAGES,
    STEP_FORMS,
    timeline,
)
from lineage import dossier, ledger
from lineage.access import BrowserSession, Role
from lineage.case import GROUNDS, IDENTIFIERS
from lineage.case_view import CaseView
from lineage.chain import Intact
from lineage.dpo_key import dpo_key_state
from lineage.letters import Kind, fits
from lineage.review import REVIEWERS
from lineage.stages import CERTIFIED, DESTROYED, RUNNING
from lineage.supplementing import SUPPLEMENT
from lineage.verify import Verification

__all__ = [
    "case", "certificate", "decide", "file_form", "healthz", "inbox", "render", "report", "second_report",
]  # fmt: skip

ROOM = Path(__file__).parent
REFRESH_S = 5
# The report is our own file but made of measured strings: it may style itself and show its own pictures, nothing else.
REPORT_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; frame-ancestors 'none'; sandbox"
METHODS = ("Logged in to their account", "Code sent to the address on file", "Identity document seen and not kept")


def environment() -> Environment:
    """Jinja with escaping everywhere."""
    env = Environment(loader=FileSystemLoader(ROOM / "templates"), autoescape=select_autoescape(default=True), trim_blocks=True, lstrip_blocks=True)  # fmt: skip
    env.filters.update(FILTERS)
    env.globals.update(
        stages=STAGES,
        beside=BESIDE,
        event_words=EVENT_WORDS,
        decisions=DECISIONS,
        letter_words=LETTER_WORDS,
        notice_words=NOTICE_WORDS,
    )
    return env


def render(
    request: Request, name: str, *, browser: BrowserSession | None = None, status: int = 200, **values: Any
) -> HTMLResponse:
    """A page from its template; `me` and `form_token` are there for whoever is logged in."""
    template = request.app.state.templates.get_template(name)
    shared = {
        "me": browser.actor if browser else None,
        "form_token": browser.form_token if browser else "",
        "controller": workspace_of(request).settings.controller,
        "may_file": bool(browser and browser.actor.role in dossier.FILERS),
        "may_review": bool(browser and browser.actor.role in REVIEWERS),
        "path": request.url.path,
    }
    return HTMLResponse(template.render({**shared, **values}), status_code=status)


def healthz(_: Request) -> Response:
    """For whoever supervises the process."""
    return PlainTextResponse("ok")


def inbox(request: Request) -> Response:
    """All cases by due date, open ones first."""
    browser = signed_in(request)
    standings = dossier.inbox(workspace_of(request), now=request.app.state.clock())
    still_open = [s for s in standings if s.waits_for]
    counts = {
        "waiting for a decision": sum(
            STAGES[s.case.stage].tone == "wait" and not s.case.hold_reason for s in still_open
        ),
        "running by themselves": sum(s.case.stage in RUNNING and not s.case.hold_reason for s in still_open),
        "need attention": sum(STAGES[s.case.stage].tone == "stop" or bool(s.case.hold_reason) for s in still_open),
        "ended": len(standings) - len(still_open),
    }
    ended = [s for s in standings if s not in still_open]
    return render(request, "inbox.html", browser=browser, open_cases=still_open, ended_cases=ended, counts=counts)


def file_form(request: Request) -> Response:
    """An empty request form."""
    return file_page(request, signed_in(request), typed={})


def file_page(
    request: Request, browser: BrowserSession, *, typed: dict[str, str], problem: Exception | None = None, status: int = 200
) -> Response:  # fmt: skip
    """The request form with what was typed before, and why it was not taken."""
    today = workspace_of(request).settings.day(request.app.state.clock())
    values = {"grounds": GROUNDS, "methods": METHODS, "today": today, "typed": typed, "problem": problem}
    if browser.actor.role not in dossier.FILERS:
        raise HTTPException(403, "Only intake may file a request.")
    return render(request, "file.html", browser=browser, status=status, **values)


def case(request: Request) -> Response:
    """One case, as far as it has come."""
    browser = signed_in(request)
    workspace, case_id = workspace_of(request), case_id_of(request)
    found = dossier.read_case(workspace, case_id, now=request.app.state.clock())
    contract, forecast = found.evidence.get("contract", {}), found.evidence.get("forecast", {})
    return render(
        request, "case.html", browser=browser, dossier=found, case=found.case, standing=found.standing,
        evidence=found.evidence, sightings=found.evidence.get("sightings", {}).get("records", {}),
        may_open=_may_open(browser, found.case), buckets=_buckets(contract), stops=timeline(found.case, found.events),
        picture=lineage_picture(contract, forecast), dagster_url=request.app.state.dagster_url,
        steps={step.action: (step, dossier.may(browser.actor, found.case, step)) for step in found.next_steps},
        refresh_s=REFRESH_S if found.case.stage in RUNNING and not found.case.hold_reason else 0,
        to_sign=to_sign(workspace, found), to_supplement=to_supplement(workspace, found),
        supplement=(workspace.case_directory(case_id) / SUPPLEMENT).is_file(),
        letter_kinds=[kind for kind in Kind if fits(found.case, kind) and "told_on" not in found.letters.get(kind, {})],
        may_tell=browser.actor.role in IDENTIFIERS, may_waive=browser.actor.role in dossier.DECIDERS,
        may_retry=browser.actor.role in (*IDENTIFIERS, Role.ML), today=workspace.settings.day(request.app.state.clock()),
        key=dpo_key_state(workspace).value, plain_key_may_sign=workspace.settings.staff.plain_dpo_key,
    )  # fmt: skip


def decide(request: Request) -> Response:
    """The page of a decision that needs a reason or a day."""
    browser = signed_in(request)
    case_id, action = case_id_of(request), request.path_params["action"]
    found = dossier.read_case(workspace_of(request), case_id, now=request.app.state.clock())
    step = next((step for step in found.next_steps if step.action == action), None)
    if action not in STEP_FORMS:
        raise HTTPException(404)
    if step is None:
        raise HTTPException(409, f"Case {case_id} is at {found.case.stage}; that cannot be decided now.")
    if not dossier.may(browser.actor, found.case, step):
        raise HTTPException(403, f"Only the role {' or '.join(step.roles)} may decide that.")
    today = workspace_of(request).settings.day(request.app.state.clock())
    return render(
        request, "decide.html", browser=browser, case=found.case, step=step, asked=STEP_FORMS[action], today=today
    )  # fmt: skip


def verify(request: Request) -> Response:
    """The ledger's health, and a form to verify a certificate."""
    return verify_page(request, signed_in(request), result=None)


def verify_page(request: Request, browser: BrowserSession, *, result: Verification | None) -> Response:
    """The page, with the answer about a certificate when one was given."""
    workspace = workspace_of(request)
    with workspace.database.reader() as session:
        chain = ledger.verify(session)
    signed = [s.case for s in dossier.inbox(workspace, now=request.app.state.clock()) if s.case.stage in CERTIFIED]
    values: dict[str, Any] = {"result": result, "chain": chain, "intact": isinstance(chain, Intact), "signed": signed}
    return render(request, "verify.html", browser=browser, **values)


def report(request: Request) -> Response:
    """The probe report, as it lies in the case's folder."""
    return _report_page(_dossier_of(request).report)


def second_report(request: Request) -> Response:
    """The report of the probes' second stage, where there was one."""
    return _report_page(_dossier_of(request).second_report)


def _dossier_of(request: Request) -> dossier.CaseDossier:
    signed_in(request)
    return dossier.read_case(workspace_of(request), case_id_of(request), now=request.app.state.clock())


def _report_page(path: Path | None) -> Response:
    if path is None:
        raise HTTPException(404)
    return FileResponse(path, media_type="text/html", headers={"content-security-policy": REPORT_POLICY})


def certificate(request: Request) -> Response:
    """The certificate, to keep."""
    signed_in(request)
    case_id = case_id_of(request)
    path = dossier.read_case(workspace_of(request), case_id, now=request.app.state.clock()).certificate
    if path is None:
        raise HTTPException(404)
    return FileResponse(path, media_type="application/json", filename=f"certificate-{case_id}.json")


def public_key(request: Request) -> Response:
    """A public key, for auditors."""
    signed_in(request)
    name = f"{request.path_params['role']}.pub"
    if name not in ("pipeline.pub", "dpo.pub"):
        raise HTTPException(404)
    path = workspace_of(request).home / "secrets" / name
    if not path.is_file():
        raise HTTPException(404, "There is no such key yet.")
    return FileResponse(path, media_type="application/x-pem-file", filename=name)


def _buckets(contract: Any) -> dict[str, list[Any]]:
    records = contract.get("records", [])
    named = {
        "erase": "erase",
        "redact": "redact",
        "already_redacted": "redacted",
        "candidate": "candidate",
        "unrelated": "unrelated",
    }
    buckets: dict[str, list[Any]] = {name: [] for name in (*named.values(), "kept")}
    for record in records:
        buckets[named.get(record.get("decision"), "kept")].append(record)
    return buckets


def _may_open(browser: BrowserSession, case: CaseView) -> bool:
    return browser.actor.role in dossier.DECIDERS and not case.ended and case.stage not in DESTROYED
