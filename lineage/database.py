"""The application database: one engine, one way to write, and the only place that commits.

SQLite runs in WAL mode with `secure_delete`, so that deleted rows are overwritten, and every writing transaction takes
the write lock at its start: two processes queue instead of failing half-way. PostgreSQL goes through the same code.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import Engine, NullPool, create_engine, event, inspect, make_url, text
from sqlalchemy.exc import OperationalError, SQLAlchemyError
from sqlmodel import Session, select

from lineage.errors import Fault, WrongUsage
from lineage.keyring import Keyring
from lineage.tables import MetaRow

__all__ = ["HEAD", "Database", "in_chunks", "migrate", "open_engine"]

HEAD = "0015"
BUSY_TIMEOUT_MS = 15_000
QUERY_CHUNK = 500

Key = TypeVar("Key")


def open_engine(url: str) -> Engine:
    """An engine with Lethe's SQLite settings; parameters never appear in errors or logs.

    A workspace is opened for one command, op or page, and nobody closes it. So a server's connection ends with its
    session: kept ones would add up to as many as the server has.
    """
    try:
        in_file = make_url(url).get_backend_name() == "sqlite"
        engine = create_engine(url, hide_parameters=True, **({} if in_file else {"poolclass": NullPool}))
    except (SQLAlchemyError, ModuleNotFoundError) as error:
        raise WrongUsage(
            f"The database URL cannot be used ({type(error).__name__}).", hint="See `lethe doctor`."
        ) from None
    if in_file:
        event.listen(engine, "connect", _configure_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
    return engine


def _configure_sqlite(connection: Any, _record: Any) -> None:
    connection.isolation_level = None  # SQLAlchemy's documented recipe: we say BEGIN ourselves, in `_begin_sqlite`
    for pragma in ("journal_mode=WAL", "secure_delete=ON", "foreign_keys=ON", f"busy_timeout={BUSY_TIMEOUT_MS}"):
        connection.execute(f"PRAGMA {pragma}")


def _begin_sqlite(connection: Any) -> None:
    connection.exec_driver_sql("BEGIN IMMEDIATE" if connection.get_execution_options().get("writes") else "BEGIN")


class Database:
    """A migrated application database whose secrets have been checked."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    @classmethod
    def open(cls, url: str, keyring: Keyring) -> Database:
        """Open a database that `lethe init` made.

        Raises:
            WrongUsage: not migrated to this version, or made with other secrets.
            Fault: locked or out of reach.
        """
        database = cls(open_engine(url))
        with database.reader() as session:
            revision = _revision(session)
            if revision != HEAD:
                raise WrongUsage("The database is not at this version's schema.", hint="Run: lethe init (it migrates)")
            stored = {row.name: row.value for row in session.exec(select(MetaRow)).all()}
        if any(stored.get(f"check/{name}") != value for name, value in keyring.check_values().items()):
            raise WrongUsage(
                "The secrets in this workspace are not the ones its database was made with.",
                hint="Restore secrets/workspace.key and secrets/vault.key from the backup of this workspace.",
            )
        return database

    @contextmanager
    def reader(self) -> Iterator[Session]:
        """A session for reading; nothing it does is kept."""
        with _translated(), Session(self.engine, expire_on_commit=False) as session:
            yield session

    @contextmanager
    def transaction(self) -> Iterator[Session]:
        """All or nothing: commits at the end of the block, rolls back on any error."""
        with (
            _translated(),
            self.engine.connect().execution_options(writes=True) as connection,
            connection.begin(),
            Session(bind=connection, expire_on_commit=False) as session,
        ):
            yield session
            session.flush()

    def compact(self) -> None:
        """Leave no deleted byte behind: checkpoint the WAL and rewrite the file (SQLite only)."""
        if self.engine.dialect.name != "sqlite":
            return
        with _translated(), self.engine.connect() as connection:
            raw = connection.connection.dbapi_connection
            if raw is not None:
                cursor = raw.cursor()
                cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)")
                cursor.execute("VACUUM")
                cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def in_chunks(keys: Sequence[Key], size: int = QUERY_CHUNK) -> Iterator[Sequence[Key]]:
    """Slices of a size every database accepts as parameters, or smaller ones."""
    return (keys[i : i + size] for i in range(0, len(keys), size))


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except OperationalError as error:
        reason, first = _why(str(error.orig))
        raise Fault(f"The database {reason}.", hint=f"Nothing was half done; {first}try again.") from None


def _why(said: str) -> tuple[str, str]:
    """What a driver's sentence means, and what to do first. The sentence itself may quote a statement."""
    if "locked" in said:
        return "is locked by another process", ""
    if "readonly" in said or "unable to open" in said:  # in WAL mode SQLite writes beside the file even to read it
        return (
            "cannot be opened for writing",
            "see that data_dir exists and you may write there, even to read, and ",
        )
    if "disk is full" in said:
        return "could not be written: the disk is full", "make room and "
    return "cannot be read or written", ""


def _revision(session: Session) -> str | None:
    connection = session.connection()
    if not inspect(connection).has_table("alembic_version"):
        return None
    return connection.execute(text("SELECT version_num FROM alembic_version")).scalar()


def migrate(url: str, keyring: Keyring) -> Database:
    """Bring a database to `HEAD` with Alembic and record the check values of its secrets once."""
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    engine = open_engine(url)
    with _translated(), engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
    database = Database(engine)
    with database.transaction() as session:
        if session.exec(select(MetaRow)).first() is None:
            session.add_all(MetaRow(name=f"check/{k}", value=v) for k, v in keyring.check_values().items())
    return Database.open(url, keyring)
