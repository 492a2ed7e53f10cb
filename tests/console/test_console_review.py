"""The quarantine at the desk, over HTTP: counts, filters, a masked record, rulings with a reason, and who may do it."""

from __future__ import annotations

import json
import re
from datetime import timedelta
from typing import get_args

import pytest
from desk_world import NOW, World
from review_world import CHAT, SECRET, failed, note, put_in_quarantine
from sqlmodel import select

from console.review import REASONS
from lineage.admit import Reason
from lineage.catalog import training_contents
from lineage.review import queue
from lineage.tables import AdmissionRow, LedgerRow, VaultRow


def waiting(world: World) -> list[str]:
    with world.workspace.database.reader() as session:
        return [w.record_id for w in queue(session) if w.status == "quarantined"]


def hidden(page: str, verb: str) -> dict[str, str]:
    """The hidden fields of a bulk form, as a browser sends them back."""
    form = page.split(f'action="/review/all/{verb}"')[1].split("</form>", maxsplit=1)[0]
    fields = dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)">', form))
    return {name: value for name, value in fields.items() if name != "form_token"}


def test_every_reason_that_stops_a_record_has_words_and_is_a_filter() -> None:
    assert set(REASONS) == set(get_args(Reason)) - {"clean", "identifiers_redacted"}


def test_a_reviewer_reads_filters_and_rules(world: World) -> None:
    chat = put_in_quarantine(world, CHAT, since=NOW - timedelta(days=20))
    put_in_quarantine(world, note(1), source="mails", scanner=failed())
    dpo = world.browser("dana")
    page = dpo.get("/review").text
    assert "<strong>1</strong> A word of the Art. 9 list" in page
    assert "<strong>1</strong> The scan failed" in page
    assert "Cannot be released" in page
    assert "1 May 2026" in page  # 90 days after 31 January
    assert [i in dpo.get("/review?age=14").text for i in waiting(world)] == [True, False]
    assert [i in dpo.get("/review?source=mails").text for i in waiting(world)] == [False, True]

    page = dpo.get(f"/review/{chat}").text
    assert "Since my <mark>&lt;ART9_LEXICON&gt;</mark> I cannot call" in page
    assert "I have told <mark>[EMAIL]</mark>, who keeps your file" in page
    for value in (SECRET, "Quendolin", "quendolin.example", "ostrander"):
        assert value not in page
    assert dpo.post(f"/review/{chat}/release", because="harmless").headers["location"] == "/review?released=1"
    assert "1 released. The next training learns from them." in dpo.get("/review?released=1").text
    with world.workspace.database.reader() as session:
        (admission,) = session.exec(select(AdmissionRow)).all()
        (learnt,) = training_contents(session, [chat], keystore=world.workspace.keystore)
    assert (admission.record_id, admission.reviewer, admission.because) == (chat, "dana", "harmless")
    assert "[EMAIL]" in learnt.content.segments()[1]


def test_a_bulk_ruling_is_bound_to_what_was_read(world: World) -> None:
    for number in range(3):
        put_in_quarantine(world, note(number))
    put_in_quarantine(world, note(9), scanner=failed())
    dpo = world.browser("dana")
    assert "/review/all/" not in dpo.get("/review").text
    page = dpo.get("/review?source=tickets").text
    assert ">Release 3<" in page
    assert "of 4; the others cannot be" in page
    fields = hidden(page, "release") | {"because": "harmless"}
    assert dpo.post("/review/all/release", **fields).status_code == 400, "not confirmed"
    late = put_in_quarantine(world, note(4))
    refused = dpo.post("/review/all/release", **fields, sure="yes")
    assert (refused.status_code, "queue changed" in refused.text) == (409, True)
    assert len(waiting(world)) == 5
    fields = hidden(dpo.get("/review?source=tickets").text, "release") | {"because": "harmless", "sure": "yes"}
    assert dpo.post("/review/all/release", **fields).headers["location"] == "/review?released=4"
    assert late not in waiting(world)
    fields = hidden(dpo.get("/review?reason=scan_failed").text, "block") | {"because": "bad-source", "sure": "yes"}
    assert dpo.post("/review/all/block", **fields).headers["location"] == "/review?blocked=1"
    page = dpo.get("/review?status=blocked").text
    assert "The source is faulty and will be mended" in page
    with world.workspace.database.reader() as session:
        assert len(session.exec(select(VaultRow)).all()) == 4


