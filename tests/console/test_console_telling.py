"""Speaking with the person, and telling everybody: the steps of intake in the browser, letters, notices."""

from __future__ import annotations

from datetime import timedelta

import pytest
from command_line import PASSPHRASE
from desk_world import CONTRACT, NOW, OTHER, PERSON, World

from lineage import inventory
from lineage.access import Actor, Role
from lineage.dossier import read_case
from lineage.notices import State
from lineage.stages import Stage

TODAY, BEFORE = NOW.date().isoformat(), (NOW - timedelta(days=10)).date().isoformat()
CONTACT = '\n[contact]\naddress = "Example Street 1"\ndpo = "privacy@company.example"\nauthority = "The authority"\n'


def case(world: World, case_id: str):
    return read_case(world.workspace, case_id, now=world.clock())


def with_contact(world: World) -> World:
    """The workspace says who writes; the console is started after that."""
    from console.app import create_app
    from lineage.workspace import open_workspace

    with (world.folder / "lethe.toml").open("a", encoding="utf-8") as toml:
        toml.write(CONTACT)
    return World(world.folder, open_workspace(world.folder), create_app(world.folder, clock=world.clock), world.clock)


def test_a_doubt_stops_the_clock_and_its_end_starts_it(world: World) -> None:
    intake = world.browser("ines")
    case_id = intake.filed(*PERSON)
    assert "They were asked on" in intake.get(f"/cases/{case_id}/doubt").text
    assert intake.post(f"/cases/{case_id}/doubt", day="tomorrow").status_code == 400
    assert intake.post(f"/cases/{case_id}/doubt", day=BEFORE).status_code == 303
    page = intake.get(f"/cases/{case_id}").text
    assert "Clock stands still" in page
    assert "They showed who they are" in page
    due = case(world, case_id).case.due_on
    assert intake.post(f"/cases/{case_id}/confirm", day=TODAY, reason="Signed in to the portal.").status_code == 303
    confirmed = case(world, case_id).case
    assert (confirmed.stage, confirmed.identity_method) == (Stage.ASSESSMENT, "Signed in to the portal.")
    assert confirmed.due_on > due


def test_a_request_is_taken_back_by_whoever_speaks_with_the_person(world: World) -> None:
    intake, auditor = world.browser("ines"), world.browser("axel")
    case_id = intake.filed(*PERSON)
    assert auditor.post(f"/cases/{case_id}/withdraw", reason="Told us.").status_code == 403
    assert "Take the request back" not in auditor.get(f"/cases/{case_id}").text
    assert intake.post(f"/cases/{case_id}/withdraw", reason=f"{PERSON[0]} told us.").status_code == 400
    assert intake.post(f"/cases/{case_id}/withdraw", reason="Told us by telephone.").status_code == 303
    assert case(world, case_id).case.stage == Stage.WITHDRAWN
    assert intake.get(f"/cases/{case_id}/withdraw").status_code == 409


def test_a_refusal_waits_until_the_person_was_told(world: World) -> None:
    world = with_contact(world)
    intake, dpo = world.browser("ines"), world.browser("dana")
    case_id = intake.filed(*PERSON)
    dpo.post(f"/cases/{case_id}/refuse", reason="We must keep it for the tax office.")
    assert "the refusal, and its reason" in dpo.get(f"/cases/{case_id}").text
    letter = dpo.post(f"/cases/{case_id}/letter", kind="refused", language="en")
    assert letter.status_code == 200
    assert "We must keep it for the tax office." in letter.text
    assert "The authority" in letter.text
    assert not [value for value in PERSON if value in letter.text]
    assert "written on" in dpo.get(f"/cases/{case_id}").text
    assert dpo.post(f"/cases/{case_id}/letter", kind="granted").status_code == 409
    assert dpo.post(f"/cases/{case_id}/letter", kind="love").status_code == 400
    assert world.browser("axel").post(f"/cases/{case_id}/letter", kind="refused").status_code == 403
    assert dpo.post(f"/cases/{case_id}/told", kind="refused", day=TODAY).status_code == 303
    found = case(world, case_id)
    assert found.standing.waits_for == ""
    assert found.letters["refused"]["told_on"] == TODAY


@pytest.fixture
def signed(world: World) -> tuple[World, str]:
    """A signed case whose approved preview names two parties that are told by hand."""
    with world.workspace.database.transaction() as session:
        for name in ("archive", "partner"):
            party = inventory.Party(name, "recipient", f"The {name}")
            inventory.put_party(session, party, actor=Actor("dana", Role.DPO), now=NOW)
    intake, dpo = world.browser("ines"), world.browser("dana")
    case_id = intake.filed(*PERSON)
    parties = [{"name": name, "kind": "recipient", "whom": f"The {name}"} for name in ("archive", "partner")]
    world.play_preview(case_id, {**CONTRACT, "parties_to_be_told": parties})
    dpo.post(f"/cases/{case_id}/approve", digest=dpo.hidden_digest(case_id))
    world.play_erasure(case_id)
    dpo.post(f"/cases/{case_id}/approve_purge", digest=dpo.hidden_digest(case_id))
    world.play_purge(case_id)
    assert (
        dpo.post(f"/cases/{case_id}/sign", digest=dpo.hidden_digest(case_id), passphrase=PASSPHRASE).status_code == 303
    )
    return world, case_id


def test_a_signed_case_closes_when_parties_and_person_were_told(signed: tuple[World, str]) -> None:
    world, case_id = signed
    intake, dpo = world.browser("ines"), world.browser("dana")
    archive, partner = case(world, case_id).notices
    page = dpo.get(f"/cases/{case_id}").text
    assert "waits to be told" in page
    here = f"/cases/{case_id}/notices"
    assert dpo.post(f"{here}/notice-0000/ack", day=TODAY).status_code == 404
    assert dpo.post(f"{here}/{archive.id}/burn").status_code == 404
    another = intake.filed(*OTHER)
    assert intake.post(f"/cases/{another}/notices/{archive.id}/ack", day=TODAY).status_code == 404
    assert world.browser("axel").post(f"{here}/{archive.id}/ack", day=TODAY).status_code == 403
    assert intake.post(f"{here}/{archive.id}/ack", day=TODAY).status_code == 303
    assert intake.post(f"{here}/{partner.id}/waive", reason="Dissolved.").status_code == 403  # no DPO
    assert dpo.post(f"{here}/{partner.id}/waive", reason="The company was dissolved.").status_code == 303
    states = [notice.state for notice in case(world, case_id).notices]
    assert states == [State.ACKNOWLEDGED, State.WAIVED]
    assert case(world, case_id).case.stage == Stage.NOTIFYING
    assert intake.post(f"/cases/{case_id}/told", kind="granted", day=TODAY, own="yes").status_code == 303
    assert case(world, case_id).case.stage == Stage.CLOSED
