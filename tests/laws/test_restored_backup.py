"""A backup of before a purge, restored: nothing opens, and the replay ends with the same state and nothing of the person."""

from __future__ import annotations

import json
import random
import shutil
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest
from command_line import lethe_here, one_sentence
from crashes import Killed, boundaries, crashing, let_die
from quick_world import PLANS
from road import approved_case, case_of, judged_case, sign
from small_world import ADAPTER, SOURCE, bytes_in_service, copy_workspace
from sqlmodel import SQLModel, select
from stream_books import POOL, register, row_about, row_about_nobody, take_in, train, write_rows
from thief import every_key

from console.app import create_app
from lineage import ledger
from lineage.case import CaseFile
from lineage.errors import RefusedByRule
from lineage.forms import canonical_identifier
from lineage.journal import LIFTED, Entry, append, entries
from lineage.replay import REPLAYED
from lineage.subjects import find_subject, load_suppression
from lineage.tables import CueRow, RecordRow, RecordSubjectRow, RegisterRow, SubjectRow, SuppressionRow, TombstoneRow
from lineage.workspace import Workspace, open_workspace
from pipelines import erasure
from pipelines.ingest import request_ingest
from pipelines.purging import purge_case
from pipelines.replaying import Replayed, replay, waiting
from pipelines.resources import WorkspaceResource

PERSON, WRITER, *OTHERS = POOL[:8]
PLAN = PLANS[0]
MOMENTS = ("before they came", "before they asked", "before the containment", "before the purge")
REPLAY_BOUNDARIES = 56
SAMPLE = 11


@dataclass(frozen=True)
class World:
    """A purged workspace, and copies of its two databases from earlier moments."""

    folder: Path
    backups: Mapping[str, Path]
    case_id: str

    def restored(self, moment: str, folder: Path, *files: str) -> Path:
        """A copy of the purged workspace into which these files of a backup were put back."""
        target = copy_workspace(self.folder, folder / "ws")
        for name in files:
            for leftover in (target / ".lethe").glob(f"{name}*"):
                leftover.unlink()
            shutil.copy2(self.backups[moment] / name, target / ".lethe" / name)
        return target


DATABASES = ("lethe.db", "keys.db")


@pytest.fixture(scope="module")
def world(template: Path, tmp_path_factory: pytest.TempPathFactory) -> World:
    """The person has two records, and is named in one of somebody else that was learnt before anybody knew their name."""
    with pytest.MonkeyPatch.context():
        folder = shutil.copytree(template, tmp_path_factory.mktemp("restored") / "ws")
        workspace, rng, backups = open_workspace(folder), random.Random(4), {}

        def back_up(moment: str) -> None:
            backups[moment] = folder.parent / moment.replace(" ", "-")
            backups[moment].mkdir()
            for name in DATABASES:  # SQLite's own way: half of a database lies in its WAL file
                with (
                    sqlite3.connect(folder / ".lethe" / name) as source,
                    sqlite3.connect(backups[moment] / name) as copy,
                ):
                    source.backup(copy)
                source.close()
                copy.close()

        register(workspace, (WRITER, *OTHERS))
        rows = [row_about(person, rng) for person in (WRITER, *OTHERS) for _ in range(2)]
        take_in(workspace, write_rows(workspace, [*rows, *(row_about_nobody(rng) for _ in range(3))]))
        back_up("before they came")
        rows = [row_about(PERSON, rng), row_about(PERSON, rng), row_about(WRITER, rng, other=PERSON)]
        take_in(workspace, write_rows(workspace, rows))
        register(workspace, (PERSON,))
        train(workspace, PLAN)
        back_up("before they asked")
        case_id = approved_case(workspace, PERSON)
        back_up("before the containment")
        erasure.contain(workspace, case_id)
        erasure.rebuild(workspace, case_id)
        judged_case(workspace, case_id)
        back_up("before the purge")
        purge_case(workspace, case_id)
    return World(folder, backups, case_id)


@pytest.fixture(autouse=True)
def _quick(one_scanner: None, here: pytest.MonkeyPatch) -> None:
    """One scanner for all; the environment as it was."""


