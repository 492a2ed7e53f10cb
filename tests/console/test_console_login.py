"""The door of the desk: passwords, the lock, one's own password, and tokens of programs."""

from __future__ import annotations

from datetime import timedelta

import pytest
from desk_world import World

from lineage import passwords, tokens
from lineage.access import Actor, Role
from lineage.passwords import LOCKED_FOR, MAX_TRIES, Cost, set_password
from lineage.tokens import Scope

PASSWORD, NEW = "four kettles sing at dawn", "six herons wade at noon"
DANA, AXEL = Actor("dana", Role.DPO), Actor("axel", Role.AUDITOR)


@pytest.fixture
def door(world: World, monkeypatch: pytest.MonkeyPatch) -> World:
    monkeypatch.setattr(passwords, "COST", Cost(passes=1, memory_kib=64, lanes=1))
    set_password(world.workspace.database, DANA, password=PASSWORD, now=world.clock())
    return world


def knock(world: World, name: str = "dana", password: str = PASSWORD, **headers: str):
    browser = world.browser()
    return browser, browser.client.post("/login", data={"name": name, "password": password}, headers=headers)


def test_a_name_and_a_password_open_the_desk(door: World) -> None:
    assert 'action="/login"' in door.browser().get("/login").text
    browser, response = knock(door)
    assert (response.status_code, response.headers["location"]) == (303, "/")
    cookie = response.headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=strict" in cookie
    assert "dana" in browser.get("/").text


def test_who_is_not_logged_in_is_shown_the_door(door: World) -> None:
    response = door.browser().get("/")
    assert response.status_code == 401
    assert 'href="/login"' in response.text


@pytest.mark.parametrize(("name", "password"), [("dana", NEW), ("ines", PASSWORD), ("mallory", PASSWORD), ("", "")])
def test_no_refusal_says_what_was_wrong(door: World, name: str, password: str) -> None:
    pages = {knock(door, *who)[1].text for who in ((name, password), ("dana", "wrong altogether"))}
    assert len(pages) == 1
    assert "Name or password is wrong" in pages.pop()
    browser, response = knock(door, name, password)
    assert response.status_code == 403
    assert "set-cookie" not in response.headers
    assert browser.get("/").status_code == 401


def test_ten_tries_lock_the_password_and_not_the_link(door: World) -> None:
    for _ in range(MAX_TRIES):
        assert knock(door, "dana", NEW)[1].status_code == 403
    assert knock(door)[1].status_code == 403
    assert door.browser("dana").get("/").status_code == 200
    door.clock.now += LOCKED_FOR
    assert knock(door)[1].status_code == 303


def test_a_login_that_another_site_posts_is_refused(door: World) -> None:
    assert knock(door, **{"sec-fetch-site": "cross-site"})[1].status_code == 403
    assert knock(door, **{"sec-fetch-site": "same-site"})[1].status_code == 403
    assert knock(door, **{"sec-fetch-site": "same-origin"})[1].status_code == 303
    link, foreign = f"/login/{door.link('ines')}", {"sec-fetch-site": "cross-site"}
    assert door.browser().client.post(link, headers=foreign).status_code == 403
    assert door.browser().client.post(link).status_code == 303, "and the link is not used up by that"


def test_a_link_sets_the_first_password(door: World) -> None:
    ines = door.browser("ines")
    page = ines.get("/password").text
    assert "Set a password" in page
    assert 'name="current"' not in page
    response = ines.post("/password", new=NEW, again=NEW)
    assert (response.status_code, response.headers["location"]) == (303, "/login")
    assert ines.get("/").status_code == 401, "every session ends"
    assert knock(door, "ines", NEW)[1].status_code == 303


