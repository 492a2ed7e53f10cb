"""What a DPO decides about one record in the browser is what `lethe erase decide` decides, and nobody else decides it."""

from __future__ import annotations

import pytest
from desk_world import PERSON, World
from sqlmodel import select
from test_console_records import CHAT, previewed, raw

from lineage.decisions import decisions_of
from lineage.stages import Stage
from lineage.tables import CaseRecordRow, CaseRow


@pytest.fixture
def listed(world: World) -> tuple[World, str, str]:
    """A previewed case with one record of the person's own, and its handle."""
    case_id = previewed(world, raw(CHAT, "cust-1"))
    with world.workspace.database.reader() as session:
        (handle,) = session.exec(select(CaseRecordRow.handle).where(CaseRecordRow.case_id == case_id)).all()
    return world, case_id, handle


def ruled(world: World, case_id: str, handle: str) -> tuple[str, str, str]:
    with world.workspace.database.reader() as session:
        found = decisions_of(session, case_id).get(handle)
        return (found.decision, found.ground, found.hold_reason) if found else ("", "", "")


def stage(world: World, case_id: str) -> str:
    with world.workspace.database.reader() as session:
        return session.get_one(CaseRow, case_id).stage


def test_a_record_is_kept_with_its_exception_and_the_preview_is_made_anew(listed: tuple[World, str, str]) -> None:
    world, case_id, handle = listed
    dpo, here = world.browser("dana"), f"/cases/{case_id}/records/{handle}/decision"
    assert f'href="{here}"' in dpo.get(f"/cases/{case_id}").text
    assert "an exception of art. 17(3)" in dpo.get(here).text.casefold()
    kept = dpo.post(here, decision="keep", exception="b", reason="Tax law, six years.")
    assert kept.status_code == 303, kept.text
    ground = "legal obligation or task in the public interest, Art. 17(3)(b) GDPR: Tax law, six years."
    assert ruled(world, case_id, handle) == ("keep", ground, "")
    assert stage(world, case_id) == Stage.ASSESSMENT
    assert "dana decided so." in dpo.get(here).text
    assert dpo.post(here, decision="as-found", exception="b", reason="left over").status_code == 303
    assert ruled(world, case_id, handle) == ("", "", "")


def test_what_is_missing_is_said_on_the_page_and_nothing_is_decided(listed: tuple[World, str, str]) -> None:
    world, case_id, handle = listed
    dpo, here = world.browser("dana"), f"/cases/{case_id}/records/{handle}"
    for fields in (
        {"decision": "keep"},
        {"decision": "keep", "exception": "z", "reason": "because"},
        {"decision": "x"},
        {},
    ):
        refused = dpo.post(f"{here}/decision", **fields)
        assert refused.status_code == 400
        assert 'role="alert"' in refused.text
    named = dpo.post(f"{here}/decision", decision="keep", exception="b", reason=f"{PERSON[0]} said so.")
    assert named.status_code == 400
    assert dpo.post(f"{here}/hold", reason=" ").status_code == 400
    assert dpo.post(f"{here}/decision", decision="redact").status_code == 409  # one's own record
    assert ruled(world, case_id, handle) == ("", "", "")
    assert stage(world, case_id) == Stage.PREVIEW_READY


def test_a_record_is_held_and_let_go(listed: tuple[World, str, str]) -> None:
    world, case_id, handle = listed
    dpo, here = world.browser("dana"), f"/cases/{case_id}/records/{handle}"
    assert dpo.post(f"{here}/hold", reason="Pending claim.").status_code == 303
    assert ruled(world, case_id, handle) == ("", "", "Pending claim.")
    assert "Pending claim." in dpo.get(f"{here}/decision").text
    assert dpo.post(f"{here}/hold", lift="yes").status_code == 303
    assert ruled(world, case_id, handle) == ("", "", "")


def test_only_a_held_record_can_be_left_out_of_the_purge(listed: tuple[World, str, str]) -> None:
    world, case_id, handle = listed
    dpo, here = world.browser("dana"), f"/cases/{case_id}/records/{handle}"
    assert "Leave it out of the purge" not in dpo.get(f"{here}/decision").text
    assert dpo.post(f"{here}/decision", decision="leave-out").status_code == 409
    dpo.post(f"{here}/hold", reason="Pending claim.")
    assert "Leave it out of the purge" in dpo.get(f"{here}/decision").text
    assert dpo.post(f"{here}/decision", decision="leave-out").status_code == 303
    assert ruled(world, case_id, handle) == ("leave-out", "", "Pending claim.")


@pytest.mark.parametrize("name", ["ines", "milo", "axel", "root"])
def test_only_a_dpo_decides_about_a_record(listed: tuple[World, str, str], name: str) -> None:
    world, case_id, handle = listed
    other, here = world.browser(name), f"/cases/{case_id}/records/{handle}"
    assert other.get(f"{here}/decision").status_code == 403
    assert other.post(f"{here}/decision", decision="keep", exception="b", reason="because").status_code == 403
    for form in ({"reason": "because"}, {"reason": ""}, {"lift": "yes"}):
        refused = other.post(f"{here}/hold", **form)
        assert refused.status_code == 403
        assert "Found as" not in refused.text, "what was found is for whoever decides"
    assert ruled(world, case_id, handle) == ("", "", "")


def test_a_record_of_another_case_is_not_there_and_a_form_of_nobody_is_refused(listed: tuple[World, str, str]) -> None:
    world, case_id, handle = listed
    dpo = world.browser("dana")
    assert dpo.get(f"/cases/{case_id}/records/{'0' * 24}/decision").status_code == 404
    assert dpo.post(f"/cases/{case_id}/records/{'0' * 24}/decision", decision="keep").status_code == 404
    forged = dpo.client.post(f"/cases/{case_id}/records/{handle}/decision", data={"decision": "keep"})
    assert forged.status_code == 403
