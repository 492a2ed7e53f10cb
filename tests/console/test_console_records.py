"""Opening one record in the browser: a form asks who and why, the answer shows it once, and nothing else ever does."""

from __future__ import annotations

import logging
from typing import Any

import jinja2
import pytest
from desk_world import NOW, OTHER, PERSON, Desk, World
from sqlmodel import select

from lineage import evidence, ledger
from lineage.access import Actor, Role
from lineage.admit import Decision
from lineage.catalog import GateStamp, Judged, store_judged
from lineage.closure import Closure, find_closure
from lineage.identity import identify
from lineage.records import Chat, Content, Message, RawRecord
from lineage.sightings import find_sightings, sighting_bodies
from lineage.subjects import load_forms
from lineage.tables import CaseRecordRow, CaseRow, IngestRow

STRANGER = "somebody@elsewhere.example"
CHAT = Chat(
    (
        Message("user", f"Hello, I spoke with {PERSON[0]} <{PERSON[1]}> about it. Write to {STRANGER}."),
        Message("assistant", "<b>Thank you.</b>"),
    )
)


def raw(content: Content, *subjects: str) -> RawRecord:
    return RawRecord(
        line=1, content=content, given_id=None, subjects=subjects, source="tickets", purpose="support",
        lawful_basis="contract", language="en",
    )  # fmt: skip


def previewed(world: World, *rows: RawRecord) -> str:
    """A case of the person whose closure are these records, as ingest and preview job leave them."""
    space = world.workspace
    with space.database.transaction() as session:
        session.add(IngestRow(id="i", source="tickets", generation=0, status="finished", requested_at=NOW))
        session.flush()
        batch = [Judged(one, identify(one, space.keyring), Decision("allow", "clean", (), one.content)) for one in rows]
        stamp = GateStamp("i", 0, "p", "s", NOW)
        store_judged(session, batch, stamp=stamp, keyring=space.keyring, keystore=space.keystore)
    case_id = world.browser("ines").filed(*PERSON)
    with space.database.transaction() as session:
        key = session.get_one(CaseRow, case_id).subject_key or ""
        forms = load_forms(session, space.keystore, key)
        closure: Closure = find_closure(session, key, forms, keystore=space.keystore)
        evidence.save_closure(session, case_id, closure, space.keyring)
        seen = find_sightings(space, session, key, forms, closure.records)
        by_handle = {space.keyring.handle(case_id, r): sighting_bodies(s) for r, s in seen.items()}
        evidence.add_evidence(session, case_id, "sightings", {"records": by_handle}, now=NOW)
        body = evidence.contract(session, case_id, closure, space.keyring)
    world.play_preview(case_id, body)
    return case_id


@pytest.fixture
def opening(world: World) -> tuple[World, str, str]:
    """The world, a case, and the address of the one record in it."""
    case_id = previewed(world, raw(CHAT, "cust-9"))
    (handle,) = handles(world, case_id)
    return world, case_id, f"/cases/{case_id}/records/{handle}"


def handles(world: World, case_id: str) -> list[str]:
    with world.workspace.database.reader() as session:
        return list(session.exec(select(CaseRecordRow.handle).where(CaseRecordRow.case_id == case_id)).all())


def views(world: World, case_id: str) -> list[dict[str, Any]]:
    with world.workspace.database.reader() as session:
        events = ledger.events_of_case(session, case_id)
    return [dict(event.payload) for event in events if event.kind == "record.viewed"]


def of_the_person(text: str) -> list[str]:
    return [value for value in (*PERSON, STRANGER) if value.casefold() in text.casefold()]


def test_the_preview_says_why_a_record_was_found_and_offers_it_to_a_dpo_alone(
    opening: tuple[World, str, str],
) -> None:
    world, case_id, address = opening
    page = world.browser("dana").get(f"/cases/{case_id}").text
    assert "mentioned: EMAIL_ADDRESS x1, PERSON x1" in page
    assert f'href="{address}"' in page
    assert not of_the_person(page)
    for name in ("ines", "milo", "axel", "root"):
        page = world.browser(name).get(f"/cases/{case_id}").text
        assert "EMAIL_ADDRESS x1" in page
        assert address not in page


def test_reading_the_address_never_shows_the_text(opening: tuple[World, str, str]) -> None:
    world, case_id, address = opening
    dpo = world.browser("dana")
    asked = dpo.get(address)
    assert asked.status_code == 200
    assert "Why you open it" in asked.text
    assert not of_the_person(asked.text)
    assert dpo.client.head(address).status_code == 200
    assert views(world, case_id) == []


