"""The DPO's key lies under a passphrase, opens for one signature at a time, and leaves no trace of what opened it."""

from __future__ import annotations

import logging
import stat
import subprocess
import sys
import weakref
from collections.abc import Callable
from pathlib import Path

import pytest
from lineage_world import NOW, World
from sqlmodel import select

from lineage import dpo_key, ledger
from lineage.access import Actor, Role
from lineage.chain import Intact
from lineage.dpo_key import KeyState, dpo_key_state, make_dpo_key, open_dpo_key, require_dpo_key
from lineage.errors import LetheError, RefusedByRule, WrongUsage
from lineage.keys import create_key_pair, key_id
from lineage.tables import LedgerRow
from lineage.workspace import Workspace, create_workspace, open_workspace

DANA = Actor("dana", Role.DPO)
PASSPHRASE = "seven ferries cross the slow river"


def made(world: World, passphrase: str | None = PASSPHRASE) -> str:
    return make_dpo_key(world.workspace, actor=DANA, passphrase=passphrase, now=NOW)


def secrets_of(world: World) -> Path:
    return world.home / "secrets"


def for_trials(world: World) -> Workspace:
    """The same workspace, with `plain_dpo_key`."""
    with (world.settings.workspace / "lethe.toml").open("a", encoding="utf-8") as file:
        file.write("\n[staff]\nplain_dpo_key = true\n")
    return open_workspace(world.settings.workspace)


def test_a_new_workspace_has_no_dpo_key(tmp_path: Path) -> None:
    create_workspace(tmp_path / "ws", controller="Test GmbH")
    workspace = open_workspace(tmp_path / "ws")
    assert dpo_key_state(workspace) is KeyState.MISSING
    assert not list((workspace.home / "secrets").glob("dpo*"))
    for act in (require_dpo_key, lambda w: open_dpo_key(w, PASSPHRASE)):
        with pytest.raises(WrongUsage, match="no DPO key yet") as refusal:
            act(workspace)
        assert "lethe keys dpo" in refusal.value.hint


def test_a_made_key_opens_with_its_passphrase_only(world: World) -> None:
    made_id = made(world)
    assert dpo_key_state(world.workspace) is KeyState.LOCKED
    assert stat.S_IMODE((secrets_of(world) / "dpo.pem").stat().st_mode) == 0o600
    assert key_id(open_dpo_key(world.workspace, PASSPHRASE).public_key()) == made_id
    for wrong in (PASSPHRASE + " ", PASSPHRASE.upper(), "x"):
        with pytest.raises(WrongUsage, match="does not open"):
            open_dpo_key(world.workspace, wrong)
    for none in ("", None):
        with pytest.raises(RefusedByRule, match="each time anew"):
            open_dpo_key(world.workspace, none)


def test_a_key_is_never_made_over_another(world: World) -> None:
    made(world)
    before = {path: path.read_bytes() for path in secrets_of(world).iterdir()}
    with pytest.raises(WrongUsage, match="never overwritten"):
        made(world, "another passphrase altogether")
    assert {path: path.read_bytes() for path in secrets_of(world).iterdir()} == before


@pytest.mark.parametrize("passphrase", ["", "fourteen chars", "x" * 1001])
def test_a_passphrase_has_a_length(world: World, passphrase: str) -> None:
    with pytest.raises(WrongUsage, match="15 to 1000"):
        made(world, passphrase)
    assert dpo_key_state(world.workspace) is KeyState.MISSING


@pytest.mark.parametrize("role", sorted(set(Role) - {Role.DPO}))
def test_only_a_dpo_makes_the_key(world: World, role: Role) -> None:
    with pytest.raises(RefusedByRule, match="Only the role dpo"):
        make_dpo_key(world.workspace, actor=Actor("somebody", role), passphrase=PASSPHRASE, now=NOW)
    assert dpo_key_state(world.workspace) is KeyState.MISSING


def test_a_plain_key_signs_nothing_and_is_put_under_a_passphrase_as_it_is(world: World) -> None:
    """What an older `lethe init` left: certificates signed with it stay valid, so the key must stay."""
    old = key_id(create_key_pair(secrets_of(world), "dpo"))
    for act in (require_dpo_key, lambda w: open_dpo_key(w, None), lambda w: open_dpo_key(w, PASSPHRASE)):
        with pytest.raises(RefusedByRule, match="without a passphrase signs nothing"):
            act(world.workspace)
    plain, public = (secrets_of(world) / name for name in ("dpo.pem", "dpo.pub"))
    was = public.read_bytes()
    assert made(world) == old
    assert b"ENCRYPTED" in plain.read_bytes()
    assert stat.S_IMODE(plain.stat().st_mode) == 0o600
    assert public.read_bytes() == was
    assert key_id(open_dpo_key(world.workspace, PASSPHRASE).public_key()) == old


def test_trials_may_do_without_a_passphrase_and_only_where_the_settings_say_so(world: World) -> None:
    with pytest.raises(RefusedByRule, match="without a passphrase signs nothing"):
        made(world, None)
    workspace = for_trials(world)
    made_id = make_dpo_key(workspace, actor=DANA, passphrase=None, now=NOW)
    assert key_id(open_dpo_key(workspace, None).public_key()) == made_id
    with pytest.raises(RefusedByRule):
        open_dpo_key(world.workspace, None)


def test_a_file_that_does_not_say_it_is_encrypted_counts_as_plain(world: World) -> None:
    made(world)
    path = secrets_of(world) / "dpo.pem"
    path.write_bytes(b"# ENCRYPTED\n" + path.read_bytes())
    with pytest.raises(RefusedByRule, match="signs nothing"):
        open_dpo_key(world.workspace, PASSPHRASE)


def test_the_ledger_knows_the_key_and_not_who_made_it(world: World) -> None:
    made_id = made(world)
    with world.database.reader() as session:
        (row,) = session.exec(select(LedgerRow).where(LedgerRow.kind == "key.made")).all()
        assert isinstance(ledger.verify(session), Intact)
    assert made_id in row.payload
    assert "dana" not in row.payload


# --- nothing is left ------------------------------------------------------------------------------------------------------


class Watched(str):
    """A string of which one can see whether anybody still holds it."""

    __slots__ = ("__weakref__",)


def kept_by_nobody(act: Callable[[str], object]) -> bool:
    secret = Watched(PASSPHRASE)
    seen = weakref.ref(secret)
    act(secret)
    del secret
    return seen() is None


def test_nothing_holds_the_passphrase_after_the_signature(world: World) -> None:
    made(world)
    assert kept_by_nobody(lambda secret: open_dpo_key(world.workspace, secret))
    held: list[str] = []
    assert not kept_by_nobody(held.append), "the control: who keeps it is seen"


def test_no_message_and_no_log_line_holds_the_passphrase(world: World, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    made(world)
    wrong, said = "nine wrong ferries on the river", []
    for act in (lambda: open_dpo_key(world.workspace, wrong), lambda: made(world, wrong), lambda: made(world, "short")):
        with pytest.raises(LetheError) as refusal:
            act()
        said.append(f"{refusal.value} {refusal.value.hint} {refusal.value!r}")
    text = "\n".join([*said, caplog.text])
    assert not [secret for secret in (PASSPHRASE, wrong) if secret in text]
    on_disk = [path for path in world.settings.workspace.rglob("*") if path.is_file()]
    assert not [path for path in on_disk if PASSPHRASE.encode() in path.read_bytes()]


def test_importing_the_module_reads_nothing(tmp_path: Path) -> None:
    code = f"import {dpo_key.__name__}, sys; assert 'argon2' not in sys.modules"
    assert subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=False).returncode == 0
