"""What the desk says of derived files: who deletes each, before anybody approves it, and what became of it."""

from __future__ import annotations

import html
import re

import desk_world
import pytest
from desk_world import CONTRACT, DESTRUCTION, PERSON, World

FILES = [
    {"file": "phone-7", "kind": "merged", "deleted_by_machine": True, "content": "0" * 24},
    {"file": "laptop", "kind": "quantised"},
]
ENDED = [{"file": "phone-7", "result": "deleted"}, {"file": "tablet", "result": "not_reached", "reason": "changed"}]


def words(page: str) -> str:
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", page)).split())


def test_the_page_says_of_each_file_who_deletes_it_and_what_became_of_it(world: World, monkeypatch) -> None:
    ines, dana = world.browser("ines"), world.browser("dana")
    case_id = ines.filed(PERSON[1])
    world.play_preview(case_id, {**CONTRACT, "derived_files": FILES})
    page = words(dana.get(f"/cases/{case_id}").text)
    assert "phone-7 merged, deleted by the machine in the purge" in page
    assert "laptop quantised, for a person to withdraw" in page
    dana.post(f"/cases/{case_id}/approve", digest=dana.hidden_digest(case_id))
    world.play_erasure(case_id)
    dana.post(f"/cases/{case_id}/approve_purge", digest=dana.hidden_digest(case_id))
    monkeypatch.setattr(desk_world, "DESTRUCTION", {**DESTRUCTION, "derived_files": ENDED})
    world.play_purge(case_id)
    page = words(dana.get(f"/cases/{case_id}").text)
    assert "phone-7 deleted." in page
    assert "tablet not reached: what stands there is not what was registered. Somebody must withdraw it." in page


@pytest.mark.parametrize("word", ["phone-7", "not reached"])
def test_a_case_without_such_files_says_nothing_of_them(world: World, word: str) -> None:
    case_id = world.browser("ines").filed(PERSON[1])
    world.play_preview(case_id)
    assert word not in words(world.browser("dana").get(f"/cases/{case_id}").text)
