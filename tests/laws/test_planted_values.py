"""No quiet leak: an ingest in which nearly everything goes wrong leaves no planted value anywhere but in ciphertext.

Every log line at DEBUG of every process, standard output and error of every command, Dagster's storage, temporary files,
databases, rejects, the scan report: each file is searched, its name too, for each value in each spelling.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import pytest
from command_line import Said, lethe
from crashes import count
from small_world import copy_workspace, write_secret
from world_making import make_world

from lineage.bytescan import scan_bytes

LOUD = Path(__file__).parents[1] / "support" / "loud"
PLANTED = {
    "registered name": "Quillonia Vastergaard",
    "unregistered name": "Thessaly Obrenovic-Hale",
    "email": "q.vastergaard@quillonia.example",
    "phone": "+44 20 7946 0731",
    "account": "AC-7731-5542",
    "card": "4111 1111 1111 1111",
    "iban": "DE89 3704 0044 0532 0130 00",
    "ssn": "078-05-1126",
    "ip": "198.51.100.237",
    "mac": "00:00:5E:00:53:AF",
    "wallet": "16Yeky6GMjeNkAiNcBY7ZhrLoMSgg1BoyZ",
    "address": "47 Marrowbone Crescent",
    "given id": "ticket/quillonia+7731@desk.example",
    "any word of a text": "zyzzogeton marmalade",
}
FILLERS = 70  # more than a batch, so that a kill comes after something was stored
SUBJECT = PLANTED["email"]
SAID = "; ".join(f"the {kind} is {value}" for kind, value in PLANTED.items() if kind != "given id")
PARTS = "; ".join(PLANTED[kind] for kind in ("email", "phone", "ip", "mac", "wallet", "any word of a text"))


def spellings(value: str) -> set[str]:
    """As it is, without its separators, as URLs and JSON write it. Bytes, letter cases and base64 are `bytescan`'s."""
    squeezed = "".join(character for character in value if character.isalnum())
    coded = {quote(value, safe=""), quote(value), quote(value).replace("%20", "+"), json.dumps(value)[1:-1]}
    return {value, *coded, *({squeezed} if len(squeezed) >= 9 else ())}


FORMS = sorted(set().union(*map(spellings, PLANTED.values())))


def good_rows() -> Iterator[dict[str, object]]:
    """Judged: blocked, redacted, quarantined, oversize, in another language, failing, out of time, deadly."""
    texts = {
        "blocked": SAID, "redacted": PARTS, "art9": f"My diabetes; {PARTS}", "oversize": SAID + " and so on" * 6000,
        "raises": f"RAISE {SAID}", "slow": f"SLOW {SAID}", "dies": f"DIE {PARTS}",
    }  # fmt: skip
    for name, text in texts.items():
        yield {"id": f"{PLANTED['given id']} {name}", "text": text, "subjects": [SUBJECT]}
    yield {"id": "foreign", "text": SAID, "subjects": [SUBJECT], "language": "de"}
    yield {"id": "nobody", "text": PARTS, "subjects": []}
    yield {
        "id": "chat",
        "subjects": [SUBJECT],
        "messages": [{"role": "user", "content": SAID}, {"role": "assistant", "content": PARTS}],
    }


def bad_lines() -> Iterator[str]:
    """Refused: no subjects, wrong types, too long, the same id again, no JSON at all, no object."""
    yield json.dumps({"id": SAID, "text": SAID})
    yield json.dumps({"id": "a", "text": [SAID], "subjects": []})
    yield json.dumps({"id": "b", "text": SAID, "subjects": {"who": SAID}})
    yield json.dumps({"id": SAID * 90, "text": SAID, "subjects": [SAID * 90]})
    yield json.dumps({"id": "nobody", "text": SAID, "subjects": []})
    yield json.dumps({"id": "c", "subjects": [], "messages": [{"role": SAID, "content": SAID}]})
    yield json.dumps({"id": "d", "text": SAID, "prompt": SAID, "completion": SAID, "subjects": [], "language": [SAID]})
    yield f'{{"id": "{SAID}", "text": '
    yield json.dumps(SAID)


@dataclass
class Loud:
    """A folder that holds everything a command can write: the workspace, temporary files, what it said, what it logged."""

    folder: Path
    given: Path

    @property
    def workspace(self) -> Path:
        return self.folder / "ws"

    def run(self, *arguments: object, code: int | None = 0, given: str = "") -> Said:
        said = lethe(*arguments, workspace=self.workspace, code=code, given=given)
        with (self.folder / "said.txt").open("a", encoding="utf-8") as file:
            file.write(f"{said.out}\n{said.err}\n")
        return said

    def hits(self) -> tuple[str, ...]:
        return scan_bytes(self.folder, FORMS).hits


@pytest.fixture(scope="module")
def loud(tmp_path_factory) -> Iterator[Loud]:
    world = Loud(tmp_path_factory.mktemp("searched"), tmp_path_factory.mktemp("given"))
    with pytest.MonkeyPatch.context() as environment:
        for name in ("LETHE_WORKSPACE", "DAGSTER_HOME"):
            environment.delenv(name, raising=False)
        make_world(world.workspace, corpus=None, people=None, secret=write_secret(world.given))
        path = environment.setenv
        path("PYTHONPATH", f"{LOUD}:{Path(__file__).parents[2]}")
        for name in ("TMPDIR", "HOME", "XDG_CACHE_HOME", "HF_HOME"):
            (world.folder / name).mkdir()
            path(name, str(world.folder / name))
        path("LOUD_LOG", str(world.folder / "debug.log"))
        yield world