def test_a_change_needs_the_password_until_now(door: World) -> None:
    dana = door.browser("dana")
    for current in ("", NEW):
        refused = dana.post("/password", current=current, new=NEW, again=NEW)
        assert refused.status_code == 403
        assert "not your password until now" in refused.text
    assert dana.post("/password", current=PASSWORD, new=NEW, again=NEW + "!").status_code == 400
    assert dana.post("/password", current=PASSWORD, new="short", again="short").status_code == 400
    assert knock(door)[1].status_code == 303, "the old one stays"
    assert dana.post("/password", current=PASSWORD, new=NEW, again=NEW).status_code == 303
    assert knock(door)[1].status_code == 403
    assert knock(door, "dana", NEW)[1].status_code == 303


def test_a_password_page_without_a_session_or_its_token_does_nothing(door: World) -> None:
    assert door.browser().get("/password").status_code == 401
    assert door.browser().client.post("/password", data={"new": NEW, "again": NEW}).status_code == 401
    dana = door.browser("dana")
    data = {"current": PASSWORD, "new": NEW, "again": NEW, "form_token": "guess"}
    assert dana.client.post("/password", data=data).status_code == 403
    assert knock(door)[1].status_code == 303


def test_no_page_shows_a_password_that_was_typed(door: World) -> None:
    dana = door.browser("dana")
    typed = "a typed secret nobody repeats"
    pages = [knock(door, "dana", typed)[1], dana.post("/password", current=typed, new=NEW, again=NEW)]
    pages.append(dana.post("/password", current=PASSWORD, new="short", again="short"))
    assert not [page for page in pages if typed in page.text or PASSWORD in page.text or 'short"' in page.text]


# --- programs ----------------------------------------------------------------------------------------------------------------


def token(world: World, scope: Scope = Scope.CASES) -> str:
    with world.workspace.database.transaction() as session:
        return tokens.new_token(session, AXEL, scope=scope, days=1, now=world.clock())


def ask(world: World, path: str, authorization: str):
    return world.browser().client.get(path, headers={"authorization": authorization})


def test_a_token_reads_the_api_and_nothing_else(world: World) -> None:
    case_id = world.browser("ines").filed("wilma@quendolin.example")
    bearer = f"Bearer {token(world)}"
    assert [c["id"] for c in ask(world, "/api/cases", bearer).json()["cases"]] == [case_id]
    assert ask(world, f"/api/cases/{case_id}", bearer).status_code == 200
    for page in ("/", f"/cases/{case_id}", "/verify", "/password", "/keys/dpo.pub"):
        assert ask(world, page, bearer).status_code == 401
    sent = {"authorization": bearer}
    assert (
        world.browser().client.post(f"/cases/{case_id}/refuse", data={"reason": "r"}, headers=sent).status_code == 401
    )


def test_a_token_for_the_inbox_reads_no_case(world: World) -> None:
    case_id = world.browser("ines").filed("wilma@quendolin.example")
    bearer = f"Bearer {token(world, Scope.INBOX)}"
    assert ask(world, "/api/cases", bearer).status_code == 200
    refused = ask(world, f"/api/cases/{case_id}", bearer)
    assert refused.status_code == 403
    assert "needs one for cases" in refused.json()["error"]


def test_an_expired_a_revoked_and_an_unknown_token_are_told_the_same(world: World) -> None:
    revoked, expired = token(world), token(world)
    with world.workspace.database.transaction() as session:
        tokens.revoke_token(session, tokens.token_hash(revoked)[:12], actor=AXEL, now=world.clock())
    answers = [ask(world, "/api/cases", f"Bearer {revoked}")]
    world.clock.now += timedelta(days=1, hours=1)
    answers += [
        ask(world, "/api/cases", a) for a in (f"Bearer {expired}", "Bearer guess", "Bearer", f"Basic {expired}")
    ]
    assert {(a.status_code, a.text, a.headers["www-authenticate"]) for a in answers} == {
        (401, answers[0].text, "Bearer")
    }


def test_a_bad_token_is_not_mended_by_a_session(world: World) -> None:
    dana = world.browser("dana")
    assert dana.client.get("/api/cases").status_code == 200
    assert dana.client.get("/api/cases", headers={"authorization": "Bearer guess"}).status_code == 401
