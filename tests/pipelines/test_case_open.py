"""On the command line: a preview says why each record was found, and a DPO opens one of them under their name."""

from __future__ import annotations

import pytest
from command_line import lethe_here, one_sentence
from road import hire
from small_world import PLANTED, copy_workspace, values_of


@pytest.fixture(scope="module")
def previewed(ingested, tmp_path_factory):
    """The planted person's case at PREVIEW_READY, the `--json` of its preview, and what was printed."""
    folder = copy_workspace(ingested.folder, tmp_path_factory.mktemp("open") / "ws")
    if not lethe_here("staff", "list", "--json", workspace=folder).json():
        hire(folder)
    arguments = ("erase", "file", "--as", "ines", "--identity", "portal", "--json")
    case_id = lethe_here(*arguments, workspace=folder, given=PLANTED.customer_id + "\n").json()["id"]
    told = lethe_here("erase", "preview", case_id, workspace=folder)
    return folder, case_id, lethe_here("erase", "preview", case_id, "--json", workspace=folder).json(), told.out


def of_the_person(text: str) -> list[str]:
    return [value for value in values_of([PLANTED]) if value in text]


def handles(body: dict, relation: str) -> list[str]:
    return [record["handle"] for record in body["contract"]["records"] if record["relation"] == relation]


def view(folder, case_id: str, handle: str, *more: str, who: str = "dana", code: int | None = 0):
    arguments = ("erase", "open", case_id, handle, "--as", who, "--reason", "Is it the same person?", *more)
    return lethe_here(*arguments, workspace=folder, code=code)


def test_the_preview_and_the_case_say_why_each_record_was_found_and_quote_none(previewed):
    folder, case_id, body, told = previewed
    assert {record["relation"] for record in body["contract"]["records"]} == {"declared", "mentioned"}
    for handle in handles(body, "mentioned"):
        (line,) = [line for line in told.splitlines() if handle[:12] in line]
        assert "redacted at ingest" in line
        assert "mentioned: " in line
        assert all(seen["redacted"] == seen["count"] for seen in body["sightings"]["records"][handle])
    types = {seen["type"] for those in body["sightings"]["records"].values() for seen in those}
    assert types & {"PERSON", "EMAIL_ADDRESS", "PHONE_NUMBER", "ACCOUNT"}
    shown = lethe_here("erase", "show", case_id, workspace=folder).out
    assert all(line in shown for line in told.splitlines() if "mentioned: " in line)
    assert not of_the_person(told + shown + str(body))


def test_a_dpo_opens_a_record_and_the_history_says_so_without_the_text(previewed):
    folder, case_id, body, _ = previewed
    opened = [view(folder, case_id, handle[:12]) for handle in handles(body, "declared")]
    assert any(f"[[PERSON: {PLANTED.name}]]" in said.out for said in opened)
    assert not [said.err for said in opened if said.err]
    segments = view(folder, case_id, handles(body, "declared")[0], "--json").json()["segments"]
    assert {piece["masked"] for segment in segments for piece in segment["pieces"]} <= {True, False}
    case = lethe_here("erase", "show", case_id, "--json", workspace=folder)
    views = [event["payload"] for event in case.json()["events"] if event["kind"] == "record.viewed"]
    assert len(views) == len(opened) + 1
    assert {(v["by"], v["reason"]) for v in views} == {("dana", "Is it the same person?")}
    assert not of_the_person(case.out)
    lethe_here("ledger", "verify", workspace=folder)


@pytest.mark.parametrize("who", ["ines", "max"])
def test_other_roles_are_refused_with_the_rule(previewed, who):
    folder, case_id, body, _ = previewed
    said = view(folder, case_id, handles(body, "declared")[0], who=who, code=None)
    one_sentence(said, 3, "Only the role dpo may open a record of a case")
    assert not said.out


def test_a_record_outside_the_case_is_refused(previewed):
    folder, case_id, _, _ = previewed
    one_sentence(view(folder, case_id, "0" * 24, code=None), 3, "not one of case", "lethe erase show")
    one_sentence(view(folder, case_id, "0", code=None), 2, "at least 8 characters")
    one_sentence(view(folder, "case-00000000", "0" * 24, code=None), 2, "There is no case")


def test_a_reason_that_names_somebody_is_refused(previewed):
    folder, case_id, body, _ = previewed
    arguments = ("erase", "open", case_id, handles(body, "declared")[0], "--as", "dana", "--reason")
    for reason in (f"Is it {PLANTED.name}?", " "):
        said = lethe_here(*arguments, reason, workspace=folder, code=None)
        one_sentence(said, 2, "A reason")
        assert not of_the_person(said.out + said.err)
