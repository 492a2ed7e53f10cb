"""The inventory: what concerns a case is bound by its contract; a backup without an end lets no purge begin."""

from __future__ import annotations

from datetime import date

import pytest
from lineage_world import ANN, DANA, INES, MILO, NOW, World, after, composed, record_training, row
from sqlmodel import select

from lineage import inventory, ledger
from lineage.closure import find_closure
from lineage.errors import RefusedByRule, WrongUsage
from lineage.evidence import contract, digest_of
from lineage.inventory import Backup, DerivedFile, Inventory, Party
from lineage.plans import TRUNK
from lineage.subjects import load_forms
from lineage.tables import BackupRow, DerivedFileRow, LedgerRow, PartyRow

NIGHTLY = Backup("nightly", "key store, vault 2", "record keys", keep_days=30)
PHONE = DerivedFile("phone-7", "quantised", composed())
SHOP, PARTNER = (
    Party("shop", "recipient", "Example Shop Ltd", "support"),
    Party("crm", "upstream", "The CRM", "tickets"),
)


def put(world: World, *entries: object, actor=MILO) -> None:
    puts = {Backup: inventory.put_backup, DerivedFile: inventory.put_file, Party: inventory.put_party}
    with world.database.transaction() as session:
        for entry in entries:
            puts[type(entry)](session, entry, actor=actor, now=NOW)


def retire(world: World, what: str, name: str, **how) -> None:
    with world.database.transaction() as session:
        inventory.retire(session, what, name, actor=MILO, now=after(days=1), **how)


def kept(world: World) -> Inventory:
    with world.database.reader() as session:
        return inventory.everything(session)


@pytest.fixture
def trained(world: World) -> World:
    world.register(ANN)
    ids = world.ingest(row("The lamp is broken.", ANN, given_id="1"), row("A quiet day.", given_id="2"))
    record_training(world, {(TRUNK, 0): [ids[1]], (0, 0): [ids[0]]})
    return world


def contract_of(world: World) -> dict[str, object]:
    with world.database.reader() as session:
        forms = load_forms(session, world.keystore, world.key(ANN))
        closure = find_closure(session, world.key(ANN), forms, keystore=world.keystore)
        return contract(session, "case-00000001", closure, world.keyring)


# --- keeping it -----------------------------------------------------------------------------------------------------------


def test_what_is_put_is_listed_until_it_is_retired_and_the_ledger_knows_who_did_it(trained: World) -> None:
    put(trained, NIGHTLY, PHONE, SHOP)
    assert kept(trained) == Inventory((PHONE,), (SHOP,), (NIGHTLY,))
    for what, name in (("backup", "nightly"), ("file", "phone-7"), ("party", "shop")):
        retire(trained, what, name)
        with pytest.raises(WrongUsage, match=f"no {what}"):
            retire(trained, what, name)
    assert kept(trained) == Inventory()
    assert trained.rows(BackupRow) == []
    assert [(r.result, r.ended_at) for r in trained.rows(DerivedFileRow)] == [("withdrawn", after(days=1))]
    assert [r.removed_at for r in trained.rows(PartyRow)] == [after(days=1)]
    with trained.database.reader() as session:
        kinds = session.exec(select(LedgerRow.kind).order_by(LedgerRow.seq)).all()
        assert kinds == ["inventory.put"] * 3 + ["inventory.retired"] * 3
        assert all('"by":"milo"' in row.payload for row in session.exec(select(LedgerRow)).all())
        assert "Example Shop" not in "".join(session.exec(select(LedgerRow.payload)).all())
        assert ledger.verify(session).length == 6


def test_an_entry_that_is_put_again_says_it_anew(trained: World) -> None:
    put(trained, NIGHTLY, SHOP)
    weekly = Backup("nightly", "key store, vault 3", "record keys", expires_on=date(2026, 5, 1))
    put(trained, weekly, Party("shop", "recipient", "Example Shop SE", "support"))
    assert kept(trained).backups == (weekly,)
    assert [party.whom for party in kept(trained).parties] == ["Example Shop SE"]
    retire(trained, "party", "shop")
    put(trained, SHOP)
    assert kept(trained).parties == (SHOP,)


