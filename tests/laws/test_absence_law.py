"""Every ancestor of what serves after an erasure stands on the certificate, with a proof that it holds nobody who went."""

from __future__ import annotations

import json
import random
import shutil
from base64 import b64decode
from importlib import resources
from pathlib import Path
from typing import Any

import pytest
from json_schema import faults
from quick_world import PLANS
from road import approved_case, judged_case, signed
from small_world import ADAPTER
from sqlmodel import Session
from stream_books import POOL, register, row_about, row_about_nobody, take_in, train, write_rows

from lineage import builds, manifests, merkle, verify
from lineage.case import CaseFile
from lineage.errors import NotAcceptable
from lineage.evidence import case_records, evidence
from lineage.rendering import read_sheet
from lineage.stages import Stage
from lineage.tables import SliceManifestRow
from lineage.trusted import load_trusted_keys
from lineage.workspace import Workspace, open_workspace
from pipelines import certified_absence, erasure, purging
from pipelines.certifying import SUCCEEDED_LIMIT

PERSON, *OTHERS = POOL[:6]


@pytest.fixture
def approved(template: Path, tmp_path: Path, one_scanner: None, here: pytest.MonkeyPatch) -> tuple[Workspace, str]:
    """Trained, erased and judged: only the purge is left."""
    workspace, rng = open_workspace(shutil.copytree(template, tmp_path / "ws")), random.Random(4)
    register(workspace, (PERSON, *OTHERS))
    rows = [row_about(person, rng) for person in (PERSON, *OTHERS) for _ in range(3)]
    take_in(workspace, write_rows(workspace, [*rows, *(row_about_nobody(rng) for _ in range(5))]))
    train(workspace, PLANS[0])
    case_id = approved_case(workspace, PERSON)
    erasure.contain(workspace, case_id)
    erasure.rebuild(workspace, case_id)
    judged_case(workspace, case_id)
    return workspace, case_id


def in_service(session: Session) -> dict[str, builds.StateFacts]:
    parts = builds.parts_of(session, builds.current_release(session, ADAPTER) or "")
    return {one.recipe_digest: one for recipe in parts.values() for one in builds.ancestors(session, recipe)}


def certified(workspace: Workspace, case_id: str) -> dict[str, Any]:
    """What the DPO signed, and the verifier accepts."""
    path = signed(workspace, case_id)
    trusted = load_trusted_keys(keys=workspace.home / "secrets")
    verified = verify.verify_file(path, trusted=trusted, expect_case=case_id)
    assert verified.ok, verified.checks
    assert any(line.startswith("Absence from what is in service: ") for line in verified.summary)
    statement = json.loads(b64decode(json.loads(path.read_text())["payload"]))
    schema = json.loads(resources.files("lineage").joinpath("certificate.schema.json").read_text(encoding="utf-8"))
    assert list(faults(statement, schema)) == []
    assert read_sheet(path.read_bytes(), trusted=trusted).limits == tuple(statement["predicate"]["limits"])
    return dict(statement["predicate"])


def test_every_ancestor_is_certified_and_each_erased_record_is_proved_absent(approved: tuple[Workspace, str]) -> None:
    workspace, case_id = approved
    with workspace.database.reader() as session:
        erased = {r.record_id for r in case_records(session, case_id) if r.decision == "erase"}
        redacted = {r.record_id for r in case_records(session, case_id) if r.decision == "redact"}
    assert erased
    purging.purge_case(workspace, case_id)
    told = certified(workspace, case_id)
    handle = workspace.keyring.handle
    with workspace.database.reader() as session:
        states = in_service(session)
        expected = {
            (None if one.shard < 0 else one.shard, one.slice, one.state_digest, *manifests.manifest_facts(session, one.manifest_digest))
            for one in states.values()
        }  # fmt: skip
    found = {(a.get("shard"), a["slice"], a["state"], a["records"], a["root"]) for a in told["ancestors"]}
    assert found == expected, "LAW every ancestor is listed, and nothing else"
    assert len(told["ancestors"]) == len(states) > 2
    assert {proof["record"] for one in told["ancestors"] for proof in one["proofs"]} == {
        handle(case_id, record_id) for record_id in erased | redacted
    }
    halves = {handle(case_id, record_id): record_id[:32] for record_id in erased}
    for one in told["ancestors"]:
        ends = [
            merkle.InclusionProof(
                bytes.fromhex(e["leaf"]), e["index"], one["records"], tuple(bytes.fromhex(one["nodes"][n]) for n in e["path"])
            )
            for e in one["leaves"]
        ]  # fmt: skip
        for proof in one["proofs"]:
            left, right = (ends[proof[side]] if side in proof else None for side in ("left", "right"))
            absent = bytes.fromhex(proof["absent"])
            assert proof["absent"] == halves.get(proof["record"], proof["absent"])
            assert merkle.verify_non_inclusion(
                merkle.NonInclusionProof(left, right), absent, bytes.fromhex(one["root"])
            )
            assert right is None or not right.leaf.startswith(absent)


