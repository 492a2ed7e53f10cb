"""The schema Alembic makes is the schema the code means; a transaction is all or nothing; deleted bytes are gone."""

from __future__ import annotations

import contextlib
import sqlite3
from datetime import date
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from lineage_world import DANA, INES, NOW, World, digest, filing_dates
from sqlalchemy.exc import IntegrityError
from sqlmodel import SQLModel, col, delete, select

import lineage.database
from lineage import manifests, tables
from lineage.access import find_actor
from lineage.case import CaseFile, Filing, file_request
from lineage.database import HEAD, Database, migrate, open_engine
from lineage.errors import Fault, WrongUsage
from lineage.stages import Stage
from lineage.subjects import forms_without_cues, load_suppression
from lineage.tables import CaseDecisionRow, CasePauseRow, FindingRow, MetaRow, NoticeRow, PartyRow, SubjectRow, UserRow

MIGRATIONS = Path(lineage.database.__file__).parent / "migrations"


def test_the_migrations_make_exactly_the_tables_of_the_code(world: World) -> None:
    with world.database.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": True})
        assert compare_metadata(context, SQLModel.metadata) == []


def test_the_comparison_would_see_a_difference(world: World) -> None:
    with world.database.engine.connect() as connection:
        connection.exec_driver_sql("ALTER TABLE record ADD COLUMN extra VARCHAR")
        assert compare_metadata(MigrationContext.configure(connection), SQLModel.metadata)
        connection.rollback()


def test_head_is_the_newest_migration_and_there_is_one_line_of_them() -> None:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    scripts = ScriptDirectory.from_config(config)
    assert scripts.get_heads() == [HEAD]
    files = sorted(path.name[:4] for path in (MIGRATIONS / "versions").glob("[0-9]*.py"))
    assert files[-1] == HEAD
    assert len(files) == len(list(scripts.walk_revisions()))


def upgrade_to(url: str, revision: str) -> None:
    """Migrate as far as an earlier version of Lethe did."""
    config, engine = Config(), open_engine(url)
    config.set_main_option("script_location", str(MIGRATIONS))
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, revision)
    engine.dispose()


def test_manifests_of_the_first_schema_keep_their_members(world: World, tmp_path: Path) -> None:
    """A database with rows of schema 0001 is upgraded: a manifest holds the records of `slice_member`, sorted, as entries."""
    url = f"sqlite:///{tmp_path / 'old.db'}"
    upgrade_to(url, "0001")
    ids = sorted((digest("ann"), digest("bob")), reverse=True)
    old = sqlite3.connect(tmp_path / "old.db")
    for record_id in ids:
        filled = {
            "id": record_id,
            "content_hmac": digest(record_id),
            "ingest_id": "i",
            "trunk_eligible": 0,
            "generation": 0,
        }
        columns = [row[1] for row in old.execute("PRAGMA table_info(record)")]
        values = [filled.get(column, "") for column in columns]
        old.execute(f"INSERT INTO record VALUES ({', '.join('?' * len(columns))})", values)  # noqa: S608 - question marks and column names of this test, no value
    old.execute(
        "INSERT INTO slice_manifest VALUES ('m', 'support', 'p', 0, 0, 2, 'root'), ('empty', 'support', 'p', 0, 1, 0, 'r')"
    )
    old.executemany("INSERT INTO slice_member VALUES ('m', ?)", [(record_id,) for record_id in ids])
    old.commit()
    old.close()
    database = migrate(url, world.keyring)
    with database.reader() as session:
        assert manifests.members_of(session, "m") == {r: digest(r)[:32] for r in sorted(ids)}
        assert manifests.manifests_holding(session, ids[:1]) == {"m"}
        assert manifests.manifest_facts(session, "m") == (2, "root"), "history stays"
        assert manifests.members_of(session, "empty") == {}
    database.engine.dispose()


def test_findings_of_before_keep_their_places_unless_a_redaction_moved_them(world: World, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'old.db'}"
    upgrade_to(url, "0005")
    old = sqlite3.connect(tmp_path / "old.db")
    columns = "record_id, segment, span_start, span_end_exclusive, entity_type, score, action, recognizer, value_hmac"
    rows = [
        ("a", 0, 3, 9, "quarantine"),
        ("a", 1, 5, 7, "redact"),
        ("a", 1, 9, 12, "quarantine"),
        ("b", 1, 1, 2, "allow"),
    ]
    old.executemany(
        f"INSERT INTO finding ({columns}) VALUES (?, ?, ?, ?, 'T', 1.0, ?, 'r', '')",  # noqa: S608 - question marks and column names of this test, no value
        rows,
    )
    old.commit()
    old.close()
    database = migrate(url, world.keyring)
    with database.reader() as session:
        found = session.exec(select(FindingRow).order_by(col(FindingRow.id))).all()
    assert [(f.kept_start, f.kept_end_exclusive) for f in found] == [(3, 9), (None, None), (None, None), (1, 2)]
    database.engine.dispose()


