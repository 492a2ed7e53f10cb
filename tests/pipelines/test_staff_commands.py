"""`lethe staff`, `lethe keys` and who may start a job: refusals in one sentence, and secrets that pass by no argument."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result
from command_line import PASSPHRASE, command_tree, lethe_here, one_sentence
from road import hire

from lineage.dpo_key import open_dpo_key
from lineage.errors import RefusedByRule, WrongUsage
from lineage.passwords import is_password
from lineage.workspace import open_workspace
from pipelines.cli import cli
from pipelines.ingest import utc_now

PASSWORD = "four kettles sing at dawn"


@pytest.fixture
def folder(tmp_path: Path, here: pytest.MonkeyPatch) -> Path:
    lethe_here("init", tmp_path / "ws")
    hire(tmp_path / "ws")
    return tmp_path / "ws"


def secret_file(path: Path, text: str, mode: int = 0o600) -> Path:
    path.touch(mode=mode)
    path.write_text(text + "\n")
    path.chmod(mode)
    return path


def test_init_makes_no_key_for_the_dpo(tmp_path: Path, here: pytest.MonkeyPatch) -> None:
    said = lethe_here("init", tmp_path / "ws")
    assert "dpo" not in said.out
    assert "lethe keys dpo" in lethe_here("doctor", workspace=tmp_path / "ws", code=None).out


@pytest.mark.parametrize("who", ["ines", "dana", "max", "mallory"])
def test_only_an_administrator_adds_staff(folder: Path, who: str) -> None:
    add = ("staff", "add", "pia", "--role", "ml", "--as", who)
    one_sentence(lethe_here(*add, workspace=folder, code=None), 3)
    assert "pia" not in lethe_here("staff", "list", workspace=folder).out


@pytest.mark.parametrize("job", ["preview", "run", "purge"])
@pytest.mark.parametrize("who", ["ines", "root", "mallory"])
def test_a_job_asks_who_starts_it_before_it_looks_for_the_case(folder: Path, job: str, who: str) -> None:
    said = lethe_here("erase", job, "case-1", "--as", who, workspace=folder, code=None)
    one_sentence(said, 3)
    one_sentence(lethe_here("erase", job, "case-1", "--as", "max", workspace=folder, code=None), 2, "no case")


@pytest.mark.parametrize("who", ["root", "mallory"])
def test_the_register_is_changed_by_who_knows_the_people(folder: Path, tmp_path: Path, who: str) -> None:
    people = tmp_path / "people.csv"
    people.write_text("subject,kind,value\nC-1,email,pia@quillonia.example\n")
    for words in (("register", "add"), ("register", "remove")):
        one_sentence(lethe_here(*words, "--from-file", people, "--as", who, workspace=folder, code=None), 3)
    assert lethe_here("register", "list", "--json", workspace=folder).json().get("email", 0) == 0


# --- secrets ------------------------------------------------------------------------------------------------------------------


def test_no_command_takes_a_secret_as_an_argument() -> None:
    """What stands on a command line stands in the list of processes and in the shell's history."""
    options = [(words, o) for words, command in command_tree() for o in command.params if isinstance(o, click.Option)]
    telling = [(words, o) for words, o in options if {"pass", "secret", "token"} & set("-".join(o.opts).split("-"))
               or any("pass" in opt for opt in o.opts)]  # fmt: skip
    assert {words for words, _ in telling} >= {"lethe keys dpo", "lethe erase sign", "lethe staff passwd"}
    assert not [(words, o.opts) for words, o in telling if not isinstance(o.type, click.Path) and not o.is_flag]


@pytest.mark.parametrize("command", [("keys", "dpo", "--as", "dana"), ("staff", "passwd", "max")])
def test_a_secret_in_a_file_that_others_can_read_is_refused(folder: Path, tmp_path: Path, command) -> None:
    option = "--passphrase-file" if command[0] == "keys" else "--password-file"
    file = secret_file(tmp_path / "open", PASSWORD, 0o644)
    said = lethe_here(*command, option, file, workspace=folder, code=None)
    one_sentence(said, 2, "Other users can read")
    empty = secret_file(tmp_path / "empty", "")
    one_sentence(lethe_here(*command, option, empty, workspace=folder, code=None), 2, "empty")
    one_sentence(lethe_here(*command, option, tmp_path / "no", workspace=folder, code=None), 2, "does not exist")


def test_without_a_terminal_nobody_is_asked(folder: Path) -> None:
    one_sentence(lethe_here("staff", "passwd", "max", workspace=folder, code=None), 2, "no terminal")


