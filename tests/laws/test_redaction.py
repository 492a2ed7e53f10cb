"""A mention found late is redacted in place: every byte equals a training that was given the record without the person."""

from __future__ import annotations

import csv
import json
from base64 import b64decode
from dataclasses import replace
from pathlib import Path

import pytest
from command_line import lethe_here
from road import approve_anew, approved_case, case_of, to_approved, to_purge_approved
from small_world import (
    ADAPTER,
    CORPUS,
    PLANTED,
    SOURCE,
    Bytes,
    bytes_in_service,
    copy_workspace,
    corpus_without,
    live_states,
    store_path,
    values_of,
    write_corpus,
)
from sqlmodel import select
from world_making import make_world

from lineage import builds
from lineage.absence import FORGOTTEN
from lineage.catalog import contents_of
from lineage.evidence import case_records, evidence
from lineage.manifests import manifests_holding_content, members_of
from lineage.tables import RecordRow, ReleaseRow, SupersededRow, TombstoneRow
from lineage.vault import Shredded, record_key
from lineage.workspace import Workspace, open_workspace
from pipelines import erasure, redacting
from pipelines.demo_rows import KINDS

Pairs = set[tuple[str, str]]
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def late(trained, tmp_path_factory) -> Path:
    """Trained while nobody knew the planted person, so that their name stands in three records of others; known now."""
    root = tmp_path_factory.mktemp("late")
    others = replace(CORPUS, people=tuple(p for p in CORPUS.people if p != PLANTED))
    corpus, people = write_corpus(others, root / "given")
    folder = make_world(root / "ws", corpus=corpus, people=people, secret=trained.secret)
    lethe_here("train", ADAPTER, "--plan", trained.plan, workspace=folder)
    with people.open("w", newline="", encoding="utf-8") as file:
        rows = [(PLANTED.customer_id, kind, PLANTED.value(kind)) for kind in KINDS]
        csv.writer(file).writerows([("subject", "kind", "value"), *rows])
    lethe_here("register", "add", "--from-file", people, workspace=folder)
    return folder


@pytest.fixture(scope="module")
def given_without(trained, tmp_path_factory) -> Bytes:
    """A fresh workspace whose corpus never held the person: the three records of others came with constants."""
    root = tmp_path_factory.mktemp("without")
    corpus, people = write_corpus(corpus_without(PLANTED), root / "given")
    folder = make_world(root / "ws", corpus=corpus, people=people, secret=trained.secret)
    lethe_here("train", ADAPTER, "--plan", trained.plan, workspace=folder)
    return bytes_in_service(folder)


@pytest.fixture(scope="module")
def run(late, tmp_path_factory) -> tuple[Path, str]:
    """The case with its evidence, by the command."""
    folder = copy_workspace(late, tmp_path_factory.mktemp("run") / "ws")
    case_id = to_approved(folder, PLANTED)
    lethe_here("erase", "run", case_id, workspace=folder)
    return folder, case_id


def redacted_by(workspace: Workspace, case_id: str) -> list[str]:
    with workspace.database.reader() as session:
        return [r.record_id for r in case_records(session, case_id) if r.decision == "redact"]


def old_contents(workspace: Workspace) -> Pairs:
    with workspace.database.reader() as session:
        return {(row.record_id, row.content_hmac[:32]) for row in session.exec(select(SupersededRow)).all()}


def below(workspace: Workspace, composed: str) -> Pairs:
    """Every record, with half the digest of the content it had, that a composed adapter descends from."""
    with workspace.database.reader() as session:
        chains = [builds.ancestors(session, recipe) for recipe in builds.parts_of(session, composed).values()]
        digests = {state.manifest_digest for chain in chains for state in chain}
        return {pair for digest in digests for pair in members_of(session, digest).items()}


def texts(workspace: Workspace, record_ids: list[str]) -> list[str]:
    with workspace.database.reader() as session:
        found = contents_of(session, record_ids, keystore=workspace.keystore)
    return [" ".join(record.content.segments()) for record in found]


def test_what_is_redacted_equals_what_was_given_without_the_person(late, run, given_without):
    folder, case_id = run
    with open_workspace(folder).database.reader() as session:
        decisions = sorted((r["relation"], r["decision"]) for r in evidence(session, case_id, "contract")["records"])
    assert decisions == [("declared", "erase")] * 4 + [("mentioned", "redact")] * 3
    assert bytes_in_service(folder) == given_without
    assert bytes_in_service(late) != given_without
    assert case_of(folder, case_id)["stage"] == "EVIDENCE_READY"


def test_no_release_since_descends_from_an_old_content(late, run):
    folder, case_id = run
    workspace = open_workspace(folder)
    old = old_contents(workspace)
    assert {record_id for record_id, _ in old} == set(redacted_by(workspace, case_id))
    with workspace.database.reader() as session:
        first, *since = session.exec(select(ReleaseRow).order_by(ReleaseRow.id)).all()
    assert old & below(workspace, first.composed_digest), "the control: what served before had learnt them"
    assert [row.reason.split()[0] for row in since] == ["contained", "erasure"]
    assert not [row for row in since if old & below(workspace, row.composed_digest)]


