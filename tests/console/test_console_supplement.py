"""From the last acknowledgement to a supplement that the verifier accepts: prepared once, read, signed under a passphrase."""

from __future__ import annotations

import hashlib
from datetime import timedelta
from pathlib import Path

import pytest
from command_line import PASSPHRASE, lethe_here, one_sentence
from desk_world import CONTRACT, NOW, PERSON, World, digest, make_world

from lineage import closing, inventory, ledger, supplementing
from lineage.access import Actor, Role
from lineage.closing import Telling
from lineage.errors import NotAcceptable, RefusedByRule, WrongUsage
from lineage.letters import Kind
from lineage.notices import OPEN, notices
from lineage.verify import load_trusted_keys, verify_file

DANA, INES, LATER = Actor("dana", Role.DPO), Actor("ines", Role.INTAKE), NOW + timedelta(days=1)
NAMES = ("archive", "partner")


@pytest.fixture
def world(tmp_path: Path) -> World:
    return make_world(tmp_path / "ws")


def signed(world: World) -> str:
    """A signed case that two parties have to be told of."""
    with world.workspace.database.transaction() as session:
        for name in NAMES:
            inventory.put_party(session, inventory.Party(name, "recipient", f"The {name}"), actor=DANA, now=NOW)
    intake, dpo = world.browser("ines"), world.browser("dana")
    case_id = intake.filed(*PERSON)
    parties = [{"name": name, "kind": "recipient", "whom": f"The {name}"} for name in NAMES]
    world.play_preview(case_id, {**CONTRACT, "parties_to_be_told": parties})
    dpo.post(f"/cases/{case_id}/approve", digest=dpo.hidden_digest(case_id))
    world.play_erasure(case_id)
    dpo.post(f"/cases/{case_id}/approve_purge", digest=dpo.hidden_digest(case_id))
    world.play_purge(case_id)
    done = dpo.post(f"/cases/{case_id}/sign", digest=dpo.hidden_digest(case_id), passphrase=PASSPHRASE)
    assert done.status_code == 303
    return case_id


def close(world: World, case_id: str, *, waive: int = 1) -> None:
    """The first parties that are waited for acknowledge, the last `waive` are waived, and the person was told."""
    with world.workspace.database.reader() as session:
        told = [notice for notice in notices(session, case_id) if notice.state in OPEN]
    kept = len(told) - waive
    for notice in told[:kept]:
        closing.acknowledge_by_hand(world.workspace, notice.id, actor=INES, on=NOW.date(), now=LATER)
    for notice in told[kept:]:
        closing.waive_notice(world.workspace, notice.id, actor=DANA, reason="Dissolved.", now=LATER)
    telling = Telling(Kind.GRANTED, NOW.date(), own=True)
    closing.tell_person(world.workspace, case_id, telling, actor=INES, now=LATER)


def wanted(world: World) -> list[str]:
    with world.workspace.database.reader() as session:
        return supplementing.wanted(world.workspace, session)


def sign(world: World, case_id: str, digest: str, *, actor: Actor = DANA, passphrase: str | None = PASSPHRASE) -> Path:
    return supplementing.sign(
        world.workspace, case_id, digest=digest, actor=actor, now=LATER, passphrase=passphrase
    )  # fmt: skip


def test_who_acknowledged_is_signed_twice_and_verified(world: World) -> None:
    case_id = signed(world)
    with pytest.raises(RefusedByRule, match="is at NOTIFYING"):
        supplementing.prepare(world.workspace, case_id, now=LATER)
    with world.workspace.database.reader() as session:
        first = notices(session, case_id)[0].id
    closing.acknowledge_by_hand(world.workspace, first, actor=INES, on=NOW.date(), now=LATER)
    assert wanted(world) == [], "somebody is waited for yet"
    close(world, case_id)
    assert wanted(world) == [case_id]
    half = supplementing.prepare(world.workspace, case_id, now=LATER).read_bytes()
    assert supplementing.prepare(world.workspace, case_id, now=LATER + timedelta(days=1)).read_bytes() == half, "once"
    assert wanted(world) == []
    waits = supplementing.waiting(world.workspace, case_id)
    assert waits is not None
    assert [one.party for one in waits.notices] == ["archive"], "whoever was waived acknowledged nothing"
    assert waits.digest == hashlib.sha256(half).hexdigest()
    path = sign(world, case_id, waits.digest)
    assert sign(world, case_id, waits.digest) == path
    certificate = world.workspace.case_directory(case_id) / "certificate.json"
    trusted = load_trusted_keys(keys=world.workspace.home / "secrets")
    assert verify_file(certificate, trusted=trusted, expect_case=case_id, supplement=path).ok
    assert not verify_file(certificate, trusted=trusted, supplement=waits.path).ok, "half a signature is none"
    assert supplementing.waiting(world.workspace, case_id) is None
    with world.workspace.database.reader() as session:
        kinds = [event.kind for event in ledger.events_of_case(session, case_id)]
    assert (kinds.count("supplement.prepared"), kinds.count("supplement.signed")) == (1, 1)