def test_suppressed_forms_of_before_have_no_cue(world: World, tmp_path: Path) -> None:
    """So every run of words is asked for, and they are still found."""
    url = f"sqlite:///{tmp_path / 'old.db'}"
    upgrade_to(url, "0010")
    old = sqlite3.connect(tmp_path / "old.db")
    row = ("name", world.keyring.form("name", "ann lee"), "case-1", "2031-01-01")
    old.execute("INSERT INTO suppression (kind, hmac, case_id, keep_until) VALUES (?, ?, ?, ?)", row)
    old.commit()
    old.close()
    database = migrate(url, world.keyring)
    with database.reader() as session:
        assert forms_without_cues(session) == 1
        assert [link.kind for link in load_suppression(session, world.keyring).link("It was Ann Lee.")] == ["name"]
    database.engine.dispose()


def test_cases_and_staff_of_before_stay_as_they_were(world: World, tmp_path: Path) -> None:
    """Nothing is held, paused or reopened, and nobody has a password; all can still be written."""
    url = f"sqlite:///{tmp_path / 'old.db'}"
    upgrade_to(url, "0011")
    old = sqlite3.connect(tmp_path / "old.db")
    old.execute("INSERT INTO staff VALUES ('dana', 'dpo', '2026-01-01 00:00:00')")
    columns = [row[1] for row in old.execute("PRAGMA table_info(erasure_case)")]
    filled = {
        "id": "case-1", "stage": "SIGNED_OFF", "stage_since": "2026-01-02 00:00:00", "received_on": "2026-01-01",
        "due_on": "2026-02-02", "attempt": 0, "only_consent": 0, "ground": "b",
    }  # fmt: skip
    values = [filled.get(column, "") for column in columns]
    old.execute(f"INSERT INTO erasure_case VALUES ({', '.join('?' * len(columns))})", values)  # noqa: S608 - question marks and column names of this test, no value
    old.commit()
    old.close()
    database = migrate(url, world.keyring)
    with database.reader() as session:
        assert find_actor(session, "dana") == DANA
        dana, case = session.get_one(UserRow, "dana"), CaseFile(session, "case-1").view
        assert (dana.password_hash, dana.failed_logins, dana.locked_until) == ("", 0, None)
        assert (case.stage, case.due_on, case.reopen_reason) == (Stage.SIGNED_OFF, date(2026, 2, 2), "")
        assert session.exec(select(CaseDecisionRow)).all() == session.exec(select(CasePauseRow)).all() == []
    with database.transaction() as session:
        session.add(CasePauseRow(case_id="case-1", asked_on=date(2026, 1, 5)))
    database.engine.dispose()


def test_a_party_is_told_of_a_case_once(world: World) -> None:
    """Two jobs that make the same notice: the second one's does not exist."""
    with world.database.transaction() as session:
        file_request(session, Filing("case-1", "k", None, "b", "portal", **filing_dates()), actor=INES, now=NOW)
        session.add(PartyRow(name="acme", kind="recipient", whom="Acme", since=NOW))
    for number, told in ((1, 1), (2, 1)):
        with contextlib.suppress(IntegrityError), world.database.transaction() as session:
            notice = {"case_id": "case-1", "party": "acme", "body": "{}", "state": "pending", "made_at": NOW}
            session.add(NoticeRow(id=f"n{number}", **notice))
        assert len(world.rows(NoticeRow)) == told


def test_the_compact_manifests_cannot_be_taken_back(world: World) -> None:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    with world.database.engine.begin() as connection:
        config.attributes["connection"] = connection
        with pytest.raises(NotImplementedError, match="restore the backup"):
            command.downgrade(config, "0001")


def test_every_row_class_is_public_and_has_a_table() -> None:
    rows = {name for name, thing in vars(tables).items() if isinstance(thing, type) and issubclass(thing, SQLModel)}
    assert rows - {"SQLModel"} == set(tables.__all__)
    assert {getattr(tables, name).__tablename__ for name in tables.__all__} == set(SQLModel.metadata.tables)


def test_migrating_again_changes_nothing(world: World) -> None:
    before = world.rows(MetaRow)
    migrate(world.settings.database(), world.keyring)
    assert world.rows(MetaRow) == before
    assert len(before) == 2