def test_a_bulk_ruling_without_a_filter_is_refused(world: World) -> None:
    put_in_quarantine(world, note(1))
    refused = world.browser("dana").post("/review/all/block", because="unclear", sure="yes", digest="")
    assert refused.status_code == 400
    assert len(waiting(world)) == 1


@pytest.mark.parametrize("because", ["", "she agreed", "unclear"])
def test_a_ruling_needs_one_of_its_reasons(world: World, because: str) -> None:
    record_id = put_in_quarantine(world, note(1))
    assert world.browser("dana").post(f"/review/{record_id}/release", because=because).status_code == 400
    assert waiting(world) == [record_id]


def test_only_reviewers_see_the_quarantine_and_no_form_works_without_its_token(world: World) -> None:
    record_id = put_in_quarantine(world, note(1))
    assert world.browser().get("/review").status_code == 401
    for name in ("ines", "milo", "axel"):
        browser = world.browser(name)
        assert "/review" not in browser.get("/").text
        assert [browser.get(p).status_code for p in ("/review", f"/review/{record_id}")] == [403, 403]
        assert browser.post(f"/review/{record_id}/block", because="unclear").status_code == 403
    dpo = world.browser("dana")
    assert 'href="/review"' in dpo.get("/").text
    assert dpo.client.post(f"/review/{record_id}/block", data={"because": "unclear"}).status_code == 403
    assert dpo.client.post("/review/all/block", data={"because": "unclear", "source": "tickets"}).status_code == 403
    assert dpo.post(f"/review/{record_id}/forget", because="unclear").status_code == 404
    assert dpo.get("/review/zzz").status_code == 400
    assert waiting(world) == [record_id]


def test_every_look_is_logged_without_the_record(world: World) -> None:
    record_id = put_in_quarantine(world, note(1))
    dpo = world.browser("dana")
    for _ in range(2):
        assert dpo.get(f"/review/{record_id}").status_code == 200
    with world.workspace.database.reader() as session:
        seen = [json.loads(row.payload) for row in session.exec(select(LedgerRow)).all() if row.kind == "review.shown"]
    assert [payload["by"] for payload in seen] == ["dana", "dana"]
    assert record_id not in json.dumps(seen)


def test_what_was_not_scanned_is_hidden_and_can_only_be_blocked(world: World) -> None:
    record_id = put_in_quarantine(world, note(1), scanner=failed())
    dpo = world.browser("dana")
    page = dpo.get(f"/review/{record_id}").text
    assert "[hidden: the scan did not end" in page
    assert "invoice" not in page
    assert f"/review/{record_id}/release" not in page
    assert dpo.post(f"/review/{record_id}/release", because="harmless").status_code == 409
    assert dpo.post(f"/review/{record_id}/block", because="bad-source").status_code == 303


def test_a_text_cannot_write_into_the_page(world: World) -> None:
    from lineage.records import PlainText

    text = PlainText(f'<script>alert("{SECRET}")</script> & <img src=x>')
    page = world.browser("dana").get(f"/review/{put_in_quarantine(world, text)}").text
    assert "<script>" not in page
    assert "<img" not in page
    assert "&lt;script&gt;" in page


def test_the_text_of_a_record_is_set_as_text(world: World) -> None:
    """`.masked` is the small type of a hidden word: the frame around a whole record must not take it over."""
    record = put_in_quarantine(world, CHAT)
    dpo = world.browser("dana")
    page, sheet = dpo.get(f"/review/{record}").text, dpo.get("/static/console.css").text
    assert '<div class="segments">' in page
    assert 'class="masked"' not in page
    assert ".segments {" in sheet