def test_the_old_text_stays_sealed_until_the_purge_and_nothing_else_holds_the_person(run):
    folder, case_id = run
    workspace = open_workspace(folder)
    now = texts(workspace, redacted_by(workspace, case_id))
    assert len(now) == 3
    assert not [value for value in values_of([PLANTED]) if any(value in text for text in now)]
    with workspace.database.reader() as session:
        kept = session.exec(select(SupersededRow)).all()
    sealed = [(record_key(row.record_id, row.version), row.ciphertext) for row in kept]
    plains = [plain.decode() for plain in workspace.keystore.open(sealed)]
    assert all(any(value in plain for value in values_of([PLANTED])) for plain in plains)


def test_the_purge_destroys_old_texts_keys_and_weights_and_the_text_cannot_come_back(run, trained, tmp_path):
    folder, case_id = copy_workspace(run[0], tmp_path / "ws"), run[1]
    before = open_workspace(folder)
    ids, old = redacted_by(before, case_id), old_contents(before)
    with before.database.reader() as session:
        sealed = [(record_key(r.record_id, r.version), r.ciphertext) for r in session.exec(select(SupersededRow)).all()]
        learnt = manifests_holding_content(session, old)
    doomed = {state.state_digest for state in live_states(before) if state.manifest_digest in learnt}
    to_purge_approved(folder, case_id)
    lethe_here("erase", "hold", case_id, "--as", "dana", "--reason", "a claim", workspace=folder)
    lethe_here("erase", "purge", case_id, workspace=folder, code=3)
    assert before.keystore.open(sealed), "a hold wins"
    lethe_here("erase", "hold", case_id, "--as", "dana", "--lift", workspace=folder)
    lethe_here("erase", "purge", case_id, workspace=folder)
    after = open_workspace(folder)
    assert case_of(folder, case_id)["stage"] == "PURGED"
    for item in sealed:
        with pytest.raises(Shredded):
            after.keystore.open([item])
    assert doomed
    assert not [digest for digest in doomed if store_path(folder, "states", digest).exists()]
    assert old_contents(after) == set()
    assert len(texts(after, ids)) == 3, "the records of others are still there, and readable"
    with after.database.reader() as session:
        assert len(session.exec(select(TombstoneRow).where(TombstoneRow.kind == "content")).all()) == 7
    report = lethe_here("ingest", trained.corpus, "--source", SOURCE, "--json", workspace=folder).json()[0]
    assert report["counts"]["erased"] == report["counts"]["rejected"] == 7
    half = json.loads(next((folder / ".lethe" / "cases").rglob("certificate.half.json")).read_text())
    told = json.loads(b64decode(half["payload"]))["predicate"]
    entries = {record_id[:32] + content for record_id, content in old}
    assert len(entries) == 3
    for ancestor in told["ancestors"]:
        assert {proof["absent"] for proof in ancestor["proofs"] if len(proof["absent"]) == 64} == entries
        assert sum(len(proof["absent"]) == 32 for proof in ancestor["proofs"]) == 4
    assert FORGOTTEN not in told["limits"]


def test_a_case_that_is_withdrawn_serves_what_served_before(late, tmp_path):
    """Its redactions are taken back, and what was trained on the old texts is still in the store."""
    folder = copy_workspace(late, tmp_path / "ws")
    workspace = open_workspace(folder)
    case_id = approved_case(workspace, PLANTED)
    erasure.contain(workspace, case_id)
    assert bytes_in_service(folder) != bytes_in_service(late), "the control"
    states = {state.recipe_digest for state in live_states(workspace)}
    lethe_here("erase", "withdraw", case_id, "--as", "ines", "--reason", "Told us by telephone.", workspace=folder)
    lethe_here("train", ADAPTER, workspace=folder)
    assert bytes_in_service(folder) == bytes_in_service(late), (
        "LAW the next training learns what the records said before"
    )
    assert {state.recipe_digest for state in live_states(workspace)} <= states, "LAW nothing was trained again"


def test_records_that_a_case_keeps_after_it_redacted_them_say_again_what_they_said(late, tmp_path):
    folder = copy_workspace(late, tmp_path / "ws")
    workspace = open_workspace(folder)
    case_id = approved_case(workspace, PLANTED)
    erasure.contain(workspace, case_id)
    with workspace.database.reader() as session:
        handles = [workspace.keyring.handle(case_id, line.record_id) for line in case_records(session, case_id)]
    for handle in handles:
        keep = ("--exception", "b", "--reason", "Tax law.", "--as", "dana")
        lethe_here("erase", "decide", case_id, handle, "keep", *keep, workspace=folder)
    approve_anew(workspace, case_id)
    erasure.contain(workspace, case_id)
    erasure.rebuild(workspace, case_id)
    assert bytes_in_service(folder) == bytes_in_service(late)
    assert not redacted_by(workspace, case_id)


def test_a_containment_that_crashed_after_the_redaction_goes_on(late, given_without, tmp_path):
    workspace = open_workspace(copy_workspace(late, tmp_path / "ws"))
    case_id = approved_case(workspace, PLANTED)
    assert redacting.redact_mentions(workspace, case_id) == 3
    assert redacting.redact_mentions(workspace, case_id) == 0
    erasure.contain(workspace, case_id)
    erasure.rebuild(workspace, case_id)
    assert bytes_in_service(tmp_path / "ws") == given_without
    with workspace.database.reader() as session:
        versions = sorted(row.version for row in session.exec(select(RecordRow)).all())
    assert versions[-4:] == [0, 1, 1, 1]
