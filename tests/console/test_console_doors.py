"""Who gets in, who may do what, and what everybody else is told."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from desk_world import EVIDENCE, NOW, PERSON, RECEIVED, World
from starlette.testclient import TestClient

from console import pages
from lineage import clock, dossier, evidence
from lineage.access import Actor, Role
from lineage.case import CaseFile
from lineage.case_view import CaseView
from lineage.dossier import NextStep
from lineage.errors import Fault, RefusedByRule
from lineage.stages import Stage
from lineage.tables import UserRow


def test_a_login_link_works_once_and_looking_does_not_use_it_up(world: World) -> None:
    desk_ = world.browser()
    link = f"/login/{world.link('dana')}"
    for _ in range(3):
        assert desk_.get(link).status_code == 200
    assert desk_.client.head(link).status_code == 200
    response = desk_.client.post(link)
    assert response.status_code == 303
    cookie = response.headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=strict" in cookie
    again = world.browser().client.post(link)
    assert again.status_code == 403
    assert "not valid any more" in again.text


def test_an_old_link_and_an_old_session_open_nothing(world: World) -> None:
    link, dpo = f"/login/{world.link('dana')}", world.browser("dana")
    world.clock.now += timedelta(hours=9)
    assert dpo.get("/").status_code == 401
    world.clock.now += timedelta(hours=9)
    assert world.browser().client.post(link).status_code == 403


@pytest.mark.parametrize(
    "path", ["/", "/file", "/verify", "/cases/case-1", "/cases/case-1/report", "/api/cases", "/keys/dpo.pub"]
)
def test_nobody_reads_without_logging_in(world: World, path: str) -> None:
    assert world.browser().get(path).status_code == 401


def test_logging_out_ends_the_session(world: World) -> None:
    dpo = world.browser("dana")
    cookie = dpo.client.cookies["lethe_session"]
    assert dpo.post("/logout").status_code == 303
    dpo.client.cookies.set("lethe_session", cookie)
    assert dpo.get("/").status_code == 401


@pytest.mark.parametrize("path", ["/file", "/logout", "/verify", "/cases/{id}/approve", "/cases/{id}/refuse"])
@pytest.mark.parametrize("token", [None, "", "guessed", "gueßt"])
def test_a_form_without_its_token_changes_nothing(world: World, path: str, token: str | None) -> None:
    case_id, dpo = world.browser("ines").filed(*PERSON), world.browser("dana")
    fields = {"reason": "none"} if token is None else {"reason": "none", "form_token": token}
    response = dpo.client.post(path.format(id=case_id), data=fields)
    assert response.status_code == 403
    assert dossier.inbox(world.workspace, now=NOW)[0].case.stage == Stage.ASSESSMENT
    assert dpo.get("/").status_code == 200


def test_a_token_of_another_session_is_not_taken(world: World) -> None:
    one, two = world.browser("dana"), world.browser("ines")
    two.client.cookies, one.client.cookies = one.client.cookies, two.client.cookies
    page = one.get("/").text
    token = page.split('name="form_token" value="')[1].split('"')[0]
    assert two.client.post("/logout", data={"form_token": token}).status_code == 403


def test_only_a_dpo_who_did_not_file_decides(world: World) -> None:
    intake = world.browser("ines")
    case_id = intake.filed(*PERSON)
    world.play_preview(case_id)
    digest = world.browser("dana").hidden_digest(case_id)
    for name in ("ines", "milo", "axel", "root"):
        browser = world.browser(name)
        assert f"/cases/{case_id}/approve" not in browser.get(f"/cases/{case_id}").text
        refused = browser.post(f"/cases/{case_id}/approve", digest=digest)
        assert refused.status_code == 403
        assert "Only the role dpo may approve an erasure" in refused.text
    assert world.browser("axel").get(f"/cases/{case_id}/refuse").status_code == 403


def test_a_dpo_cannot_approve_what_they_filed_themselves(world: World) -> None:
    case_id = world.browser("ines").filed(*PERSON)
    world.play_preview(case_id)
    _change_role(world, "ines", Role.DPO)  # promoted since: the two people are still one
    promoted = world.browser("ines")
    assert "somebody else than ines" in promoted.get(f"/cases/{case_id}").text
    digest = world.browser("dana").hidden_digest(case_id)
    refused = promoted.post(f"/cases/{case_id}/approve", digest=digest)
    assert refused.status_code == 403
    assert "filed a request may not decide" in refused.text


def test_only_intake_files(world: World) -> None:
    for name in ("dana", "milo", "axel"):
        browser = world.browser(name)
        assert browser.get("/file").status_code == 403
        assert browser.file(*PERSON).status_code == 403
    assert not dossier.inbox(world.workspace, now=NOW)


def asked_who_it_is(world: World, case_id: str) -> None:
    assert world.browser("ines").post(f"/cases/{case_id}/doubt", day=NOW.date().isoformat()).status_code == 303


@pytest.mark.parametrize(
    "play", [World.play_preview, World.play_search, asked_who_it_is], ids=["preview", "search", "identity"]
)
def test_the_offered_steps_are_the_ones_that_lineage_takes(world: World, play: Callable[[World, str], None]) -> None:
    """`may` foretells what `lineage.case` and `lineage.desk` enforce, for every role."""
    case_id = world.browser("ines").filed(*PERSON)
    play(world, case_id)
    case = dossier.read_case(world.workspace, case_id, now=NOW).case
    for role, name in itertools.product(Role, ("ines", "dana")):
        actor = Actor(name, role)
        for step in dossier.next_steps(case):
            assert dossier.may(actor, case, step) != _is_refused(world, actor, case, step), (role, name, step.action)


def test_out_of_order_is_a_conflict_that_says_where_the_case_is(world: World) -> None:
    case_id, dpo = world.browser("ines").filed(*PERSON), world.browser("dana")
    for action in ("approve", "approve_purge", "sign", "retry"):
        refused = dpo.post(f"/cases/{case_id}/{action}", digest="0" * 64)
        assert refused.status_code == 409, action
        assert "is at ASSESSMENT" in refused.text
    assert dpo.post(f"/cases/{case_id}/burn").status_code == 404
    assert dpo.post("/cases/case-00000000/approve").status_code == 404


def test_every_answer_carries_the_headers(world: World) -> None:
    dpo = world.browser("dana")
    for path in ("/", "/nothing", "/healthz", "/static/console.css", "/api/cases"):
        headers = dpo.get(path).headers
        assert "default-src 'none'" in headers["content-security-policy"]
        assert "frame-ancestors 'none'" in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["cache-control"] == "no-store"


def test_no_page_needs_what_its_policy_forbids(world: World) -> None:
    """No script, no inline style, nothing from elsewhere: the policy would block it silently."""
    for path in pages.ROOM.glob("templates/*.html"):
        text = path.read_text(encoding="utf-8")
        assert not [word for word in ("<script", "style=", "<style", " onclick", "http://", "https://") if word in text]


def test_the_report_may_style_itself_but_not_run(world: World) -> None:
    case_id, dpo = world.browser("ines").filed(*PERSON), world.browser("dana")
    assert dpo.get(f"/cases/{case_id}/report").status_code == 404
    world.play_preview(case_id)
    dpo.post(f"/cases/{case_id}/approve", digest=dpo.hidden_digest(case_id))
    world.play_erasure(case_id)
    policy = dpo.get(f"/cases/{case_id}/report").headers["content-security-policy"]
    assert "style-src 'unsafe-inline'" in policy
    assert "sandbox" in policy
    assert "script-src" not in policy


def test_both_stages_of_the_probes_are_told_and_have_their_reports(world: World) -> None:
    case_id, dpo = world.browser("ines").filed(*PERSON), world.browser("dana")
    world.play_preview(case_id)
    dpo.post(f"/cases/{case_id}/approve", digest=dpo.hidden_digest(case_id))
    world.play_erasure(case_id)
    second_address = f"/cases/{case_id}/report/second-stage"
    assert "second stage" not in dpo.get(f"/cases/{case_id}").text
    assert dpo.get(second_address).status_code == 404
    first = {**EVIDENCE["probe"], "verdict": "FAIL", "reason": "RESIDUE_SEEN"}
    second = {**EVIDENCE["probe"], "K": 26, "first_stage": first}
    with world.case_file(case_id) as (session, _):
        body = {**second, "adapters": {"support": second}}
        evidence.add_evidence(session, case_id, "probe", body, now=world.clock())
    folder = world.workspace.case_directory(case_id) / dossier.SECOND_STAGE
    folder.mkdir()
    (folder / "report.html").write_text("<!doctype html><title>Second</title>")
    page = dpo.get(f"/cases/{case_id}").text
    for told in (
        "with 7 models",
        "said <strong>FAIL</strong>",
        "with 26 models",
        "says <strong>PASS</strong>",
        second_address,
    ):
        assert told in page
    answer = dpo.get(second_address)
    assert "<title>Second</title>" in answer.text
    assert "sandbox" in answer.headers["content-security-policy"]
    assert dpo.get(f"/api/cases/{case_id}").json()["second_report"] == second_address


def test_what_nobody_foresaw_is_a_plain_page_and_a_log_line_without_values(
    world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    dpo = world.browser("dana")

    def break_down(*_: Any, **__: Any) -> None:
        raise ValueError(PERSON[0])

    monkeypatch.setattr(dossier, "inbox", break_down)
    response = dpo.get("/")
    assert response.status_code == 500
    assert "Something went wrong on our side" in response.text
    assert "Traceback" not in response.text + caplog.text
    assert PERSON[0] not in response.text + caplog.text
    assert "ValueError at test_console_doors.py" in caplog.text


def test_a_locked_database_is_a_sentence_and_a_hint(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    dpo = world.browser("dana")

    def locked(*_: Any, **__: Any) -> None:
        raise Fault("The database is locked by another process.", hint="Nothing was half done; try again.")

    monkeypatch.setattr(dossier, "inbox", locked)
    response = dpo.get("/")
    assert response.status_code == 503
    assert "locked by another process" in response.text
    assert "try again" in response.text


def test_a_form_that_is_too_big_is_not_read(world: World) -> None:
    dpo = world.browser("dana")
    assert dpo.client.post("/verify", content=b"x" * (5 * 2**20)).status_code == 413
    assert dpo.client.post("/verify", content=iter([b"chunk"])).status_code == 413


def test_healthz_needs_nobody(world: World) -> None:
    assert TestClient(world.app).get("/healthz").text == "ok"


def test_what_people_type_is_escaped(world: World) -> None:
    case_id, dpo = world.browser("ines").filed(*PERSON), world.browser("dana")
    dpo.post(f"/cases/{case_id}/hold", reason="<b>&quot;")
    assert "&lt;b&gt;&amp;quot;" in dpo.get(f"/cases/{case_id}").text
    typed = world.browser("ines").file("</textarea><i>", ground="z")
    assert "</textarea><i>" not in typed.text


def _change_role(world: World, name: str, role: Role) -> None:
    with world.workspace.database.transaction() as session:
        row = session.get(UserRow, name)
        assert row
        row.role = role.value


def in_a_month(paused_days: int) -> clock.DueDate:
    return clock.due(RECEIVED, "DE", paused_days=paused_days)


def _is_refused(world: World, actor: Actor, case: CaseView, step: NextStep) -> bool:
    """Take the step in a session that keeps nothing."""
    with world.workspace.database.reader() as session:
        file = CaseFile(session, case.id)
        take = {
            "approve": lambda: file.approve(actor=actor, digest=case.preview_digest, now=NOW),
            "not_found": lambda: file.not_found(actor=actor, digest=case.preview_digest, now=NOW),
            "refuse": lambda: file.refuse(actor=actor, reason="because", now=NOW),
            "extend": lambda: file.extend(actor=actor, due_on=case.due_on, basis="b", reason="because", now=NOW),
            "hold": lambda: file.hold(actor=actor, reason="because", now=NOW),
            "doubt": lambda: file.doubt_identity(actor=actor, asked_on=NOW.date(), now=NOW),
            "confirm": lambda: file.confirm_identity(
                actor=actor, answered_on=NOW.date(), method="by code", reckon=in_a_month, now=NOW
            ),
            "withdraw": lambda: file.withdraw(actor=actor, reason="because", now=NOW),
        }[step.action]
        try:
            take()
        except RefusedByRule:
            return True
        return False