def everything(workspace: Workspace) -> dict[str, list[dict[str, object]]]:
    """What the workspace holds and keeps out, row by row, whatever the numbers of the rows are."""
    tables: tuple[type[SQLModel], ...] = (
        RecordRow, RecordSubjectRow, SubjectRow, RegisterRow, TombstoneRow, SuppressionRow, CueRow,
    )  # fmt: skip
    with workspace.database.reader() as session:
        found = {
            table.__name__: [row.model_dump(exclude={"id"} if table not in (RecordRow,) else set()) for row in session.exec(select(table)).all()]
            for table in tables
        }  # fmt: skip
    return {name: sorted(rows, key=str) for name, rows in found.items()}


def person_in(workspace: Workspace) -> dict[str, object]:
    """Everything by which the person could still be known: their rows, and keys of theirs."""
    key = workspace.keyring.subject_key(canonical_identifier(PERSON.customer_id))
    (entry, *_) = [entry for entry in entries(workspace.journal) if entry.record_ids]
    dead = [f"record:{record_id}" for record_id in entry.record_ids] + [f"subject:{key}", f"case:{entry.case_id}"]
    with workspace.database.reader() as session:
        links = session.exec(select(RecordSubjectRow).where(RecordSubjectRow.subject_key == key)).all()
        named = find_subject(session, PERSON.value("account"), workspace.keyring)
        return {
            "links": len(links), "named": named, "subject": session.get(SubjectRow, key),
            "records": [r for r in entry.record_ids if session.get(RecordRow, r)],
            "keys": sorted(workspace.keystore.holding(dead)),
        }  # fmt: skip


NOBODY = {"links": 0, "named": None, "subject": None, "records": [], "keys": []}


def replayed(folder: Path) -> tuple[Workspace, list[Replayed]]:
    workspace = open_workspace(folder, even_restored=True)
    done = replay(workspace)
    assert waiting(workspace) == []
    assert replay(workspace) == [], "LAW idempotent"
    return open_workspace(folder), done


# --- nothing opens ----------------------------------------------------------------------------------------------------------


RESTORED = [
    (moment, files) for moment in MOMENTS for files in (("lethe.db",), ("keys.db",), DATABASES)
    if (moment, files) != ("before they came", ("keys.db",))  # which has no key of the person
]  # fmt: skip


@pytest.mark.parametrize(
    ("moment", "files"), RESTORED, ids=lambda part: part if isinstance(part, str) else " and ".join(part)
)
def test_nothing_opens_a_workspace_in_which_a_backup_has_undone_an_erasure(world, tmp_path, moment, files):
    open_workspace(world.folder)  # the control: the purged one opens
    folder = world.restored(moment, tmp_path, *files)
    for opening in (open_workspace, create_app, lambda f: WorkspaceResource(folder=str(f)).open()):
        with pytest.raises(RefusedByRule, match=r"A restored backup has undone an erasure") as refused:
            opening(folder)
        assert refused.value.hint.endswith("lethe replay")


READING = (
    ("train", ADAPTER), ("train", ADAPTER, "--dry-run"), ("plan", ADAPTER), ("plan", ADAPTER, "--export", "plan.json"),
    ("ingest", "rows.jsonl", "--source", SOURCE), ("up",), ("lineage", "release", ADAPTER), ("lineage", "adapter", ADAPTER),
    ("review", "list"), ("register", "list"), ("gate", "rescan"), ("store", "gc"), ("erase", "list"), ("erase", "run", "--all"),
    ("erase", "purge", "case-1"), ("erase", "sign", "case-1", "--as", "dana", "--digest", "0"), ("probe", ADAPTER, "--map", "--audited", "a:b"),
    ("staff", "link", "dana"),
)  # fmt: skip