def test_a_file_that_went_does_not_come_back_under_its_name(trained: World) -> None:
    put(trained, PHONE)
    retire(trained, "file", "phone-7", result="deleted")
    with pytest.raises(RefusedByRule, match="was retired"):
        put(trained, PHONE)


@pytest.mark.parametrize("entry", [NIGHTLY, SHOP, PHONE], ids=lambda entry: entry.name)
def test_intake_keeps_no_inventory(trained: World, entry: object) -> None:
    with pytest.raises(RefusedByRule, match="keep the inventory"):
        put(trained, entry, actor=INES)
    put(trained, entry, actor=DANA)
    with pytest.raises(RefusedByRule), trained.database.transaction() as session:
        inventory.retire(session, "party", "shop", actor=INES, now=NOW)


@pytest.mark.parametrize(
    "entry",
    [
        Backup("Nightly", "x", "y"), Backup("a b", "x", "y"), Backup("b", " ", "y"), Backup("b", "x", "y\n"),
        Backup("b", "x" * 201, "y"), Backup("b", "x", "y", keep_days=-1), DerivedFile("f", "zip"),
        DerivedFile("f", "export", "0" * 64), Party("p", "friend", "x"), Party("p", "recipient", ""),
    ],
    ids=str,
)  # fmt: skip
def test_what_is_malformed_is_refused_whole(trained: World, entry: object) -> None:
    with pytest.raises(WrongUsage):
        put(trained, entry)
    assert kept(trained) == Inventory()


# --- what concerns a case ---------------------------------------------------------------------------------------------------


def test_a_contract_names_the_files_and_parties_it_concerns_and_no_others(trained: World) -> None:
    without = contract_of(trained)
    assert not without.keys() & {"derived_files", "parties_to_be_told"}, "old digests stay what they are"
    put(trained, NIGHTLY)
    assert contract_of(trained) == without, "a backup is named by the certificate alone: it may change until then"
    put(trained, PHONE, DerivedFile("cache", "cache"), SHOP, PARTNER)
    put(trained, Party("others", "recipient", "Others", "another"), Party("chats", "upstream", "Chats", "chats"))
    body = contract_of(trained)
    assert body["derived_files"] == [{"file": "cache", "kind": "cache"}, {"file": "phone-7", "kind": "quantised"}]
    assert [(p["name"], p["kind"]) for p in body["parties_to_be_told"]] == [("crm", "upstream"), ("shop", "recipient")]
    assert digest_of(body) != digest_of(without), "LAW an approval goes stale when somebody else must be told"


def test_a_record_that_no_adapter_learnt_concerns_no_recipient(world: World) -> None:
    world.register(ANN)
    world.ingest(row("The lamp is broken.", ANN, given_id="1"))
    put(world, SHOP, Party("everybody", "recipient", "All of them"), PARTNER)
    assert [p["name"] for p in contract_of(world)["parties_to_be_told"]] == ["crm"]


# --- the end of a backup ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("until", "days", "last"),
    [
        (None, None, None), (date(2026, 5, 1), None, date(2026, 5, 1)), (None, 30, date(2026, 4, 1)), (None, 0, date(2026, 3, 2)),
        (date(2026, 5, 1), 30, date(2026, 4, 1)), (date(2026, 3, 9), 30, date(2026, 3, 9)),
    ],
)  # fmt: skip
def test_the_last_copy_is_gone_on_the_day_or_after_the_days(until, days, last) -> None:
    assert Backup("b", "s", "h", until, days).gone_after(date(2026, 3, 2)) == last


def test_a_backup_with_neither_a_day_nor_days_refuses_the_purge(trained: World) -> None:
    put(trained, NIGHTLY, Backup("tapes", "all of it", "texts"))
    with (
        trained.database.reader() as session,
        pytest.raises(RefusedByRule, match="backup tapes has neither") as refused,
    ):
        inventory.require_dated(session)
    assert "--until" in refused.value.hint
    for tapes in (
        Backup("tapes", "all of it", "texts", keep_days=0),
        Backup("tapes", "all", "texts", date(2026, 4, 1)),
    ):
        put(trained, tapes)
        with trained.database.reader() as session:
            inventory.require_dated(session)
