"""Notices: only the whole acknowledgement counts, eight tries and no more, and a case closes when nobody is waited for."""

from __future__ import annotations

import json
import shutil
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from letter_world import NOW, RECEIVED, at, filed, stand, step, with_contact
from lineage_world import ANN, DANA, DORA, FORMS, INES, MILO, World, composed

from lineage import inventory, ledger
from lineage.access import Actor, Role
from lineage.closing import Telling, acknowledge_by_hand, go_on, retry_notice, tell_person, waive_notice
from lineage.dossier import read_case
from lineage.endpoints import open_endpoint, parse_endpoint, seal_endpoint
from lineage.errors import RefusedByRule, WrongUsage
from lineage.evidence import add_evidence
from lineage.inventory import Party
from lineage.letters import Kind
from lineage.notice_words import said_to
from lineage.notices import (
    MAX_TRIES,
    WAITS,
    Acknowledged,
    Notice,
    State,
    acknowledgements,
    answered,
    begin_try,
    change,
    due,
    find_notice,
    notices,
    refusal,
)  # fmt: skip
from lineage.stages import Stage
from lineage.subjects import load_forms
from lineage.tables import CaseRow, ComposedAdapterRow, LedgerRow, NoticeRow, PartyRow
from lineage.tombstones import bury

SHOP, CRM = Party("shop", "recipient", "Example Shop Ltd", "support"), Party("crm", "upstream", "The CRM", "tickets")
ONE_DAY = timedelta(days=1)


def fresh(**fields) -> Notice:
    whole = {
        "id": "notice-1", "case_id": "case-1", "party": "shop", "body": "{}", "state": State.PENDING, "tries": 0,
        "next_try_at": NOW, "problem": "", "waived_by": "", "waive_reason": "", "made_at": NOW, "ended_at": None,
    }  # fmt: skip
    return Notice(**{**whole, **fields})


# --- what counts as an acknowledgement ------------------------------------------------------------------------------------

NOT_ACKNOWLEDGED = [
    (200, b'{"id": "notice-1", "ok": false}'), (200, b'{"id": "notice-2", "ok": true}'), (200, b'{"ok": true}'),
    (200, b'{"id": "notice-1"}'), (200, b'{"id": "notice-1", "ok": 1}'), (200, b'{"id": "notice-1", "ok": "true"}'),
    (200, b""), (200, b"OK"), (200, b"<html>ok</html>"), (200, b'["notice-1", true]'), (200, b"true"), (200, b"\xff\xfe"),
    (200, b"[" * 60_000), (201, b'{"id": "notice-1", "ok": true}'), (202, b'{"id": "notice-1", "ok": true}'),
    (204, b""), (302, b'{"id": "notice-1", "ok": true}'), (404, b""), (500, b'{"id": "notice-1", "ok": true}'),
]  # fmt: skip


@pytest.mark.parametrize(("status", "body"), NOT_ACKNOWLEDGED)
def test_nothing_less_than_200_with_this_id_and_ok_true_is_an_acknowledgement(status: int, body: bytes) -> None:
    problem = refusal("notice-1", status, body)
    assert problem
    assert "notice-" not in problem, "an answer is not repeated"


def test_200_with_this_id_and_ok_true_is_one() -> None:
    assert refusal("notice-1", 200, b'{"ok": true, "id": "notice-1", "at": "2026-03-02"}') == ""


@given(st.integers(100, 599), st.binary(max_size=40))
def test_no_random_answer_acknowledges_anything(status: int, body: bytes) -> None:
    assert refusal("notice-1", status, body)


# --- eight tries ----------------------------------------------------------------------------------------------------------


