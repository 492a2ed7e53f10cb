"""The Art. 30 register: what it must say, what is missing by name, and nobody in it."""

from __future__ import annotations

import csv
import dataclasses
import io
import json

import pytest
from lineage_world import ANN, BOB, DANA, FORMS, NOW, Scans, World, open_world, row

from lineage import inventory
from lineage.access import Role, add_staff
from lineage.case import POLICY_GROUND, Filing, file_request
from lineage.exports_art30 import TITLE, Register, read_register, register_tables, register_text
from lineage.exports_page import tables_csv, tables_page
from lineage.forgetting import COMPLAINT_DAYS
from lineage.labels import WITHHELD
from lineage.planted import CANARY_BASIS, CANARY_PURPOSE, CANARY_SOURCE
from lineage.register import RegisterForm
from lineage.tables import CueRow, NearTombstoneRow, SuppressionRow, TombstoneRow, UserRow
from lineage.tokens import Scope, new_token
from lineage.tombstones import bury

SETTINGS = """
[contact]
address = "Feather Lane 1"
dpo = "privacy@quillfeather.example"
authority = "The Authority"

[processing]
retention = "Three years."
transfers = "None."
measures = ["Disks are encrypted."]
"""
SECRET_WORDS = ("Oslo", "zebra", "given-1")


@pytest.fixture
def register(world: World) -> Register:
    with (world.workspace.settings.workspace / "lethe.toml").open("a", encoding="utf-8") as file:
        file.write(SETTINGS)
    fill(world)
    return read_register(open_world(world.workspace.settings.workspace).workspace, now=NOW)


def fill(world: World) -> None:
    world.register(ANN, BOB)
    about_bob = row("A quiet zebra in Oslo.", BOB, given_id="given-1")
    world.ingest(about_bob, row(f"I met {FORMS[ANN]['name']}.", BOB), scanner=Scans({"Oslo": "LOCATION"}))
    world.ingest(
        dataclasses.replace(row("Newsletter.", ANN, source="mails"), purpose="marketing", lawful_basis="consent")
    )
    canary = dataclasses.replace(
        row("Nobody lives here.", "X-1", source=CANARY_SOURCE), purpose=CANARY_PURPOSE, lawful_basis=CANARY_BASIS
    )
    world.ingest(canary)
    with world.database.transaction() as session:
        party = inventory.Party("shop", "recipient", "Example Shop Ltd", "support")
        inventory.put_party(session, party, actor=DANA, now=NOW)
        inventory.put_backup(
            session, inventory.Backup("nightly", "key store", "keys", keep_days=30), actor=DANA, now=NOW
        )


def test_each_purpose_and_basis_is_an_activity_with_its_people_and_data(register: Register) -> None:
    training = {a.purpose: a for a in register.activities if a.name.startswith("Training")}
    assert set(training) == {"support", "marketing"}
    support = training["support"]
    assert (support.lawful_basis, support.sources, support.retention) == ("contract", ("tickets",), "Three years.")
    assert support.persons == {"people whom records are about": 1, "people whom records mention": 1}
    assert support.data["free text"] == 2
    assert support.data["LOCATION"] == 1


def test_what_lethe_keeps_about_people_itself_is_an_activity_too(register: Register) -> None:
    names = {activity.name: activity for activity in register.activities}
    assert names["Register of identifiers"].data == {"account": 1, "email": 2, "name": 2, "phone": 1}
    assert names["Register of identifiers"].persons == {"people whom records are about or mention": 2}
    assert {"Requests for erasure", "Keeping erased people out", "Staff"} <= set(names)


def test_everything_that_keeps_erased_people_out_is_counted_and_withdrawals_by_policy_are_nobody(world: World) -> None:
    filing = Filing(
        "case-0000cafe", None, None, POLICY_GROUND, "nobody", NOW.date(), NOW.date(), "b", rescan_id="rescan-1"
    )
    until = NOW.date()
    with world.database.transaction() as session:
        file_request(session, filing, actor=DANA, now=NOW)
        session.add(TombstoneRow(kind="content", hmac="1", case_id="case-0000cafe", keep_until=until))
        session.add(TombstoneRow(kind="content", hmac="2", case_id="case-1", keep_until=until))
        session.add(SuppressionRow(kind="name", hmac="3", case_id="case-1", keep_until=until, cued=True))
        session.add(
            NearTombstoneRow(case_id="case-2", handle="h", subject_hmac="", words=9, sketch=b"", keep_until=until)
        )
        session.add(CueRow(tag="00ff00", keep_until=until))
    (kept,) = [a for a in read_register(world.workspace, now=NOW).activities if a.name == "Keeping erased people out"]
    assert kept.persons == {"people who were erased": 2}
    assert list(kept.data.values()) == [3, 1, 1], kept.data


def test_what_is_kept_of_staff_and_of_requests_that_ended_otherwise_is_told(world: World) -> None:
    with world.database.transaction() as session:
        dana = add_staff(session, name="root", role=Role.ADMIN, actor=None, now=NOW)
        new_token(session, dana, scope=Scope.INBOX, days=30, now=NOW)
        session.get_one(UserRow, "root").password_hash = "$argon2id$"
    named = {a.name: a for a in read_register(world.workspace, now=NOW).activities}
    assert named["Staff"].data == {"handle and role": 1, "password, hashed": 1, "API token, hashed": 1}
    assert f"{COMPLAINT_DAYS} days after an end without one" in named["Requests for erasure"].retention


