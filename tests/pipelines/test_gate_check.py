"""`lethe gate show` and `gate check`: what a policy does to a text, in words, and nothing is left of it."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from command_line import lethe_here
from small_world import PLANTED, SECOND

from lineage.policy import load_policy

CARD = "4111 1111 1111 1111"
TEXT = f"Mail quill@vastergaard.com or call +44 20 7946 0731, card {CARD}."


def sample(folder: Path, text: str = TEXT) -> Path:
    path = folder / "sample.txt"
    path.write_text(text)
    return path


def check(*arguments: object, **named: object) -> dict:
    return lethe_here("gate", "check", "--json", *arguments, **named).json()


@pytest.fixture
def nowhere(tmp_path, monkeypatch):
    """A folder without a workspace around it."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_without_a_workspace_a_policy_must_be_named(nowhere):
    said = lethe_here("gate", "check", sample(nowhere), code=2)
    assert "--policy" in said.err
    assert lethe_here("gate", "show", code=2).err == said.err


def test_each_finding_says_which_key_decided_and_why(nowhere):
    found = check(sample(nowhere), "--policy", "default")
    assert found["register"] is False
    assert (found["decision"]["verdict"], found["decision"]["reason"]) == ("block", "blocked_identifier")
    told = {f["entity_type"]: (f["action"], f["rule"], f["because"]) for f in found["decision"]["findings"]}
    nobody = "nobody in the register is linked"
    assert told["EMAIL_ADDRESS"] == ("redact", "entities.EMAIL_ADDRESS.action", nobody)
    assert told["CREDIT_CARD"] == ("block", "entities.CREDIT_CARD.action", nobody)
    said = lethe_here("gate", "check", sample(nowhere), "--policy", "default").out
    assert f"EMAIL_ADDRESS: redact, because {nobody} (entities.EMAIL_ADDRESS.action)" in said


def test_what_stops_the_record_is_masked_and_what_is_redacted_is_a_constant(nowhere):
    said = lethe_here("gate", "check", sample(nowhere), "--policy", "default").out
    assert "Mail [EMAIL] or call [PHONE], card <CREDIT_CARD>." in said
    assert CARD not in said
    assert CARD not in lethe_here("gate", "check", sample(nowhere), "--policy", "default", "--json").out


def test_standard_input_is_a_sample_too(nowhere):
    found = check("-", "--policy", "default", given="Nothing here.")
    assert found["decision"]["verdict"] == "allow"
    assert found["decision"]["text"] == ["Nothing here."]


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("none.txt", None, "does not exist"),
        ("empty.txt", b"\n", "is empty"),
        ("bytes.txt", b"\xff\xfe\x00", "is not text in UTF-8"),
        (".", None, "is a folder"),
    ],
)
def test_a_sample_that_is_no_text_is_refused_in_words(nowhere, name, content, words):
    if content is not None:
        (nowhere / name).write_bytes(content)
    said = lethe_here("gate", "check", nowhere / name, "--policy", "default", code=2)
    assert f"The sample {words}." in said.err


def test_the_declared_person_is_known_without_a_register(nowhere):
    (nowhere / "who.txt").write_text("quill@vastergaard.com\n+44 20 7946 0731\n")
    both = check(
        sample(nowhere), "--policy", "default", "--against", "strict", "--subject-from-file", nowhere / "who.txt"
    )
    actions = {
        side: {f["entity_type"]: (f["action"], f["rule"].rpartition(".")[2]) for f in both[side]["findings"]}
        for side in ("decision", "against")
    }
    for kind in ("EMAIL_ADDRESS", "PHONE_NUMBER"):
        assert actions["decision"][kind] == ("allow", "declared_subject")
        assert actions["against"][kind] == ("redact", "declared_subject")


def test_two_policies_stand_side_by_side_and_differences_are_marked(nowhere):
    (nowhere / "who.txt").write_text("quill@vastergaard.com\n")
    said = lethe_here(
        "gate", "check", sample(nowhere), "--policy", "default", "--against", "strict", "--subject-from-file",
        nowhere / "who.txt",
    ).out  # fmt: skip
    lines = {line.split()[2]: line for line in said.splitlines() if "EMAIL_ADDRESS" in line and "-" in line.split()[1]}
    assert lines["EMAIL_ADDRESS"].startswith("≠")
    assert [line for line in said.splitlines() if "CREDIT_CARD" in line and line.startswith("≠")] == []


def test_nothing_of_a_text_that_could_not_be_scanned_is_shown(nowhere):
    (nowhere / "short.toml").write_text(
        (Path(__file__).parents[2] / "lineage/policies/default.toml").read_text().replace("50000", "10")
    )
    found = check(sample(nowhere), "--policy", nowhere / "short.toml")
    assert (found["decision"]["reason"], found["decision"]["text"]) == ("oversize", None)
    assert "hidden" in lethe_here("gate", "check", sample(nowhere), "--policy", nowhere / "short.toml").out


def test_the_register_of_a_workspace_links_people_and_nothing_is_stored(ingested, tmp_path):
    before = tree(ingested.folder)
    text = f"I am {SECOND.value('name')}, {SECOND.email}; ask {PLANTED.value('name')}."
    who = tmp_path / "who.txt"
    who.write_text(SECOND.customer_id + "\n")
    found = check(sample(tmp_path, text), "--subject-from-file", who, workspace=ingested.folder)
    assert found["register"] is True
    assert {f["rule"].rpartition(".")[2] for f in found["decision"]["findings"]} >= {"declared_subject", "other_person"}
    assert found["decision"]["text"] == [text.replace(PLANTED.value("name"), "[PERSON]")]
    assert tree(ingested.folder) == before


def tree(folder: Path) -> dict[str, str]:
    """Every file of a workspace but SQLite's shared memory, hashed."""
    files = (path for path in folder.rglob("*") if path.is_file() and not path.name.endswith(("-shm", "-wal")))
    return {path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_show_prints_the_policy_in_force_and_its_digest(ingested):
    shown = lethe_here("gate", "show", "--json", workspace=ingested.folder).json()
    assert shown["digest"] == load_policy("default").digest
    assert shown["policy"]["entities"]["PERSON"]["declared_subject"] == "allow"
    said = lethe_here("gate", "show", "--policy", "strict", workspace=ingested.folder).out
    assert load_policy("strict").digest in said
    assert [line.split()[:4] for line in said.splitlines() if line.startswith("  PERSON")] == [
        ["PERSON", "quarantine", "redact", "redact"]
    ]
    assert "[PERSON], own person by pseudonym" in said


def test_a_policy_in_several_languages_is_shown_by_the_keys_of_its_file_and_no_lists_of_words():
    said = lethe_here("gate", "show", "--policy", "european").out
    assert "  languages.de.phone.regions: DE, AT, CH\n" in said
    assert "  require_ner: false\n" in said
    assert "{" not in said
    assert max(map(len, said.splitlines())) < 250