def test_eight_failed_tries_make_a_dead_letter_and_each_waits_longer() -> None:
    notice, now, waited = fresh(), NOW, []
    while notice.state != State.DEAD:
        with pytest.raises(RefusedByRule, match="not due"):
            begin_try(notice, now - timedelta(seconds=1))
        notice = begin_try(notice, now)
        assert (notice.state, notice.tries) == (State.SENT, len(waited) + 1)
        notice = answered(notice, "HTTP 500 instead of 200", now)
        waited.append(notice.next_try_at - now if notice.next_try_at else None)
        now = notice.next_try_at or now
    assert waited == [*WAITS, None]
    assert list(WAITS) == sorted(WAITS)
    assert (notice.tries, notice.ended_at, notice.problem) == (MAX_TRIES, now, "HTTP 500 instead of 200")
    with pytest.raises(RefusedByRule, match="not due"):
        begin_try(notice, now + timedelta(days=365))


def test_a_notice_that_was_sent_is_not_sent_again_before_its_wait_is_over() -> None:
    sent = begin_try(fresh(), NOW)
    with pytest.raises(RefusedByRule, match="not due"):
        begin_try(sent, NOW + WAITS[0] - timedelta(seconds=1))
    assert begin_try(sent, NOW + WAITS[0]).tries == 2, "whoever sent it died; it goes out again"
    last = fresh(state=State.SENT, tries=MAX_TRIES)
    assert begin_try(last, NOW).state == State.DEAD


def test_what_is_over_is_never_due() -> None:
    for state in (State.ACKNOWLEDGED, State.DEAD, State.WAIVED):
        with pytest.raises(RefusedByRule):
            begin_try(fresh(state=state), NOW)
    with pytest.raises(RefusedByRule):
        begin_try(fresh(next_try_at=None), NOW)


# --- where ----------------------------------------------------------------------------------------------------------------

NO_WEBHOOKS = [
    "http://shop.example/x", "ftp://shop.example/x", "https://", "shop.example", "https://user:pw@shop.example/",
    "https://shop.example/#part", "https://shop.example:99999/", "https://shop.example/a b", "https://shop.example/\nX: y",
    "http://127.0.0.1.shop.example/", "file:///etc/passwd", "", "https://shop.exämple/", "https://[::1", "http://10.0.0.1/", "https://shop.example/" + "x" * 2000,
]  # fmt: skip


@pytest.mark.parametrize("url", NO_WEBHOOKS, ids=lambda url: url[:40])
def test_only_https_or_this_machine_is_told(url: str) -> None:
    with pytest.raises(WrongUsage) as refused:
        parse_endpoint(url)
    assert not url or url not in str(refused.value)


def test_the_parts_of_a_webhook() -> None:
    found = parse_endpoint("https://shop.example/hooks?token=s3cret")
    assert (found.secure, found.host, found.port, found.target) == (True, "shop.example", 443, "/hooks?token=s3cret")
    assert "s3cret" not in repr(found)
    assert [parse_endpoint(u).port for u in ("http://localhost", "http://[::1]:8080/x", "http://127.0.0.1/")] == [
        80,
        8080,
        80,
    ]


# --- in a case ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def office(empty_workspace: Path, tmp_path: Path) -> World:
    return with_contact(shutil.copytree(empty_workspace, tmp_path / "ws"))


def put(world: World, party: Party, url: str | None = None) -> None:
    endpoint = seal_endpoint(world.workspace, party.name, url) if url else None
    with world.database.transaction() as session:
        inventory.put_party(session, party, actor=DANA, now=NOW, endpoint=endpoint)


def signed(world: World, *parties: Party, decisions=("erase",)) -> str:
    """A case that was just signed and has made its notices."""
    told = [{"name": party.name, "kind": party.kind, "whom": party.whom} for party in parties]
    case_id = stand(
        world, filed(world), Stage.SIGNED_OFF, decisions=decisions, more={"parties_to_be_told": told} if told else {}
    )
    carry_on(world, case_id)
    return case_id


def carry_on(world: World, case_id: str) -> None:
    with world.database.transaction() as session:
        go_on(session, case_id, world.settings, now=NOW)


def of(world: World, case_id: str) -> dict[str, Notice]:
    with world.database.reader() as session:
        return {notice.party: notice for notice in notices(session, case_id)}


def stage(world: World, case_id: str) -> str:
    with world.database.reader() as session:
        return session.get_one(CaseRow, case_id).stage