def test_every_command_that_serves_learns_or_exports_says_so_in_one_sentence(world, tmp_path):
    folder = world.restored("before the purge", tmp_path, *DATABASES)
    before = {path: path.stat().st_mtime_ns for path in (folder / ".lethe").rglob("*") if path.suffix != ".db-shm"}
    for command in READING:
        said = lethe_here(*command, workspace=folder, code=3)
        one_sentence(said, 3, "A restored backup has undone an erasure", "lethe replay")
    after = {path for path, at in before.items() if path.exists() and path.stat().st_mtime_ns != at}
    assert not {path for path in after if path.is_file() and ".db" not in path.name}
    assert lethe_here("ledger", "verify", workspace=folder), "what a restored ledger is worth may be asked"
    assert "lethe replay" in lethe_here("doctor", workspace=folder, code=1).out


# --- the replay ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("moment", MOMENTS[1:])
def test_both_databases_restored_and_replayed_are_what_the_purge_had_left(world, tmp_path, moment):
    folder = world.restored(moment, tmp_path, *DATABASES)
    with open_workspace(folder, even_restored=True).database.reader() as session:
        assert find_subject(session, PERSON.value("account"), open_workspace(world.folder).keyring), "the control"
    workspace, done = replayed(folder)
    assert [(each.case_id, each.what, each.files_left) for each in done] == [(world.case_id, "rows", ())]
    assert (done[0].counts["freed"], done[0].counts["lost"]) == (int(moment != "before the purge"), 0)
    assert person_in(workspace) == NOBODY
    ours, theirs = everything(workspace), everything(open_workspace(world.folder))
    assert ours == theirs
    train(workspace, PLAN)
    assert bytes_in_service(folder) == bytes_in_service(world.folder), "LAW erased equals never ingested, also twice"


def test_of_a_database_alone_the_texts_of_others_that_no_key_opens_go_whole(world, tmp_path):
    folder = world.restored("before the containment", tmp_path, "lethe.db")
    workspace, (done,) = replayed(folder)
    assert (done.counts["freed"], done.counts["lost"], done.files_left) == (0, 1, None)
    assert person_in(workspace) == NOBODY
    ours, theirs = everything(workspace), everything(open_workspace(world.folder))
    for name in ("TombstoneRow", "SuppressionRow", "CueRow", "RegisterRow"):
        assert ours[name] == theirs[name]
    assert len(theirs["RecordRow"]) - len(ours["RecordRow"]) == 1
    train(workspace, PLAN)


def test_of_a_database_alone_from_after_the_containment_everything_else_stays(world, tmp_path):
    folder = world.restored("before the purge", tmp_path, "lethe.db")
    workspace, (done,) = replayed(folder)
    assert (done.counts["freed"], done.counts["lost"]) == (0, 0)
    assert everything(workspace) == everything(open_workspace(world.folder))
    train(workspace, PLAN)
    assert bytes_in_service(folder) == bytes_in_service(world.folder)


def test_a_backup_that_never_knew_the_person_learns_whom_to_keep_out(world, tmp_path):
    folder = world.restored("before they came", tmp_path, "lethe.db")
    workspace, (done,) = replayed(folder)
    assert done.counts["records"] == 0
    ours, theirs = everything(workspace), everything(open_workspace(world.folder))
    for name in ("TombstoneRow", "SuppressionRow", "CueRow"):
        assert ours[name] == theirs[name] != []
    with workspace.database.reader() as session:
        assert load_suppression(session, workspace.keyring).link(f"about {PERSON.value('name')}")


def test_keys_alone_are_shredded_again(world, tmp_path):
    folder = world.restored("before the purge", tmp_path, "keys.db")
    back = every_key(folder / ".lethe")
    before = everything(open_workspace(folder, even_restored=True))
    workspace, (done,) = replayed(folder)
    assert (done.what, person_in(workspace)) == ("keys", NOBODY)
    assert sorted(every_key(folder / ".lethe")) == sorted(every_key(world.folder / ".lethe")) != sorted(back)
    assert everything(workspace) == before
    assert bytes_in_service(folder) == bytes_in_service(world.folder)