@pytest.mark.parametrize("statement", ["UPDATE alembic_version SET version_num = '0000'", "DROP TABLE alembic_version"])
def test_another_schema_is_refused(world: World, statement: str) -> None:
    with world.database.engine.begin() as connection:
        connection.exec_driver_sql(statement)
    with pytest.raises(WrongUsage, match="not at this version's schema"):
        Database.open(world.settings.database(), world.keyring)


def test_a_database_out_of_reach_is_a_fault_and_not_a_wrong_schema(world: World, tmp_path: Path) -> None:
    with pytest.raises(Fault, match="cannot be opened for writing") as said:
        Database.open(f"sqlite:///{tmp_path / 'no' / 'such' / 'folder.db'}", world.keyring)
    assert "data_dir" in said.value.hint


def test_a_database_that_is_read_only_is_told_from_one_that_is_busy(world: World) -> None:
    """A disk that is mounted for reading: trying again does not help, and the hint must not say only that."""
    path = world.settings.database().removeprefix("sqlite:///")
    database = Database.open(f"sqlite:///file:{path}?mode=ro&uri=true", world.keyring)
    with pytest.raises(Fault, match="cannot be opened for writing") as said, database.transaction() as session:
        session.add(MetaRow(name="note", value="x"))
    assert "you may write there" in said.value.hint


def test_an_unusable_url_is_not_echoed() -> None:
    for url in ("nonsense://user:quagga@host/db", "quagga"):
        with pytest.raises(WrongUsage) as refusal:
            open_engine(url)
        assert "quagga" not in str(refusal.value)


def test_a_transaction_is_all_or_nothing(world: World) -> None:
    def add_and_fail() -> None:
        with world.database.transaction() as session:
            session.add(SubjectRow(key="k", since=NOW))
            session.flush()
            raise RuntimeError

    with pytest.raises(RuntimeError):
        add_and_fail()
    assert world.rows(SubjectRow) == []
    with world.database.transaction() as session:
        session.add(SubjectRow(key="k", since=NOW))
    assert [row.key for row in world.rows(SubjectRow)] == ["k"]
    assert world.rows(SubjectRow)[0].since == NOW


def test_a_reader_leaves_nothing(world: World) -> None:
    with world.database.reader() as session:
        session.add(SubjectRow(key="k", since=NOW))
        session.flush()
    assert world.rows(SubjectRow) == []


def test_a_naive_time_does_not_reach_the_database(world: World) -> None:
    with pytest.raises(Exception, match="naive time"), world.database.transaction() as session:
        session.add(SubjectRow(key="k", since=NOW.replace(tzinfo=None)))
    assert world.rows(SubjectRow) == []


def test_a_second_writer_waits_and_then_is_told_to_come_back(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lineage.database, "BUSY_TIMEOUT_MS", 50)
    impatient = Database.open(world.settings.database(), world.keyring)
    with (
        world.database.transaction(),
        pytest.raises(Fault, match="locked by another process"),
        impatient.transaction(),
    ):
        pass
    with impatient.transaction() as session:
        session.add(SubjectRow(key="later", since=NOW))


def test_a_reader_is_not_kept_waiting_by_a_writer(world: World) -> None:
    with world.database.transaction() as session:
        session.add(SubjectRow(key="unseen", since=NOW))
        session.flush()
        assert world.rows(SubjectRow) == []


def test_what_was_deleted_is_on_no_page_after_compacting(world: World) -> None:
    file = Path(world.settings.database().removeprefix("sqlite:///"))
    mark = "quagga" * 40
    with world.database.transaction() as session:
        session.add_all(SubjectRow(key=f"{mark}{i}", since=NOW) for i in range(200))
    with world.database.transaction() as session:
        session.exec(delete(SubjectRow).where(col(SubjectRow.key).startswith("quagga")))
    world.database.compact()
    left = [path.name for path in file.parent.glob("lethe.db*") if b"quagga" in path.read_bytes()]
    assert left == []


def test_rows_that_others_lean_on_cannot_go_first(world: World) -> None:
    with world.database.engine.connect() as connection:
        assert connection.exec_driver_sql("PRAGMA foreign_keys").scalar() == 1
        assert connection.exec_driver_sql("PRAGMA secure_delete").scalar() == 1
    raw = sqlite3.connect(Path(world.settings.database().removeprefix("sqlite:///")))
    assert raw.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    raw.close()
    with world.database.reader() as session:
        assert session.exec(select(SubjectRow)).all() == []