def told(world: World, case_id: str, kind: Kind = Kind.GRANTED) -> None:
    tell_person(world.workspace, case_id, Telling(kind, RECEIVED, own=True), actor=DANA, now=NOW)


def ack(world: World, notice: Notice, on: date = RECEIVED, *, actor: Actor = DANA) -> Notice:
    return acknowledge_by_hand(world.workspace, notice.id, actor=actor, on=on, now=NOW + ONE_DAY)


def waive(world: World, notice: Notice, *, actor: Actor = DANA, reason: str = "Dissolved.") -> Notice:
    return waive_notice(world.workspace, notice.id, actor=actor, reason=reason, now=NOW)


def test_without_parties_a_case_goes_straight_when_the_person_was_told(office: World) -> None:
    case_id = signed(office)
    assert stage(office, case_id) == Stage.SIGNED_OFF
    told(office, case_id)
    assert stage(office, case_id) == Stage.CLOSED
    with office.database.reader() as session:
        kinds = [event.kind for event in ledger.events_of_case(session, case_id)][-4:]
    assert kinds == ["case.signed_off", "letter.told", "case.notifying", "case.closed"]
    carry_on(office, case_id)
    found = read_case(office.workspace, case_id, now=NOW).standing
    assert (found.waits_for, found.case.ended) == ("", True)


@pytest.mark.parametrize("first", ["person", "parties"])
def test_a_case_closes_when_everybody_was_told_in_whatever_order(office: World, first: str) -> None:
    put(office, SHOP)
    put(office, CRM)
    case_id = signed(office, SHOP, CRM)
    assert stage(office, case_id) == Stage.NOTIFYING
    steps = [lambda: told(office, case_id), lambda: ack(office, of(office, case_id)["shop"]), lambda: waive(office, of(office, case_id)["crm"])]  # fmt: skip
    for take in steps if first == "person" else reversed(steps):
        assert stage(office, case_id) == Stage.NOTIFYING
        take()
    assert stage(office, case_id) == Stage.CLOSED
    with office.database.reader() as session:
        last = ledger.events_of_case(session, case_id)[-1]
    assert (last.payload["acknowledged"], last.payload["waived"]) == (1, 1)


def test_a_dead_letter_keeps_its_case_open(office: World) -> None:
    put(office, SHOP, "https://shop.example/hook")
    case_id = signed(office, SHOP)
    told(office, case_id)
    settle(office, case_id, State.DEAD)
    carry_on(office, case_id)
    assert stage(office, case_id) == Stage.NOTIFYING
    waits_for = read_case(office.workspace, case_id, now=NOW).standing.waits_for
    assert waits_for == "1 of 1 parties to acknowledge it, 1 of them given up on"
    again = retry_notice(office.workspace, of(office, case_id)["shop"].id, actor=MILO, now=NOW)
    assert (again.state, again.tries, again.next_try_at) == (State.PENDING, 0, NOW)


def settle(world: World, case_id: str, state: State) -> None:
    """The machine's last word on the only notice of a case."""
    with world.database.transaction() as session:
        (notice,) = notices(session, case_id)
        done = Notice(**{**vars_of(notice), "state": state, "next_try_at": None, "ended_at": NOW})
        change(session, done, state.value, now=NOW)


def vars_of(notice: Notice) -> dict[str, object]:
    return {name: getattr(notice, name) for name in Notice.__dataclass_fields__}


