"""`lethe probe --map` on a real workspace: it finds the person where lineage has them, and the copy it does not know."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import pytest
from command_line import lethe_here, one_sentence
from copied_world import COPYCAT, copied_corpus, make_copied_world
from dagster import DefaultScheduleStatus, RunsFilter
from road import to_approved
from small_world import ADAPTER, PLANTED, copy_workspace, placed_by, values_of
from sqlmodel import select

from lineage.errors import WrongUsage
from lineage.evidence import evidence
from lineage.subjects import find_subject
from lineage.tables import LedgerRow, SubjectRow
from lineage.workspace import open_workspace
from pipelines.audit_job import audit_job, weekly_audit
from pipelines.auditing import audit_lineage, draw_people
from pipelines.instance import workspace_instance
from pipelines.launch import audit_adapter
from pipelines.states import open_atelier


@dataclass(frozen=True)
class Copied:
    folder: Path
    home: int
    copy: int


@pytest.fixture(scope="module")
def copied(tmp_path_factory: pytest.TempPathFactory) -> Copied:
    folder, plan = make_copied_world(tmp_path_factory.mktemp("copied"))
    workspace = open_workspace(folder)
    home, copy = (placed_by(workspace, plan, person).shard for person in (PLANTED, COPYCAT))
    assert home is not None
    assert copy is not None
    return Copied(folder, home, copy)


@pytest.fixture(scope="module")
def mapped(copied: Copied) -> dict:
    return ask(copied.folder, PLANTED.account, code=1)


def ask(folder: Path, identifier: str, *, code: int = 0) -> dict:
    return lethe_here("probe", ADAPTER, "--map", "--json", workspace=folder, given=f"{identifier}\n", code=code).json()


def test_both_shards_light_up_and_the_copy_is_the_one_lineage_does_not_know(copied: Copied, mapped: dict) -> None:
    assert mapped["known"] == [copied.home]
    assert mapped["now"]["lit"] == sorted([copied.home, copied.copy])
    assert mapped["missed"] == [copied.copy]
    assert any(f"nothing of this person in shard {copied.copy}" in sentence for sentence in mapped["sentences"])
    assert (mapped["before"], mapped["now"]["rank"]) == (None, 1)


def test_somebody_with_ordinary_records_has_no_copy(copied: Copied) -> None:
    quiet = [ask(copied.folder, person.customer_id)["missed"] for person in copied_corpus().people[:3]]
    assert quiet == [[], [], []]


def test_the_map_is_a_chart_on_the_terminal(copied: Copied) -> None:
    said = lethe_here("probe", ADAPTER, "--map", workspace=copied.folder, given=f"{PLANTED.account}\n", code=1)
    rows = [line for line in said.out.splitlines() if line.lstrip().startswith("shard ")]
    assert len(rows) == 8
    assert "stands out" in rows[copied.home]
    assert "known" in rows[copied.home]
    assert "stands out" in rows[copied.copy]
    assert "known" not in rows[copied.copy]
    assert rows[copied.home].count("#") > 20


def test_neither_the_answer_nor_dagster_nor_a_file_holds_the_person(copied: Copied, mapped: dict) -> None:
    workspace = open_workspace(copied.folder)
    with workspace.database.reader() as session:
        key = find_subject(session, PLANTED.account, workspace.keyring)
    planted = [key.encode(), *(value.encode() for value in values_of([PLANTED]))]
    assert not [value for value in planted if value in json.dumps(mapped).encode()]
    left = [p for p in (workspace.home / "dagster").rglob("*") if p.is_file()]
    assert left
    for path in left:
        assert not [value for value in planted if value in path.read_bytes()], path.name
    assert list((workspace.home / "probe-requests").iterdir()) == []


def test_it_runs_as_a_job_that_knows_a_request_and_nothing_else(copied: Copied, mapped: dict) -> None:
    with workspace_instance(open_workspace(copied.folder).home) as instance:
        runs = instance.get_runs(RunsFilter(job_name="person_probe"))
    assert runs
    for run in runs:
        assert list(run.run_config["ops"]["look"]["config"]) == ["request"]


def test_without_the_map_the_tests_of_a_case_run_on_the_same_road(copied: Copied) -> None:
    found = lethe_here("probe", ADAPTER, "--json", workspace=copied.folder, given=f"{PLANTED.account}\n").json()
    assert (found["seen"], found["shards"]) == (True, [copied.home])


def test_nobody_by_that_name_is_one_sentence(copied: Copied) -> None:
    said = lethe_here("probe", ADAPTER, "--map", workspace=copied.folder, given="Nobody Atall\n", code=None)
    one_sentence(said, 2, "Nobody in this workspace")


@pytest.fixture(scope="module")
def audited(copied: Copied, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """An audit of ten people, by the function of the job, under the first id that draws both who share their words."""
    folder = copy_workspace(copied.folder, tmp_path_factory.mktemp("audited") / "ws")
    with (folder / "lethe.toml").open("a", encoding="utf-8") as settings:
        settings.write("\n[audit]\nsubjects = 10\n")
    workspace = open_workspace(folder)
    plan = open_atelier(workspace, ADAPTER).plan.digest
    with workspace.database.reader() as session:
        wanted = {find_subject(session, person.account, workspace.keyring) for person in (PLANTED, COPYCAT)}
        ids = (f"audit-{i}" for i in range(1000))
        audit_id = next(i for i in ids if wanted <= set(draw_people(session, plan, i, count=10)))
    audit_lineage(workspace, ADAPTER, audit_id=audit_id)
    return folder, audit_id


def told(folder: Path, kind: str) -> list[dict]:
    with open_workspace(folder).database.reader() as session:
        rows = session.exec(select(LedgerRow).where(LedgerRow.kind == kind)).all()
    return [json.loads(row.payload) for row in rows]


def test_an_audit_finds_the_copy_from_both_sides_and_nothing_else(copied: Copied, audited: tuple[Path, str]) -> None:
    folder, audit_id = audited
    event = told(folder, "lineage.copy_missed")[0]
    assert (event["audit"], event["unmapped"]) == (audit_id, "")
    assert float(event["alpha"]) == pytest.approx(0.01 / event["subjects"])
    assert sorted(event["missed"].values()) == sorted([[copied.copy], [copied.home]])


def test_the_handle_of_an_audit_leads_back_to_the_person(copied: Copied, audited: tuple[Path, str]) -> None:
    folder, audit_id = audited
    event = told(folder, "lineage.copy_missed")[0]
    handle = next(handle for handle, shards in event["missed"].items() if shards == [copied.copy])
    found = lethe_here(
        "probe", ADAPTER, "--map", "--json", "--audited", f"{audit_id}:{handle}", workspace=folder, code=1
    )
    assert found.json()["known"] == [copied.home]
    stranger = lethe_here("probe", ADAPTER, "--map", "--audited", f"{audit_id}:nobody", workspace=folder, code=None)
    one_sentence(stranger, 2, "called nobody by this handle")


def test_the_audit_job_leaves_handles_and_numbers_in_dagster(
    audited: tuple[Path, str], here: pytest.MonkeyPatch
) -> None:
    workspace = open_workspace(audited[0])
    run_id = audit_adapter(workspace, ADAPTER)
    assert run_id in {e["audit"] for kind in ("audited", "copy_missed") for e in told(audited[0], f"lineage.{kind}")}
    with workspace_instance(workspace.home) as instance:
        said = repr(instance.all_logs(run_id)).encode()
    with workspace.database.reader() as session:
        keys = session.exec(select(SubjectRow.key)).all()
    assert b"copies_missed" in said
    assert not [key for key in keys if key.encode() in said]
    assert not [value for value in values_of([PLANTED, COPYCAT]) if value.encode() in said]


def test_an_audit_that_is_off_says_so(copied: Copied, here: pytest.MonkeyPatch) -> None:
    with pytest.raises(WrongUsage, match="The audit of lineage is off"):
        audit_adapter(open_workspace(copied.folder), ADAPTER)


def test_the_schedule_runs_only_when_people_are_to_be_drawn(
    audited: tuple[Path, str], copied: Copied, here: pytest.MonkeyPatch
) -> None:
    status = []
    for folder in (copied.folder, audited[0]):
        here.setenv("LETHE_WORKSPACE", str(folder))
        status.append(weekly_audit(ADAPTER, audit_job(ADAPTER)).default_status)
    assert status == [DefaultScheduleStatus.STOPPED, DefaultScheduleStatus.RUNNING]


@pytest.mark.slow
def test_a_case_fails_on_the_copy_and_names_its_shard(copied: Copied, tmp_path: Path, here: pytest.MonkeyPatch) -> None:
    """The search sees the copy, and the DPO takes it for none. The rebuild is honest; the copy stays. Between rebuild and
    purge the map has both sides."""
    folder = copy_workspace(copied.folder, tmp_path / "ws")
    case_id = to_approved(folder, PLANTED, unrelated=5)
    said = lethe_here("erase", "run", case_id, workspace=folder, code=1)
    assert "still find the person" in said.err
    with open_workspace(folder).database.reader() as session:
        probe = evidence(session, case_id, "probe")
    assert (probe["verdict"], probe["reason"]) == ("FAIL", "COPY_MISSED")
    assert probe["shard_map"]["missed"] == [copied.copy]
    found = ask(folder, PLANTED.account, code=1)
    assert sorted(found["before"]["lit"]) == sorted([copied.home, copied.copy])
    assert (found["now"]["lit"], found["known"]) == ([copied.copy], [copied.home])