def bring_back(workspace: Workspace, case_id: str, *, count: bool = True) -> None:
    """One erased record among the members of an ancestor of what serves, as a faulty rebuild would leave it."""
    with workspace.database.transaction() as session:
        erased = next(r.record_id for r in case_records(session, case_id) if r.decision == "erase")
        state = max(in_service(session).values(), key=lambda one: one.shard)
        row = session.get_one(SliceManifestRow, state.manifest_digest)
        leaves = sorted([*manifests.leaves_of(session, state.manifest_digest), bytes.fromhex(erased[:32]) + bytes(16)])
        row.members = b"".join(leaves)
        if count:
            row.records, row.merkle_root = len(leaves), merkle.root(leaves).hex()


@pytest.mark.parametrize("rooted", [True, False], ids=["in the root too", "in the members alone"])
def test_an_ancestor_that_holds_the_record_stops_the_purge_before_anything_is_destroyed(
    approved: tuple[Workspace, str], rooted: bool
) -> None:
    """Whatever says which weights are tainted: the proofs ask the manifests themselves."""
    workspace, case_id = approved
    bring_back(workspace, case_id, count=rooted)
    held = workspace.store.digests("states")
    with pytest.raises(NotAcceptable, match="An ancestor of the release holds 1 entries"):
        purging.purge_case(workspace, case_id)
    assert workspace.store.digests("states") == held, "LAW nothing is destroyed"
    with workspace.database.reader() as session:
        assert CaseFile(session, case_id).view.stage == Stage.PURGE_APPROVED
        assert {r.record_id for r in case_records(session, case_id)} != set()
    assert not (workspace.case_directory(case_id) / "certificate.half.json").exists()


def test_a_root_of_an_early_version_is_told_and_stands_among_the_limits(approved: tuple[Workspace, str]) -> None:
    workspace, case_id = approved
    with workspace.database.transaction() as session:
        trunk = min(in_service(session).values(), key=lambda one: one.shard)
        session.get_one(SliceManifestRow, trunk.manifest_digest).merkle_root = "0" * 64
    purging.purge_case(workspace, case_id)
    told = certified(workspace, case_id)
    (unproven,) = (one for one in told["ancestors"] if "unproven" in one)
    assert unproven["proofs"] == []
    assert "shard" not in unproven
    assert unproven["unproven"] in told["limits"]


def test_a_crash_after_the_rows_are_gone_still_gives_the_same_proofs(
    approved: tuple[Workspace, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace, case_id = approved
    with workspace.database.reader() as session:
        found = {kind: evidence(session, case_id, kind) for kind in ("contract", "rebuild")}

    def dies(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(purging, "write_half_signed", dies)
        with pytest.raises(KeyboardInterrupt):
            purging.purge_case(workspace, case_id)
    with workspace.database.reader() as session:
        old = evidence(session, case_id, "destroyed")["old_contents"]
        before = certified_absence.certified_ancestors(workspace, session, case_id, found, old=old)
    purging.purge_case(workspace, case_id)
    told = certified(workspace, case_id)
    assert [one["root"] for one in told["ancestors"]] == [one.root for one in before]
    assert all(one["proofs"] for one in told["ancestors"])


@pytest.mark.parametrize("turned_round", [False, True])
def test_two_cases_purged_one_after_the_other_are_both_proved(
    approved: tuple[Workspace, str], *, turned_round: bool
) -> None:
    """The second erasure rebuilds after the first one's evidence; each certificate proves what it built and what serves."""
    workspace, first = approved
    second = approved_case(workspace, OTHERS[0])
    erasure.contain(workspace, second)
    erasure.rebuild(workspace, second)
    judged_case(workspace, second)
    for case_id in (second, first) if turned_round else (first, second):
        purging.purge_case(workspace, case_id)
        with workspace.database.reader() as session:
            serving = {one.state_digest for one in in_service(session).values()}
        told = certified(workspace, case_id)
        proved = {one["state"] for one in told["ancestors"] if one["proofs"]}
        assert serving <= proved
        assert turned_round or len(proved) == len(told["ancestors"])
    assert (SUCCEEDED_LIMIT in told["limits"]) == turned_round, "the second purge destroys what the first case built"