@pytest.fixture(scope="module")
def after(loud: Loud) -> Loud:
    """After an ingest that failed, was killed, went on, and was asked about; the file has the person's name."""
    corpus = loud.given / f"{PLANTED['registered name']}.jsonl"
    lines = [json.dumps(row) for row in good_rows()]
    fillers = [json.dumps({"id": f"f{i}", "text": f"Lamp {i}. {PARTS}", "subjects": []}) for i in range(FILLERS)]
    corpus.write_text("\n".join([*fillers, *lines[:3], *bad_lines(), *lines[3:]]) + "\n")
    people = loud.given / "people.csv"
    known = {"name": "registered name", "email": "email", "phone": "phone", "account": "account"}
    people.write_text(
        "subject,kind,value\n" + "".join(f"{SUBJECT},{kind},{PLANTED[name]}\n" for kind, name in known.items())
    )
    loud.run("register", "add", "--from-file", people)
    ask = ("ingest", corpus, "--source", "tickets")
    assert loud.run(*ask, code=None).code != 0, "it was killed"
    assert (loud.folder / "debug.log.died").exists()
    assert 0 < count(loud.workspace, "SELECT count(*) FROM record") < FILLERS + 10, "in the middle"
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("LOUD_FAULT", "store")
        assert loud.run(*ask, code=None).code == 4
    loud.run(*ask, "--json")
    headed = loud.given / "headed.csv"
    headed.write_text(f'id,text,subjects\n1,"{PARTS}",\n2,"{SAID}"\n3,{SAID},{SUBJECT},more\n')
    loud.run("ingest", headed, "--source", "tickets")
    headed.write_text(f'{PLANTED["email"]},text,subjects\n1,"{SAID}",\n')
    assert loud.run("ingest", headed, "--source", "tickets", code=None).code == 2
    for question in (("gate", "report"), ("gate", "report", "--json"), ("gate", "report", "--path"),
                     ("review", "list"), ("review", "list", "--json"), ("ledger", "verify")):  # fmt: skip
        loud.run(*question)
    loud.run("lineage", "subject", "--from-file", "-", "--json", given=SUBJECT)
    return loud


@pytest.mark.slow
def test_everything_went_wrong_that_should(after: Loud) -> None:
    """Without this the search would prove nothing."""
    reports = [json.loads(path.read_text()) for path in (after.workspace / ".lethe" / "ingests").glob("*/report.json")]
    first = max(reports, key=lambda report: report["rows"])
    expected = {"scan_failed": 1, "scan_timeout": 1, "oversize": 1, "language_not_covered": 1, "art9_lexicon": 1}
    assert expected.items() <= first["counts"]["reasons"].items()
    assert first["counts"]["reasons"]["blocked_identifier"] == 3
    assert first["counts"]["verdicts"]["redact"] == FILLERS + 2
    assert len(first["refusals"]) >= 6
    assert {"CREDIT_CARD", "EMAIL_ADDRESS", "PERSON", "PHONE_NUMBER", "IP_ADDRESS"} <= first["counts"]["types"].keys()
    log = (after.folder / "debug.log").read_text()
    assert len({line.split(" ")[0] for line in log.splitlines() if " DEBUG " in line}) > 3, "nobody was loud"


@pytest.mark.slow
def test_no_value_is_in_any_file_line_name_or_answer(after: Loud) -> None:
    assert after.hits() == ()
    searched = {path.name for path in after.folder.rglob("*") if path.is_file()}
    assert {"lethe.db", "keys.db", "report.json", "report.html", "debug.log", "said.txt"} <= searched
    assert any("dagster" in path.parts for path in after.folder.rglob("*.db"))


@pytest.mark.slow
@pytest.mark.parametrize("kind", PLANTED)
def test_a_value_in_any_spelling_would_have_been_found(after: Loud, tmp_path: Path, kind: str) -> None:
    """The control: each spelling alone, in the middle of a file of its own."""
    value = PLANTED[kind]
    copied = copy_workspace(after.workspace, tmp_path / "ws") / ".lethe" / "logs"
    copied.mkdir(exist_ok=True)
    written = {*spellings(value), base64.b64encode(f"id={value}&x".encode()).decode(), value.upper()}
    for number, spelling in enumerate(sorted(written)):
        (copied / f"{number}.log").write_text(f"DEBUG row {spelling} done")
    (copied / f"{quote(value, safe='')}.txt").write_text("")
    assert len(scan_bytes(tmp_path, FORMS).hits) == len(written) + 1


@pytest.mark.slow
def test_a_library_that_logs_texts_is_caught(after: Loud) -> None:
    """The control of the whole road: one line of one logger, and the search names the file."""
    path = after.given / "again.jsonl"
    path.write_text(json.dumps({"id": "again", "text": PARTS, "subjects": []}) + "\n")
    before = (after.folder / "debug.log").read_bytes()
    try:
        with pytest.MonkeyPatch.context() as environment:
            environment.setenv("LOUD_FAULT", "leak")
            after.run("ingest", path, "--source", "tickets")
        assert after.hits() == ("debug.log",)
    finally:
        (after.folder / "debug.log").write_bytes(before)
