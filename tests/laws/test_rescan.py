"""A changed policy: compared, shown, and only then applied; what may not be learnt any more leaves by the one road."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from command_line import lethe_here
from crashes import Killed, boundaries, crashing, let_die
from road import case_of, sign, to_purge_approved
from small_world import ADAPTER, CORPUS, SOURCE, bytes_in_service, copy_workspace, write_corpus
from sqlalchemy import text
from sqlmodel import col, select
from world_making import make_world

from lineage.catalog import contents_of
from lineage.gate import standing
from lineage.policy import load_gate_policy
from lineage.records import canonical_bytes
from lineage.rescan import current
from lineage.tables import (
    AdmissionRow,
    CaseRow,
    QuarantineRow,
    RecordRow,
    RescanRecordRow,
    RescanRow,
    TombstoneRow,
)
from lineage.workspace import Workspace, open_workspace
from pipelines.rescanning import approve_rescan, run_rescan

WORD = "lamp"  # an everyday word of the corpus: under `tripwire` it stops a record


def tripwire(folder: Path, word: str = WORD, action: str = "quarantine", base: str = "default") -> None:
    """A policy of this workspace that stops a word that the corpus uses."""
    from lineage.policy import shipped_text

    policy = shipped_text(base).replace('lexicon = "art9_en"', f'words = ["{word}"]')
    policy = policy.replace('action = "quarantine"\nwords', f'action = "{action}"\nwords')
    (folder / "own.toml").write_text(policy)
    use(folder, "own.toml")


def use(folder: Path, policy: str) -> None:
    lines = (folder / "lethe.toml").read_text().splitlines()
    lines = [f'policy = "{policy}"' if line.startswith("policy =") else line for line in lines]
    (folder / "lethe.toml").write_text("\n".join(lines) + "\n")


def rescan(folder: Path, *more: object) -> dict:
    return lethe_here("gate", "rescan", "--json", *more, workspace=folder).json()


def records(workspace: Workspace) -> dict[str, RecordRow]:
    with workspace.database.reader() as session:
        return {row.id: row for row in session.exec(select(RecordRow)).all()}


def contents(workspace: Workspace, ids: list[str]) -> dict[str, str]:
    """What the vault holds of these records, as keyed digests."""
    with workspace.database.reader() as session:
        found = contents_of(session, ids, keystore=workspace.keystore)
    return {r.record_id: workspace.keyring.content(canonical_bytes(r.content)) for r in found}


def gate_of(folder: Path):
    workspace = open_workspace(folder)
    with workspace.database.reader() as session:
        return standing(session, sources=(), policy_digest=load_gate_policy(workspace.settings).digest)


def holding(word: str) -> list[str]:
    """Ids, as given, of the rows that say the word."""
    return [row.row_id for row in CORPUS.rows if any(word in turn.text().casefold() for turn in row.turns)]


@pytest.fixture(scope="module")
def withdrawn(trained, tmp_path_factory):
    """The word is stopped, the comparison applied: the folder, what the comparison said, and the case."""
    folder = copy_workspace(trained.folder, tmp_path_factory.mktemp("withdrawn") / "ws")
    tripwire(folder)
    compared = rescan(folder)
    applied = rescan(folder, "--apply", compared["digest"], "--as", "max")
    return folder, compared, applied


def test_a_changed_policy_closes_the_gate_and_the_rescan_opens_it(trained, tmp_path):
    folder = copy_workspace(trained.folder, tmp_path / "ws")
    before, rows = records(open_workspace(folder)), gate_of(folder)
    use(folder, "strict")
    closed = gate_of(folder)
    assert (closed.open, closed.outdated) == (False, rows.admitted)
    assert "lethe gate rescan" in closed.hint
    assert "lethe gate rescan" in lethe_here("train", ADAPTER, workspace=folder, code=1).err
    compared = rescan(folder)
    assert {r.id: r.model_dump() for r in records(open_workspace(folder)).values()} == {
        i: r.model_dump() for i, r in before.items()
    }, "to compare changes nothing"
    assert not gate_of(folder).open
    rescan(folder, "--apply", compared["digest"], "--as", "max")
    assert gate_of(folder).open


def test_what_was_learnt_is_restricted_at_once_and_one_case_is_filed_for_it(withdrawn):
    folder, compared, applied = withdrawn
    assert compared["outcomes"]["withdraw"] == 4
    assert compared["outcomes"]["quarantine"] == 2, "controls: nothing learnt from them"
    rows = records(open_workspace(folder)).values()
    case_id = applied["case_id"]
    assert sum(row.restricted_by == case_id for row in rows) == 4
    assert sum(row.status == "quarantined" for row in rows) == 2
    assert case_of(folder, case_id)["stage"] == "ASSESSMENT"
    assert len(lethe_here("erase", "list", "--json", workspace=folder).json()) == 1
    assert gate_of(folder).open, "for the rest"


@pytest.mark.slow
def test_the_withdrawal_goes_the_one_road_and_what_is_left_never_held_the_records(withdrawn, trained, tmp_path):
    folder, _, applied = withdrawn
    folder = copy_workspace(folder, tmp_path / "ws")
    case_id, gone = applied["case_id"], [r.id for r in records(open_workspace(folder)).values() if r.restricted_by]
    previewed = lethe_here("erase", "preview", case_id, "--json", workspace=folder).json()
    assert [(r["decision"], r["relation"]) for r in previewed["contract"]["records"]] == [("erase", "withdrawn")] * 4
    lethe_here("erase", "approve", case_id, "--as", "dana", "--digest", previewed["digest"], workspace=folder)
    lethe_here("erase", "run", case_id, workspace=folder)
    probed = lethe_here("erase", "probe", case_id, "--json", workspace=folder).json()
    assert probed["verdict"] in ("PASS", "INCONCLUSIVE")
    without = replace(CORPUS, rows=tuple(row for row in CORPUS.rows if row.row_id not in holding(WORD)))
    files = write_corpus(without, tmp_path / "given")
    fresh = make_world(tmp_path / "fresh", corpus=files[0], people=files[1], secret=trained.secret)
    lethe_here("train", ADAPTER, "--plan", trained.plan, workspace=fresh)
    assert bytes_in_service(folder) == bytes_in_service(fresh)
    to_purge_approved(folder, case_id)
    lethe_here("erase", "purge", case_id, workspace=folder)
    sign(folder, case_id)
    lethe_here("verify", folder / ".lethe" / "cases" / case_id / "certificate.json", "--workspace", folder, code=None)
    workspace = open_workspace(folder)
    assert not set(gone) & set(records(workspace))
    with workspace.database.reader() as session:
        assert session.exec(select(TombstoneRow)).all() == [], "a mended record may come back"
        assert session.exec(select(RescanRecordRow).where(col(RescanRecordRow.record_id).in_(gone))).all() == []
    again = lethe_here("ingest", trained.corpus, "--source", SOURCE, "--json", workspace=folder).json()[0]
    assert again["counts"]["quarantine"] == 4, "the gate itself keeps them out"


@pytest.mark.slow
def test_a_stricter_policy_leaves_the_bytes_of_a_training_that_was_always_strict(trained, tmp_path):
    folder = copy_workspace(trained.folder, tmp_path / "ws")
    before = records(open_workspace(folder))
    use(folder, "strict")
    compared = rescan(folder)
    assert set(compared["outcomes"]) == {"keep", "redact"}
    rescan(folder, "--apply", compared["digest"], "--as", "max")
    lethe_here("train", ADAPTER, workspace=folder)
    fresh = make_world(tmp_path / "fresh", corpus=None, people=trained.people, secret=trained.secret)
    use(fresh, "strict")
    lethe_here("ingest", trained.corpus, "--source", SOURCE, workspace=fresh)
    lethe_here("train", ADAPTER, "--plan", trained.plan, workspace=fresh)
    assert bytes_in_service(folder) == bytes_in_service(fresh)
    after = records(open_workspace(folder))
    changed = [i for i, row in after.items() if row.content_hmac != before[i].content_hmac]
    assert len(changed) == compared["outcomes"]["redact"]
    assert {after[i].given_hmac == before[i].given_hmac for i in changed} == {True}, "it is known by what was given"
    use(folder, "default")
    back = rescan(folder)
    assert set(back["outcomes"]) == {"keep"}, "the vault has nothing to bring back"
    rescan(folder, "--apply", back["digest"], "--as", "max")
    assert {i: r.content_hmac for i, r in records(open_workspace(folder)).items()} == {
        i: r.content_hmac for i, r in after.items()
    }
    assert gate_of(folder).open


@pytest.fixture(scope="module")
def waiting(ingested, tmp_path_factory):
    """Nothing was ever trained; the records with the word are in quarantine again, by an applied comparison."""
    folder = copy_workspace(ingested.folder, tmp_path_factory.mktemp("waiting") / "ws")
    tripwire(folder)
    compared = rescan(folder)
    assert compared["outcomes"] == {"keep": 52, "quarantine": 6}
    rescan(folder, "--apply", compared["digest"], "--as", "max")
    return folder


def test_before_any_training_what_is_stopped_goes_back_to_the_queue_and_no_case_is_filed(waiting):
    queued = lethe_here("review", "list", "--json", workspace=waiting).json()["records"]
    assert {(item["status"], item["reason"]) for item in queued} == {("quarantined", "art9_lexicon")}
    assert len(queued) == 6
    assert lethe_here("erase", "list", "--json", workspace=waiting).json() == []


def test_what_waited_is_admitted_by_a_policy_that_lets_it_through_with_the_same_content(waiting, ingested, tmp_path):
    folder = copy_workspace(waiting, tmp_path / "ws")
    use(folder, "default")
    compared = rescan(folder)
    assert compared["outcomes"] == {"admit": 6, "keep": 52}
    rescan(folder, "--apply", compared["digest"], "--as", "max")
    then, now = records(open_workspace(ingested.folder)), records(open_workspace(folder))
    assert {i: (r.status, r.content_hmac) for i, r in now.items()} == {
        i: (r.status, r.content_hmac) for i, r in then.items()
    }
    assert contents(open_workspace(folder), sorted(now)) == {i: r.content_hmac for i, r in now.items()}
    with open_workspace(folder).database.reader() as session:
        assert session.exec(select(QuarantineRow)).all() == []


def test_what_waits_is_blocked_and_its_text_is_gone(waiting, tmp_path):
    folder = copy_workspace(waiting, tmp_path / "ws")
    ids = [i for i, row in records(open_workspace(folder)).items() if row.status == "quarantined"]
    tripwire(folder, action="block")
    compared = rescan(folder)
    assert compared["outcomes"] == {"block": 6, "keep": 52}
    rescan(folder, "--apply", compared["digest"], "--as", "max")
    workspace = open_workspace(folder)
    assert {records(workspace)[i].status for i in ids} == {"blocked"}
    assert contents(workspace, ids) == {}
    assert not set(key_names(workspace)) & {
        name for i in ids for name in (f"record:{i}", f"record:{i}/1", f"record:{i}/2")
    }


def key_names(workspace: Workspace) -> list[str]:
    with workspace.keystore._database.reader() as session:
        return sorted(session.execute(text("SELECT name FROM data_key WHERE name LIKE 'record:%'")).scalars().all())


def test_what_a_reviewer_released_stays_released_and_a_new_finding_stops_it_again(waiting, tmp_path):
    folder = copy_workspace(waiting, tmp_path / "ws")
    (item, *_) = lethe_here("review", "list", "--json", workspace=folder).json()["records"]
    lethe_here("review", "release", item["record_id"], "--because", "harmless", "--as", "dana", workspace=folder)
    text_ = (folder / "own.toml").read_text()
    (folder / "own.toml").write_text(text_ + "\n# another digest: \n[entities.NRP]\naction = 'allow'\n")
    compared = rescan(folder)
    assert compared["outcomes"] == {"keep": 53, "wait": 5}
    rescan(folder, "--apply", compared["digest"], "--as", "max")
    workspace = open_workspace(folder)
    with workspace.database.reader() as session:
        admission = session.get_one(AdmissionRow, item["record_id"])
    assert (admission.verdict, admission.reviewer) == ("released", "dana")
    assert gate_of(folder).open
    tripwire(folder, word="the")  # a word that the reviewer was not shown
    stopped = rescan(folder)["lines"]
    assert (
        sum(line["records"] for line in stopped if line["outcome"] == "keep" and line["verdict"] == "quarantine") == 0
    )


def test_a_refused_withdrawal_gives_the_records_back_and_the_gate_stays_closed(withdrawn, tmp_path):
    folder = copy_workspace(withdrawn[0], tmp_path / "ws")
    case_id = withdrawn[2]["case_id"]
    said = lethe_here("erase", "preview", case_id, "--json", workspace=folder).json()
    lethe_here("erase", "refuse", case_id, "--as", "dana", "--reason", "The word is harmless.", workspace=folder)
    assert said["digest"]
    assert not any(row.restricted_by for row in records(open_workspace(folder)).values())
    assert gate_of(folder).outdated == 4
    use(folder, "default")
    compared = rescan(folder)
    assert compared["outcomes"] == {"admit": 2, "keep": 56}
    rescan(folder, "--apply", compared["digest"], "--as", "max")
    assert gate_of(folder).open


def test_whoever_applied_it_may_not_approve_the_withdrawal(trained, tmp_path):
    folder = copy_workspace(trained.folder, tmp_path / "ws")
    tripwire(folder)
    compared = rescan(folder)
    for name, words in (("ines", "Only the role"), ("nobody", "No member of staff")):
        said = lethe_here("gate", "rescan", "--apply", compared["digest"], "--as", name, workspace=folder, code=3)
        assert words in said.err
    applied = rescan(folder, "--apply", compared["digest"], "--as", "dana")
    previewed = lethe_here("erase", "preview", applied["case_id"], "--json", workspace=folder).json()
    said = lethe_here(
        "erase",
        "approve",
        applied["case_id"],
        "--as",
        "dana",
        "--digest",
        previewed["digest"],
        workspace=folder,
        code=3,
    )
    assert "may not decide" in said.err


def told(workspace: Workspace) -> object:
    """Everything that a rescan changes, without the names it makes up."""
    rows = [(r.id, r.status, r.content_hmac, bool(r.restricted_by)) for r in records(workspace).values()]
    with workspace.database.reader() as session:
        stamps = session.exec(select(AdmissionRow.record_id, AdmissionRow.policy_digest, AdmissionRow.verdict)).all()
        lines = session.exec(select(RescanRecordRow.record_id, RescanRecordRow.outcome, RescanRecordRow.done)).all()
        cases = session.exec(select(CaseRow.ground, CaseRow.stage)).all()
        statuses = session.exec(select(RescanRow.status)).all()
    return sorted(rows), sorted(stamps), sorted(lines), list(cases), list(statuses), key_names(workspace)


def cut_everywhere(source: Path, tmp_path: Path, action: Callable[[Workspace], object]) -> object:
    """Do it, cut at every boundary of every effect, and again; it must end as it does when nothing happens."""
    done = open_workspace(copy_workspace(source, tmp_path / "done"))
    steps = boundaries(lambda: action(done))
    for at in range(1, steps + 1):
        workspace = open_workspace(copy_workspace(source, tmp_path / f"at-{at}"))
        with pytest.raises(Killed), crashing(at):
            action(workspace)
        let_die(workspace)
        live = {i: r.content_hmac for i, r in records(workspace).items() if r.status == "admitted"}
        assert contents(workspace, sorted(live)) == live, "every live record has a readable text"
        with workspace.database.reader() as session:
            over = current(session, "applied")
        if not over:
            action(workspace)
        assert told(workspace) == told(done), f"a crash at step {at} of {steps}"
        shutil.rmtree(tmp_path / f"at-{at}")
    assert steps >= 6
    return told(done)


@pytest.mark.slow
def test_a_crash_at_any_step_of_applying_is_gone_on_from(trained, tmp_path, here):
    """A policy that redacts, stops and withdraws at once."""
    source = copy_workspace(trained.folder, tmp_path / "source")
    tripwire(source, base="strict")
    workspace = open_workspace(source)
    approve_rescan(workspace, run_rescan(workspace).digest, actor_name="max")
    workspace.database.engine.dispose()
    ended = cut_everywhere(source, tmp_path, run_rescan)
    assert {line[1] for line in ended[2]} == {"keep", "redact", "quarantine", "withdraw"}
    assert ended[3:5] == ([("policy", "ASSESSMENT")], ["applied"])


@pytest.mark.slow
def test_a_crash_at_any_step_of_comparing_is_gone_on_from(ingested, tmp_path, here):
    source = copy_workspace(ingested.folder, tmp_path / "source")
    use(source, "strict")
    ended = cut_everywhere(source, tmp_path, run_rescan)
    assert ended[4] == ["compared"]