def test_nothing_is_signed_that_was_not_read_or_by_whoever_may_not(world: World) -> None:
    case_id = signed(world)
    close(world, case_id)
    with pytest.raises(WrongUsage, match="no supplement to sign"):
        sign(world, case_id, digest("nothing"))
    supplementing.prepare(world.workspace, case_id, now=LATER)
    waits = supplementing.waiting(world.workspace, case_id)
    assert waits is not None
    for actor in (INES, Actor("milo", Role.ML), Actor("ines", Role.DPO)):  # the last one filed the request
        with pytest.raises(RefusedByRule):
            sign(world, case_id, waits.digest, actor=actor)
    with pytest.raises(RefusedByRule, match="not the one that was read"):
        sign(world, case_id, digest("another"))
    with pytest.raises(WrongUsage, match="does not open"):
        sign(world, case_id, waits.digest, passphrase="not the passphrase of anybody")
    assert not (world.workspace.case_directory(case_id) / supplementing.SUPPLEMENT).exists()


def test_a_crash_between_file_and_ledger_leaves_it_waiting_until_it_is_written_down(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    case_id = signed(world)
    close(world, case_id)
    supplementing.prepare(world.workspace, case_id, now=LATER)
    waits = supplementing.waiting(world.workspace, case_id)
    assert waits is not None

    def killed(path: Path, content: bytes) -> None:
        path.write_bytes(content)
        raise KeyboardInterrupt

    with monkeypatch.context() as crash:
        crash.setattr(supplementing, "write_whole", killed)
        with pytest.raises(KeyboardInterrupt):
            sign(world, case_id, waits.digest)
    assert supplementing.waiting(world.workspace, case_id) == waits
    whole = sign(world, case_id, waits.digest).read_bytes()
    assert sign(world, case_id, waits.digest).read_bytes() == whole
    assert supplementing.waiting(world.workspace, case_id) is None
    with world.workspace.database.reader() as session:
        kinds = [event.kind for event in ledger.events_of_case(session, case_id)]
    assert kinds.count("supplement.signed") == 1


def test_a_case_that_is_not_there_has_no_supplement(world: World) -> None:
    with pytest.raises(WrongUsage, match="There is no case"):
        supplementing.waiting(world.workspace, "../secrets")


def test_the_console_shows_it_signs_it_and_hands_it_out(world: World) -> None:
    case_id, dpo = signed(world), world.browser("dana")
    here = f"/cases/{case_id}"
    close(world, case_id)
    assert "Supplement to the certificate" not in dpo.get(here).text
    assert dpo.get(f"{here}/supplement.json").status_code == 404
    supplementing.prepare(world.workspace, case_id, now=LATER)
    assert "<strong>archive</strong>, told" in dpo.get(here).text
    assert 'action="' + here + '/supplement"' not in world.browser("axel").get(here).text
    read = dpo.hidden_digest(case_id)
    assert world.browser("ines").post(f"{here}/supplement", digest=read, passphrase=PASSPHRASE).status_code == 403
    assert dpo.post(f"{here}/supplement", digest=digest("another"), passphrase=PASSPHRASE).status_code == 409
    assert dpo.post(f"{here}/supplement", digest=read, passphrase=PASSPHRASE).status_code == 303
    assert "Download the supplement" in dpo.get(here).text
    whole = dpo.get(f"{here}/supplement.json")
    assert whole.content == (world.workspace.case_directory(case_id) / supplementing.SUPPLEMENT).read_bytes()


def test_it_is_read_and_signed_by_command(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    case_id = signed(world)
    close(world, case_id)
    monkeypatch.delenv("LETHE_USER", raising=False)
    here, supplement = {"workspace": world.folder}, ("erase", "supplement", case_id)
    one_sentence(lethe_here(*supplement, code=2, **here), 2, "waits for a signature")
    supplementing.prepare(world.workspace, case_id, now=LATER)
    read = lethe_here(*supplement, "--json", **here).json()
    assert [one["party"] for one in read["notices"]] == ["archive"]
    assert "acknowledged 2026-02-20" in lethe_here(*supplement, **here).out
    said = lethe_here(*supplement, "--digest", read["digest"], "--as", "dana", **here).out
    assert supplementing.SUPPLEMENT in said


def test_what_was_exchanged_on_the_disk_is_no_supplement(world: World) -> None:
    case_id = signed(world)
    close(world, case_id)
    half = supplementing.prepare(world.workspace, case_id, now=LATER)
    certificate = world.workspace.case_directory(case_id) / "certificate.json"
    whole = certificate.read_bytes()
    certificate.write_bytes(whole[:-1])
    with pytest.raises(NotAcceptable, match="another certificate"):
        sign(world, case_id, hashlib.sha256(half.read_bytes()).hexdigest())
    certificate.write_bytes(whole)
    changed = bytearray(half.read_bytes())
    changed[len(changed) // 2] ^= 1
    half.write_bytes(changed)
    with pytest.raises(NotAcceptable):
        supplementing.waiting(world.workspace, case_id)


def test_a_case_that_nobody_acknowledged_wants_none(world: World) -> None:
    case_id = signed(world)
    close(world, case_id, waive=2)
    assert wanted(world) == []


def test_a_certificate_that_does_not_verify_gets_no_supplement(world: World) -> None:
    case_id = signed(world)
    close(world, case_id)
    path = world.workspace.case_directory(case_id) / "certificate.json"
    path.write_bytes(path.read_bytes()[:-2])
    with pytest.raises(NotAcceptable):
        supplementing.prepare(world.workspace, case_id, now=LATER)
    assert wanted(world) == [case_id], "nothing was written down"
    path.unlink()
    with pytest.raises(WrongUsage, match="no certificate"):
        supplementing.prepare(world.workspace, case_id, now=LATER)
    assert wanted(world) == [], "and nobody asks for what there cannot be"
