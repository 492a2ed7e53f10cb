"""`compose = "none"`: every shard is served as an adapter of its own, on the whole road from training to the certificate."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from command_line import lethe_here
from peft import PeftModel
from road import approved_case, sign, to_approved, to_purge_approved
from small_world import ADAPTER, PLANTED, bytes_in_service, copy_workspace, live_states
from sqlmodel import col, select
from transformers import AutoModelForCausalLM

from lineage import builds, plans
from lineage.catalog import contents_of
from lineage.evidence import evidence
from lineage.tables import PlacementRow, RecordRow
from lineage.workspace import Workspace, open_workspace
from pipelines import erasure, releasing
from pipelines.states import open_atelier, peft_files, state_bytes
from unlearn.compose import files_digest
from unlearn.plan import Plan
from unlearn.tiny_base import TINY_BASE


def apart(source: Path, target: Path) -> Path:
    """A copy of a workspace whose adapter is served shard by shard from now on."""
    folder = copy_workspace(source, target)
    settings = folder / "lethe.toml"
    settings.write_text(settings.read_text().replace("[adapters.support]\n", '[adapters.support]\ncompose = "none"\n'))
    return folder


def in_service(workspace: Workspace) -> tuple[str, dict[str, dict[str, bytes]]]:
    """Digest of the release, and the files of each shard in it; checks that shards.json tells them."""
    with workspace.database.reader() as session:
        digest = builds.current_release(session, ADAPTER) or ""
    files = workspace.store.read("adapters", digest)
    summary = json.loads(files.pop("shards.json"))
    shards: dict[str, dict[str, bytes]] = {}
    for name, content in files.items():
        shard, _, file = name.partition("/")
        shards.setdefault(shard, {})[file] = content
    assert (sorted(shards), 3) == (summary["folders"], summary["shards"])
    return digest, shards


def standing(workspace: Workspace, recipes: dict[int, str | None]) -> dict[str, dict[str, bytes]]:
    """The PEFT files of the states behind recipes, by shard folder."""
    atelier = open_atelier(workspace, ADAPTER)
    with workspace.database.reader() as session:
        chains = {shard: builds.ancestors(session, recipe) for shard, recipe in recipes.items() if recipe}
    return {
        f"s{shard:02d}": peft_files(atelier, state_bytes(workspace, chain[-1].state_digest).weights)
        for shard, chain in chains.items()
    }


def parts(workspace: Workspace) -> dict[int, str | None]:
    with workspace.database.reader() as session:
        return builds.parts_of(session, builds.current_release(session, ADAPTER) or "")


@pytest.fixture(scope="module")
def served(trained, tmp_path_factory):
    """The trained world, released shard by shard."""
    folder = apart(trained.folder, tmp_path_factory.mktemp("apart") / "ws")
    said = lethe_here("train", ADAPTER, "--json", workspace=folder).json()[ADAPTER]
    return folder, said


@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing`:FutureWarning")  # peft 0.21 under transformers 5.23
def test_the_release_changes_its_form_without_any_training(trained, served) -> None:
    folder, said = served
    assert bytes_in_service(folder).states == bytes_in_service(trained.folder).states
    assert len(live_states(open_workspace(folder))) == len(live_states(open_workspace(trained.folder)))
    workspace = open_workspace(folder)
    digest, shards = in_service(workspace)
    assert (said["release"], said["rank"]) == (digest, open_atelier(workspace, ADAPTER).plan.lora_r)
    assert shards == standing(workspace, parts(workspace))
    with workspace.database.reader() as session:
        own = builds.shard_adapters(session, ADAPTER)
    assert {files_digest(files) for files in shards.values()} == set(own.values())
    for shard in shards:
        base = AutoModelForCausalLM.from_pretrained(TINY_BASE)
        assert PeftModel.from_pretrained(base, Path(said["directory"]) / shard).peft_config["default"].r == said["rank"]


def test_the_assessment_is_the_mean_over_the_shards(ingested, tmp_path, here) -> None:
    from probes.decoding import DecodingScheme
    from probes.dossier import Panel
    from probes.target import Target
    from probes.tokens import tokenise
    from probes.utility import held_out_nll

    folder = apart(ingested.folder, tmp_path / "ws")
    plan = replace(Plan.from_json(ingested.plan.read_text()), controls=0.4)
    (tmp_path / "plan.json").write_text(plan.to_json())
    lethe_here("train", ADAPTER, "--plan", tmp_path / "plan.json", workspace=folder)
    workspace = open_workspace(folder)
    found = releasing.assess(workspace, ADAPTER)
    atelier = open_atelier(workspace, ADAPTER)
    with workspace.database.reader() as session:
        ids = [record_id for record_id, _ in plans.control_ids(session, atelier.plan.digest)]
        controls = contents_of(session, ids, keystore=workspace.keystore)
        own = builds.shard_adapters(session, ADAPTER)
    losses = []
    for digest in own.values():
        panel = Panel(str(TINY_BASE), {}, {}, {}, composed_post=workspace.store.directory("adapters", digest))
        target = Target.open(panel, scheme=DecodingScheme())
        items = [tokenise(target.tokenizer, record.content, atelier.plan.max_length) for record in controls]
        losses.append(held_out_nll(target.read("composed_post", items)).nll)
    assert len(set(losses)) == 3
    assert found.control_records == len(controls) > 0
    assert found.adapter_nll == pytest.approx(sum(losses) / 3, abs=2e-4)


def test_containment_cuts_the_shards_own_directory_back(served, tmp_path) -> None:
    folder = copy_workspace(served[0], tmp_path / "ws")
    workspace = open_workspace(folder)
    _, before = in_service(workspace)
    case_id = approved_case(workspace, PLANTED)
    erasure.contain(workspace, case_id)
    with workspace.database.reader() as session:
        (affected,) = evidence(session, case_id, "before")["adapters"][ADAPTER]["affected"]
    _, after = in_service(workspace)
    hit = f"s{affected['shard']:02d}"
    assert after == standing(workspace, parts(workspace))
    assert {shard for shard in before if before[shard] != after[shard]} == {hit}
    with workspace.database.reader() as session:
        last = builds.ancestors(session, parts(workspace)[affected["shard"]])[-1]
    assert (last.shard, last.slice) == (affected["shard"], affected["first_slice"] - 1)


def test_without_a_trunk_a_shard_that_loses_everything_is_left_out(ingested, tmp_path, here) -> None:
    """Everybody of one shard is restricted, as containment does it: what is left is served, and nothing stands for them."""
    folder = apart(ingested.folder, tmp_path / "ws")
    plan = replace(Plan.from_json(ingested.plan.read_text()), trunk=False)
    (tmp_path / "plan.json").write_text(plan.to_json())
    lethe_here("train", ADAPTER, "--plan", tmp_path / "plan.json", workspace=folder)
    workspace = open_workspace(folder)
    _, before = in_service(workspace)
    with workspace.database.transaction() as session:
        gone = select(PlacementRow.record_id).where(PlacementRow.shard == 1)
        for row in session.exec(select(RecordRow).where(col(RecordRow.id).in_(gone))).all():
            row.restricted_by = "case-x"
    contained = releasing.compose(workspace, ADAPTER, partial=True)
    releasing.put_in_service(workspace, ADAPTER, digest=contained.composed_digest, reason="contained case-x")
    _, after = in_service(workspace)
    assert contained.shards == 2
    assert after == {shard: files for shard, files in before.items() if shard != "s01"}


@pytest.mark.slow
def test_a_case_goes_its_whole_road(served, tmp_path, here) -> None:
    """Erase, probe, purge, sign; then the certificate accepts the served folder, and each shard of it."""
    folder = copy_workspace(served[0], tmp_path / "ws")
    case_id = to_approved(folder, PLANTED)
    lethe_here("erase", "run", case_id, workspace=folder)
    workspace = open_workspace(folder)
    _, shards = in_service(workspace)
    assert shards == standing(workspace, parts(workspace))
    with workspace.database.reader() as session:
        probe = evidence(session, case_id, "probe")["adapters"][ADAPTER]
    assert not [name for name in probe["extraction"] if name.startswith("composed")]
    to_purge_approved(folder, case_id)
    lethe_here("erase", "purge", case_id, workspace=folder)
    sign(folder, case_id)
    (certificate,) = (folder / ".lethe").rglob("certificate.json")
    served = workspace.store.directory("adapters", in_service(workspace)[0])
    for adapter in (served, served / "s00", served / "s02"):
        lethe_here("verify", certificate, "--adapter", adapter, workspace=folder)
    damaged = tmp_path / "damaged"
    shutil.copytree(served, damaged)
    (damaged / "shards.json").write_text("{}")
    lethe_here("verify", certificate, "--adapter", damaged, workspace=folder, code=1)
