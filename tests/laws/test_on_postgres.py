"""A case on a real PostgreSQL: what it leaves is what it leaves on SQLite, writers queue, and a server that goes away is a pause."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from crashes import let_die
from postgres import Postgres, postgres
from quick_world import make_template
from sqlalchemy import inspect, text
from sqlmodel import Session
from whole_road import certificate_of, is_valid, make_small_world, standing_still, walk

from lineage import ledger, workspace
from lineage.chain import Intact
from lineage.database import Database
from lineage.errors import Fault
from lineage.stages import Stage
from lineage.vault import KeyStore
from lineage.workspace import Workspace, open_workspace

pytestmark = pytest.mark.slow
APPENDS, WRITERS = 40, 4
APPENDER = """
import sys
from datetime import UTC, datetime
from pathlib import Path
from lineage import ledger
from lineage.workspace import open_workspace
database = open_workspace(Path(sys.argv[1])).database
for number in range(int(sys.argv[2])):
    with database.transaction() as session:
        ledger.append(session, at=datetime.now(UTC), kind="test.written", payload={"number": number})
"""


@pytest.fixture(scope="module")
def server() -> Iterator[Postgres]:
    with postgres() as running:
        yield running


def small_world(server: Postgres | None, root: Path) -> Path:
    """The world of `whole_road`, its database and its keys on the server; None: in files."""
    root.mkdir()
    with pytest.MonkeyPatch.context() as patch:
        if server:
            urls = f'database_url = "{server.new_url()}"\nkeystore_url = "{server.new_url()}"\n'
            patch.setattr(workspace, "TEMPLATE", urls + workspace.TEMPLATE)
        template = make_template(root)
    return make_small_world(template, root / "ws")


def facts(folder: Path) -> dict[str, Any]:
    """What the certificate says, without the two digests that bind times and tries (`whole_road.Outcome`)."""
    said: dict[str, Any] = json.loads(base64.b64decode(json.loads(certificate_of(folder).read_bytes())["payload"]))
    del said["predicate"]["ledger"], said["predicate"]["purge"]["digest"]
    return said


def rows(opened: Workspace) -> dict[str, int]:
    """How many rows each table has."""
    with opened.database.reader() as session:
        names = inspect(session.connection()).get_table_names()
        return {n: session.connection().execute(text(f'SELECT count(*) FROM "{n}"')).scalar_one() for n in names}  # noqa: S608


def test_a_case_leaves_what_it_leaves_on_sqlite(server, tmp_path):
    with standing_still():
        folders = [small_world(where, tmp_path / name) for where, name in ((None, "files"), (server, "server"))]
        for folder in folders:
            walk(folder)
        files, remote = (open_workspace(folder) for folder in folders)
        assert remote.database.engine.dialect.name == "postgresql"
        assert facts(folders[1]) == facts(folders[0])
        assert rows(remote) == rows(files)
        assert remote.store.digests("adapters") == files.store.digests("adapters")
        assert is_valid(folders[1])
        with remote.database.reader() as session:
            assert isinstance(ledger.verify(session), Intact)
        assert _key_names(remote.keystore) == _key_names(files.keystore)


def _key_names(keys: KeyStore) -> set[str]:
    with keys._database.reader() as session:
        return set(session.connection().execute(text("SELECT name FROM data_key")).scalars())


def test_writers_queue_and_the_chain_holds(server, tmp_path):
    folder = small_world(server, tmp_path / "w")
    command = [sys.executable, "-c", APPENDER, str(folder), str(APPENDS)]
    writers = [subprocess.Popen(command, stderr=subprocess.PIPE) for _ in range(WRITERS)]
    assert [(w.wait(120), w.communicate()[1]) for w in writers] == [(0, b"")] * WRITERS
    with open_workspace(folder).database.reader() as session:
        found = ledger.verify(session)
    assert isinstance(found, Intact)
    assert found.length >= APPENDS * WRITERS


@contextmanager
def going_away(server: Postgres, number: int) -> Iterator[None]:
    """The server goes away inside that transaction, before its commit, and does not come back by itself."""
    whole, begun = Database.transaction, count(1)

    @contextmanager
    def transaction(self: Database) -> Iterator[Session]:
        with whole(self) as session:
            yield session
            if next(begun) == number:
                server.go_away()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Database, "transaction", transaction)
        yield


@pytest.mark.parametrize(("stage", "number"), [(Stage.APPROVED, 2), (Stage.APPROVED, 9), (Stage.PURGE_APPROVED, 4)])
def test_a_server_that_goes_away_is_one_sentence_and_the_case_goes_on(server, tmp_path, stage, number):
    with standing_still():
        folder = small_world(server, tmp_path / "w")
        walk(folder, until=stage)
        with going_away(server, number), pytest.raises(Fault, match="The database cannot be read or written"):
            walk(folder)
        with pytest.raises(Fault, match="The database cannot be read or written"):
            open_workspace(folder)
        server.come_back()
        let_die(open_workspace(folder))
        walk(folder)
        assert is_valid(folder)
        with open_workspace(folder).database.reader() as session:
            assert isinstance(ledger.verify(session), Intact)