def test_the_answer_shows_the_person_marked_and_others_masked_and_is_kept_by_no_cache(
    opening: tuple[World, str, str],
) -> None:
    world, case_id, address = opening
    answer = world.browser("dana").post(address, reason="Is it the same person?")
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "no-store"
    assert f'<mark class="own">{PERSON[0]}<span class="tag">PERSON</span></mark>' in answer.text
    assert '<span class="masked">EMAIL_ADDRESS</span>' in answer.text
    assert STRANGER not in answer.text
    assert "&lt;b&gt;Thank you.&lt;/b&gt;" in answer.text
    (view,) = views(world, case_id)
    assert (view["by"], view["reason"]) == ("dana", "Is it the same person?")
    assert address.endswith(str(view["record"]))
    history = world.browser("axel").get(f"/cases/{case_id}").text
    assert "A record was opened" in history
    assert not of_the_person(history)


@pytest.mark.parametrize("name", ["ines", "milo", "axel", "root"])
def test_other_roles_are_refused_with_the_rule(opening: tuple[World, str, str], name: str) -> None:
    world, case_id, address = opening
    browser = world.browser(name)
    for answer in (browser.get(address), browser.post(address, reason="curious")):
        assert answer.status_code == 403
        assert "Only the role dpo may open a record of a case" in answer.text
        assert not of_the_person(answer.text)
    assert views(world, case_id) == []


def test_nobody_opens_without_logging_in_or_without_the_token(opening: tuple[World, str, str]) -> None:
    world, case_id, address = opening
    assert world.browser().get(address).status_code == 401
    assert world.browser().client.post(address, data={"reason": "x"}).status_code == 401
    assert world.browser("dana").client.post(address, data={"reason": "x"}).status_code == 403
    assert views(world, case_id) == []


def test_a_record_of_another_case_or_of_none_is_not_there(opening: tuple[World, str, str]) -> None:
    world, case_id, address = opening
    other = world.browser("ines").filed(*OTHER)
    dpo = world.browser("dana")
    for wrong in (address.replace(case_id, other), f"/cases/{case_id}/records/{'0' * 24}"):
        assert dpo.get(wrong).status_code == 404
        assert dpo.post(wrong, reason="Looking").status_code == 404
    assert dpo.get(address.replace(case_id, "case-00000000")).status_code == 404
    assert views(world, case_id) + views(world, other) == []


@pytest.mark.parametrize("reason", ["", " ", f"Looking for {PERSON[0]}"])
def test_a_missing_or_telling_reason_asks_again(opening: tuple[World, str, str], reason: str) -> None:
    world, case_id, address = opening
    answer = world.browser("dana").post(address, reason=reason)
    assert answer.status_code == 400
    assert "Why you open it" in answer.text
    assert not of_the_person(answer.text)
    assert views(world, case_id) == []


def test_when_the_page_fails_the_look_is_on_record_and_the_text_in_no_log_and_no_answer(
    opening: tuple[World, str, str], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    world, case_id, address = opening
    dpo, render = world.browser("dana"), jinja2.Template.render

    def fails(self: jinja2.Template, *given: Any, **values: Any) -> str:
        opened = {**dict(*given), **values}.get("opened")
        if opened:
            raise ValueError("".join(piece.text for segment in opened.segments for piece in segment.pieces))
        return render(self, *given, **values)

    monkeypatch.setattr(jinja2.Template, "render", fails)
    with caplog.at_level(logging.DEBUG):
        answer = dpo.post(address, reason="Is it the same person?")
    assert answer.status_code == 500
    assert len(views(world, case_id)) == 1
    assert "ValueError at" in caplog.text
    assert not of_the_person(answer.text + caplog.text)


def test_once_the_text_is_destroyed_the_page_says_so(opening: tuple[World, str, str]) -> None:
    world, case_id, address = opening
    with world.workspace.database.transaction() as session:
        for row in session.exec(select(CaseRecordRow)).all():
            row.record_id = None
    dpo = world.browser("dana")
    page = dpo.get(address)
    assert page.status_code == 200
    assert "The text of this record is destroyed" in page.text
    assert "<textarea" not in page.text
    gone = dpo.post(address, reason="Is it the same person?")
    assert gone.status_code == 410
    assert "destroyed" in gone.text
    assert views(world, case_id) == []


def test_a_case_that_ended_opens_nothing(opening: tuple[World, str, str]) -> None:
    world, case_id, address = opening
    dpo: Desk = world.browser("dana")
    with world.case_file(case_id) as (_, case):
        case.refuse(actor=Actor("dana", Role.DPO), reason="A claim", now=NOW)
    assert "has ended" in dpo.get(address).text
    assert dpo.post(address, reason="Is it the same person?").status_code == 409
    assert address not in dpo.get(f"/cases/{case_id}").text