def test_a_notice_says_what_to_withdraw_and_nothing_of_the_person(office: World) -> None:
    put(office, SHOP, "https://shop.example/hook?token=s3cret")
    put(office, CRM)
    old, kept = composed(), composed("another")
    with office.database.transaction() as session:
        for digest, adapter in ((old, "support"), (kept, "sales")):
            session.add(ComposedAdapterRow(digest=digest, adapter=adapter, plan_digest="p", kind="full", built_at=NOW))
    named = [{"name": party.name, "kind": party.kind, "whom": party.whom} for party in (SHOP, CRM)]
    case_id = stand(office, filed(office), Stage.PURGED, more={"parties_to_be_told": named})
    with office.database.transaction() as session:
        contained = {"adapters": {"support": {"before": old}, "quiet": {"before": None}}}
        add_evidence(session, case_id, "containment", contained, now=NOW)
        add_evidence(session, case_id, "destruction", {"composed_adapters": [old, kept], "shard_adapters": []}, now=NOW)
    step(office, case_id, "signed_off", actor=DANA, certificate="c" * 64)
    carry_on(office, case_id)
    shop, crm = (json.loads(of(office, case_id)[name].body) for name in ("shop", "crm"))
    assert shop["data"]["adapters"] == [{"adapter": "support", "withdraw": [old], "serving": ""}], "only their scope"
    assert (shop["type"], shop["data"]["case"], shop["data"]["certificate"]) == ("lethe.erasure", case_id, "c" * 64)
    everything = said_of(office, case_id, Party("all", "recipient", "Everybody Ltd"))
    assert {one["adapter"]: one["withdraw"] for one in everything} == {"quiet": [], "sales": [kept], "support": [old]}
    assert crm["data"]["sources"] == ["tickets"]
    assert "adapters" not in crm["data"]
    said = json.dumps([shop, crm]) + "".join(row.payload for row in office.rows(LedgerRow))
    assert [value for value in (ANN, *FORMS[ANN].values()) if value in said] == []
    assert "s3cret" not in said
    assert all(b"s3cret" not in row.endpoint for row in office.rows(PartyRow) if row.endpoint)


def said_of(world: World, case_id: str, party: Party) -> list[dict]:
    """What a party without a scope would be told to withdraw."""
    put(world, party)
    with world.database.reader() as session:
        return said_to(session, case_id, session.get_one(PartyRow, party.name))["adapters"]


def test_notices_are_made_once(office: World) -> None:
    put(office, SHOP)
    case_id = signed(office, SHOP)
    before = office.rows(NoticeRow)
    carry_on(office, case_id)
    assert office.rows(NoticeRow) == before
    assert [row.state for row in before] == ["pending"]


def test_a_party_that_was_retired_since_is_told_all_the_same(office: World) -> None:
    put(office, SHOP)
    case_id = filed(office)
    with office.database.transaction() as session:
        inventory.retire(session, "party", "shop", actor=MILO, now=NOW)
    stand(
        office,
        case_id,
        Stage.SIGNED_OFF,
        more={"parties_to_be_told": [{"name": "shop", "kind": "recipient", "whom": "S"}]},
    )
    carry_on(office, case_id)
    assert list(of(office, case_id)) == ["shop"]


# --- by hand --------------------------------------------------------------------------------------------------------------


def test_a_party_without_a_webhook_is_told_by_hand_on_a_day_that_can_be(office: World) -> None:
    put(office, SHOP)
    case_id = signed(office, SHOP)
    notice = of(office, case_id)["shop"]
    with office.database.reader() as session:
        assert due(session, NOW + timedelta(days=365)) == []
    for day in (RECEIVED - ONE_DAY, RECEIVED + 2 * ONE_DAY):
        with pytest.raises(WrongUsage, match="between"):
            ack(office, notice, day)
    ack(office, notice, RECEIVED + ONE_DAY)
    with office.database.reader() as session:
        day = datetime(2026, 3, 3, tzinfo=UTC)
        assert acknowledgements(session, case_id) == (Acknowledged("shop", notice.id, day, day),)
    with pytest.raises(RefusedByRule, match="nobody waits"):
        ack(office, notice)


def test_nobody_acknowledges_for_a_party_that_the_machine_is_telling(office: World) -> None:
    put(office, SHOP, "https://shop.example/hook")
    case_id = signed(office, SHOP)
    notice = of(office, case_id)["shop"]
    with pytest.raises(RefusedByRule, match="sent by the machine"):
        ack(office, notice)
    with pytest.raises(RefusedByRule, match="nothing to retry"):
        retry_notice(office.workspace, notice.id, actor=DANA, now=NOW)
    settle(office, case_id, State.DEAD)
    assert ack(office, notice).state == State.ACKNOWLEDGED, "by telephone, after eight tries"


