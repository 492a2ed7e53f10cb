"""Every address of the desk, also one that is added tomorrow, asks who is there; every form must come from their own pages."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from desk_world import PERSON, World
from starlette.routing import Route

OPEN_TO_ALL = {"/healthz", "/login", "/login/{token}"}
VALUES = {
    "handle": "0" * 24, "notice_id": "notice-1", "verb": "ack", "action": "refuse", "role": "dpo", "record_id": "0" * 24,
}  # fmt: skip


@pytest.fixture
def case_id(world: World) -> str:
    return world.browser("ines").filed(*PERSON)


def addresses(world: World, method: str, case_id: str) -> Iterator[str]:
    """Every address that takes this method, with a real case in it."""
    for route in world.app.routes:
        if isinstance(route, Route) and method in (route.methods or ()) and route.path not in OPEN_TO_ALL:
            yield re.sub(r"\{(\w+)(:\w+)?\}", lambda found: {**VALUES, "case_id": case_id}[found[1]], route.path)


def test_nobody_reads_any_page_without_logging_in(world: World, case_id: str) -> None:
    stranger, found = world.browser(), list(addresses(world, "GET", case_id))
    assert len(found) >= 15
    assert {path: stranger.get(path).status_code for path in found} == dict.fromkeys(found, 401)


def test_nobody_posts_any_form_without_logging_in(world: World, case_id: str) -> None:
    stranger, found = world.browser(), list(addresses(world, "POST", case_id))
    assert len(found) >= 12
    assert {path: stranger.client.post(path, data={"x": "y"}).status_code for path in found} == dict.fromkeys(
        found, 401
    )


def test_no_form_is_taken_without_the_token_of_its_session(world: World, case_id: str) -> None:
    dpo, found = world.browser("dana"), list(addresses(world, "POST", case_id))
    forged = {"form_token": "guessed", "kind": "interim", "day": "2026-01-31", "reason": "none", "digest": "0" * 64}
    assert {path: dpo.client.post(path, data=forged).status_code for path in found} == dict.fromkeys(found, 403)
    assert dpo.get("/").status_code == 200, "and the session goes on"