def test_no_authority_is_told_that_the_ledger_names_nobody(register: Register) -> None:
    """It is pseudonymous, and staff stand in it."""
    (ledger,) = [measure for measure in register.measures if "hash-chained" in measure]
    assert "pseudonymous" in ledger
    assert "staff stand in it by handle" in ledger


def test_it_names_controller_recipients_transfers_limits_and_measures(register: Register) -> None:
    assert register.missing == ()
    text = register_text(register)
    for words in (
        TITLE, "Quillfeather Ltd", "Feather Lane 1", "privacy@quillfeather.example", "Example Shop Ltd", "None.", "Three years.",
        "Disks are encrypted.", "each copy 30 days", "support",
    ):  # fmt: skip
        assert words in text, words


def test_whoever_was_retired_is_a_recipient_until_that_day(world: World, register: Register) -> None:
    """Art. 30(1)(d) GDPR: to whom the data *have been* or will be disclosed."""
    with world.database.transaction() as session:
        inventory.retire(session, "party", "shop", actor=DANA, now=NOW)
    assert register.recipients == (("recipient", "Example Shop Ltd", "support"),)
    again = read_register(world.workspace, now=NOW).recipients
    assert again == (("recipient", "Example Shop Ltd", f"support, until {NOW.date()}"),)


def test_what_the_controller_has_not_said_is_missing_by_name(world: World) -> None:
    found = read_register(world.workspace, now=NOW)
    assert found.missing == ("contact.address", "contact.dpo", "processing.retention", "processing.transfers")
    assert "processing.retention" in register_text(found)


def forms(register: Register) -> dict[str, str]:
    tables = register_tables(register)
    return {
        "text": register_text(register), "html": tables_page(TITLE, tables), "csv": tables_csv(tables),
        "json": json.dumps(register.as_json()),
    }  # fmt: skip


def test_nobody_is_in_any_form_of_it(world: World, register: Register) -> None:
    people = [v for who in (ANN, BOB, "X-1") for v in (who, world.key(who), *FORMS.get(who, {}).values())]
    for form, text in forms(register).items():
        for value in (*people, *SECRET_WORDS):
            assert value not in text, (form, value)


def test_a_purpose_that_names_somebody_is_withheld(world: World) -> None:
    world.register(ANN)
    world.ingest(dataclasses.replace(row("Hello.", ANN), purpose=f"mail to {FORMS[ANN]['email']}"))
    found = read_register(world.workspace, now=NOW)
    assert WITHHELD in {activity.purpose for activity in found.activities}
    assert all(FORMS[ANN]["email"] not in text for text in forms(found).values())


def test_a_source_that_names_somebody_erased_is_withheld(world: World) -> None:
    """Nobody in the register is called so any more."""
    world.ingest(row("Hello.", BOB, source=f"mail of {FORMS[ANN]['email']}"))
    forms_of_ann = [RegisterForm(world.key(ANN), kind, value) for kind, value in FORMS[ANN].items()]
    with world.database.transaction() as session:
        bury(session, case_id="case-1", record_ids=[], forms=forms_of_ann, keyring=world.keyring, on=NOW.date())
    (learning,) = [a for a in read_register(world.workspace, now=NOW).activities if a.name.startswith("Training")]
    assert learning.sources == (WITHHELD,)


def test_the_same_workspace_gives_the_same_bytes(world: World, register: Register) -> None:
    again = read_register(open_world(world.workspace.settings.workspace).workspace, now=NOW)
    assert forms(again) == forms(register)


def test_no_label_writes_a_tag_into_the_page(world: World) -> None:
    tag = "<img src=x onerror=alert(1)>"
    world.ingest(dataclasses.replace(row("Hello.", ANN, source=tag), purpose=tag, lawful_basis=tag))
    with world.database.transaction() as session:
        inventory.put_party(session, inventory.Party("shop", "recipient", tag, tag), actor=DANA, now=NOW)
        inventory.put_backup(session, inventory.Backup("nightly", tag, tag, keep_days=30), actor=DANA, now=NOW)
    page = forms(read_register(world.workspace, now=NOW))["html"]
    assert "<img" not in page
    assert page.count("&lt;img src=x onerror=alert(1)&gt;") == 7


def test_no_cell_of_the_csv_is_a_formula(world: World) -> None:
    world.ingest(dataclasses.replace(row("Hello.", ANN), purpose="=HYPERLINK(1)"))
    rows = list(csv.reader(io.StringIO(forms(read_register(world.workspace, now=NOW))["csv"])))
    assert rows[0] == ["section", "row", "column", "value"]
    assert "'=HYPERLINK(1)" in [cell for line in rows for cell in line]
    assert not [cell for line in rows for cell in line if cell.startswith(("=", "+", "@"))]


def test_a_base_of_a_hub_keeps_whose_it_is(world: World) -> None:
    folder = world.workspace.settings.workspace
    text = (folder / "lethe.toml").read_text(encoding="utf-8").replace('"tiny"', '"acme/small-base"')
    (folder / "lethe.toml").write_text(text, encoding="utf-8")
    assert read_register(open_world(folder).workspace, now=NOW).adapters == (("support", "acme/small-base"),)


def test_a_base_in_somebodys_home_is_named_without_its_path(world: World) -> None:
    folder = world.workspace.settings.workspace
    text = (folder / "lethe.toml").read_text(encoding="utf-8").replace('"tiny"', '"/home/maren/models/small"')
    (folder / "lethe.toml").write_text(text, encoding="utf-8")
    assert read_register(open_world(folder).workspace, now=NOW).adapters == (("support", "small"),)