def test_the_key_is_there_and_its_passphrase_nowhere(folder: Path) -> None:
    one_sentence(lethe_here("keys", "dpo", "--as", "dana", workspace=folder, code=None), 2, "never overwritten")
    one_sentence(lethe_here("keys", "dpo", "--as", "max", workspace=folder, code=None), 3, "Only the role dpo")
    one_sentence(lethe_here("keys", "dpo", "--plain", "--as", "dana", workspace=folder, code=None), 3, "signs nothing")
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert not [path for path in files if PASSPHRASE.encode() in path.read_bytes()]
    assert "no DPO key" not in lethe_here("doctor", workspace=folder, code=None).out


def test_a_password_from_a_file_is_set_and_taken_away(folder: Path, tmp_path: Path) -> None:
    file = secret_file(tmp_path / "password", PASSWORD)
    said = lethe_here("staff", "passwd", "max", "--password-file", file, workspace=folder)
    assert PASSWORD not in said.out + said.err
    database = open_workspace(folder).database
    assert is_password(database, "max", PASSWORD, now=utc_now())
    again = ("staff", "passwd", "max", "--password-file", file)
    one_sentence(lethe_here(*again, workspace=folder, code=None), 2, "no terminal")  # asks for the one until now
    one_sentence(lethe_here("staff", "passwd", "max", "--forget", "--as", "dana", workspace=folder, code=None), 3)
    assert is_password(database, "max", PASSWORD, now=utc_now())
    lethe_here("staff", "passwd", "max", "--forget", "--as", "root", workspace=folder)
    assert not is_password(database, "max", PASSWORD, now=utc_now())


def test_a_token_is_shown_once_and_taken_back(folder: Path) -> None:
    token = lethe_here("staff", "token", "new", "--scope", "inbox", "--as", "max", workspace=folder).out.strip()
    assert token.startswith("lethe_")
    (listed,) = lethe_here("staff", "token", "list", "--json", workspace=folder).json()
    assert (listed["user"], listed["scope"], listed["standing"]) == ("max", "inbox", "valid")
    assert token not in str(listed)
    revoke = ("staff", "token", "revoke", listed["id"])
    one_sentence(lethe_here(*revoke, "--as", "dana", workspace=folder, code=None), 3, "Only the role admin")
    lethe_here(*revoke, workspace=folder)
    assert "revoked" in lethe_here("staff", "token", "list", workspace=folder).out
    too_long = ("staff", "token", "new", "--scope", "inbox", "--days", "400")
    one_sentence(lethe_here(*too_long, workspace=folder, code=None), 2, "365")


# --- at a terminal ------------------------------------------------------------------------------------------------------------


class Terminal(io.BytesIO):
    """Somebody who types."""

    def isatty(self) -> bool:
        return True


def typed(folder: Path, *words: str, lines: Sequence[str]) -> Result:
    """What a command says to somebody who types these lines when asked."""
    given = Terminal("".join(f"{line}\n" for line in lines).encode())
    result = CliRunner().invoke(cli, words, input=given, env={"LETHE_WORKSPACE": str(folder)})
    assert not [line for line in lines if line in result.output], "no secret is echoed"
    return result


def test_a_change_of_password_asks_for_the_one_until_now_and_twice_for_the_new_one(folder: Path) -> None:
    new = "six herons wade at noon"
    assert typed(folder, "staff", "passwd", "max", lines=[PASSWORD, PASSWORD]).exit_code == 0
    refused = typed(folder, "staff", "passwd", "max", lines=[new, new, new])
    assert isinstance(refused.exception, RefusedByRule)
    database = open_workspace(folder).database
    assert is_password(database, "max", PASSWORD, now=utc_now())
    assert typed(folder, "staff", "passwd", "max", lines=[PASSWORD, new, "mistyped", new, new]).exit_code == 0
    assert is_password(database, "max", new, now=utc_now())


def test_the_key_is_made_under_what_is_typed_twice(folder: Path) -> None:
    for name in ("dpo.pem", "dpo.pub"):
        (folder / ".lethe" / "secrets" / name).unlink()
    words, typed_by_dana = ("keys", "dpo", "--as", "dana"), "a river with no ferry at all"
    assert isinstance(typed(folder, *words, lines=["short", "short"]).exception, WrongUsage)
    assert typed(folder, *words, lines=[typed_by_dana, "mistyped", typed_by_dana, typed_by_dana]).exit_code == 0
    assert open_dpo_key(open_workspace(folder), typed_by_dana)
    assert isinstance(typed(folder, *words, lines=[typed_by_dana, typed_by_dana]).exception, WrongUsage)