def test_whoever_was_told_by_hand_after_the_machine_gave_up_was_sent_nothing_later_than_that(office: World) -> None:
    """Else a supplement would say that it was acknowledged before it was sent, and could not be made."""
    put(office, SHOP, "https://shop.example/hook")
    case_id = signed(office, SHOP)
    with office.database.transaction() as session:
        change(session, begin_try(notices(session, case_id)[0], NOW), "sent", now=NOW)
    settle(office, case_id, State.DEAD)
    ack(office, of(office, case_id)["shop"])
    with office.database.reader() as session:
        (done,) = acknowledgements(session, case_id)
    assert done.sent == done.acknowledged == datetime(2026, 3, 2, tzinfo=UTC)


def test_a_party_without_a_webhook_cannot_be_retried_until_it_has_one(office: World) -> None:
    put(office, SHOP)
    case_id = signed(office, SHOP)
    notice = of(office, case_id)["shop"]
    with pytest.raises(RefusedByRule, match="has no webhook"):
        retry_notice(office.workspace, notice.id, actor=DANA, now=NOW)
    put(office, SHOP, "https://shop.example/hook")
    assert retry_notice(office.workspace, notice.id, actor=DANA, now=NOW).next_try_at == NOW
    with office.database.reader() as session:
        assert [n.id for n in due(session, NOW)] == [notice.id]


def test_only_a_dpo_who_did_not_file_waives_and_says_why_without_naming_anybody(office: World) -> None:
    put(office, SHOP)
    case_id = signed(office, SHOP)
    notice = of(office, case_id)["shop"]
    for actor in (INES, MILO, Actor("axel", Role.AUDITOR), Actor("root", Role.ADMIN), Actor("ines", Role.DPO)):
        with pytest.raises(RefusedByRule):
            waive(office, notice, actor=actor)
    with pytest.raises(WrongUsage, match="reason is needed"):
        waive(office, notice, reason=" ")
    with office.database.transaction() as session:
        forms = load_forms(session, office.keystore, office.key(ANN))
        bury(session, case_id=case_id, record_ids=[], forms=forms, keyring=office.keyring, on=RECEIVED)
    with pytest.raises(WrongUsage, match="repeats an identifier"):
        waive(office, notice, reason=f"They only ever had {FORMS[ANN]['name']}.")
    done = waive(office, notice, actor=DORA)
    assert (done.state, done.waived_by, done.waive_reason) == (State.WAIVED, "dora", "Dissolved.")
    with pytest.raises(RefusedByRule, match="nobody waits"):
        waive(office, notice)
    with office.database.reader() as session:
        assert acknowledgements(session, case_id) == ()


@pytest.mark.parametrize("actor", [MILO, Actor("axel", Role.AUDITOR)])
def test_only_who_speaks_for_the_controller_says_that_a_party_was_told(office: World, actor: Actor) -> None:
    put(office, SHOP)
    case_id = signed(office, SHOP)
    with pytest.raises(RefusedByRule, match="Only the role"):
        ack(office, of(office, case_id)["shop"], actor=actor)


def test_a_notice_that_there_is_not(office: World) -> None:
    with pytest.raises(WrongUsage, match="no notice"), office.database.transaction() as session:
        find_notice(session, "notice-0")


# --- webhooks in the inventory --------------------------------------------------------------------------------------------


def test_a_webhook_stays_when_other_facts_of_a_party_change_and_goes_when_told_so(office: World) -> None:
    put(office, SHOP, "https://shop.example/hook")
    put(office, Party("shop", "recipient", "Example Shop GmbH", ""))
    with office.database.reader() as session:
        assert open_endpoint(session, office.workspace, "shop").host == "shop.example"
    with office.database.transaction() as session:
        inventory.put_party(session, SHOP, actor=DANA, now=at(RECEIVED), endpoint=b"")
    with office.database.reader() as session, pytest.raises(WrongUsage, match="no webhook"):
        open_endpoint(session, office.workspace, "shop")