def test_the_command_replays_as_a_job_and_the_case_is_purged_again(world, tmp_path):
    folder = world.restored("before the purge", tmp_path, *DATABASES)
    assert f"{world.case_id}  purged" in lethe_here("replay", "--dry-run", workspace=folder).out
    (done,) = lethe_here("replay", "--json", workspace=folder).json()
    assert (done["case_id"], done["files_left"]) == (world.case_id, [])
    case = case_of(folder, world.case_id)
    assert (case["stage"], case["hold_reason"]) == ("PURGED", "")
    workspace = open_workspace(folder)
    with workspace.database.reader() as session:
        events = ledger.events_of_case(session, world.case_id)
        assert CaseFile(session, world.case_id).view.evidence_digest == events[-1].payload["purge"]
    assert [event.kind for event in events[-2:]] == ["case.purged", REPLAYED]
    one_sentence(
        lethe_here("erase", "purge", world.case_id, workspace=folder, code=3), 3, "was purged again", "Sign it"
    )
    sign(folder, world.case_id)
    assert lethe_here("replay", workspace=folder).out.startswith("No erasure was undone")


def test_a_purge_that_crashed_is_no_restored_backup(world, tmp_path):
    """Its journal is there and its end is not; it goes on by itself, and nothing waits for a replay."""
    folder = world.restored("before the purge", tmp_path, *DATABASES)
    journal = folder / ".lethe" / "journal.jsonl"
    journal.write_bytes(journal.read_bytes().split(b"\n")[0] + b"\n")
    workspace = open_workspace(folder)
    request_ingest(workspace, write_rows(workspace, [row_about(OTHERS[0], random.Random(9))]), source="more")
    purge_case(workspace, world.case_id)
    assert person_in(workspace) == NOBODY


@pytest.mark.parametrize("moment", ["before they asked", "before the containment"])
def test_a_journal_of_an_older_version_is_replayed_from_what_the_backup_says(world, tmp_path, moment):
    """Its lines had neither digests of forms nor an end; both databases are back, so the person can be read once more."""
    folder = world.restored(moment, tmp_path, *DATABASES)
    journal = folder / ".lethe" / "journal.jsonl"
    line = json.loads(journal.read_bytes().split(b"\n")[0])
    old = ("case_id", "purge_digest", "at", "record_ids", "subject_key", "redacted_ids")
    journal.write_text(json.dumps({name: line[name] for name in old}) + "\n")
    workspace, _ = replayed(folder)
    assert person_in(workspace) == NOBODY
    ours, theirs = everything(workspace), everything(open_workspace(world.folder))
    if (
        moment == "before they asked"
    ):  # nobody knows any more what they gave with the request; the register does not have it
        for name in ("SuppressionRow", "CueRow"):
            assert [row for row in ours.pop(name) if row not in theirs[name]] == []
            del theirs[name]
    assert ours == theirs


def test_who_was_let_in_again_is_not_kept_out_by_a_replay(world, tmp_path):
    folder = world.restored("before they came", tmp_path, "lethe.db")
    with open_workspace(world.folder).database.reader() as session:
        digest = CaseFile(session, world.case_id).view.evidence_digest
    append(folder / ".lethe" / "journal.jsonl", Entry(world.case_id, digest, "2026-03-02T09:00:00+00:00", kind=LIFTED))
    workspace, _ = replayed(folder)
    assert not everything(workspace)["TombstoneRow"] + everything(workspace)["SuppressionRow"]


@pytest.mark.parametrize(
    "at", [pytest.param(n, marks=() if n % SAMPLE == 1 else pytest.mark.slow) for n in range(1, REPLAY_BOUNDARIES + 1)]
)
def test_a_replay_that_stops_at_any_boundary_is_finished_by_the_next(world, tmp_path, at):
    folder = world.restored("before the containment", tmp_path, *DATABASES)
    workspace = open_workspace(folder, even_restored=True)
    with crashing(at), pytest.raises(Killed):
        replay(workspace)
    let_die(workspace)
    replay(workspace)
    assert person_in(open_workspace(folder)) == NOBODY
    assert everything(workspace) == everything(open_workspace(world.folder))


def test_the_boundaries_are_all_of_them(world, tmp_path):
    """If the road gets longer, the number above must grow."""
    workspace = open_workspace(world.restored("before the containment", tmp_path, *DATABASES), even_restored=True)
    assert boundaries(lambda: replay(workspace)) == REPLAY_BOUNDARIES
