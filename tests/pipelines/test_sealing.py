"""The judge opens what was trained and nothing else: another base, tokenizer or adapter is refused before scoring."""

from __future__ import annotations

import hashlib
import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from command_line import lethe_here, one_sentence
from small_world import ADAPTER, PLANTED, copy_workspace, store_path

from lineage import builds
from lineage.errors import NotAcceptable
from lineage.workspace import Workspace, open_workspace
from pipelines.sealing import seal_of
from pipelines.states import open_atelier
from probes import seals
from unlearn.base import base_digests, base_spec
from unlearn.compose import files_digest
from unlearn.tiny_base import TINY_BASE


def shards_of(workspace: Workspace) -> dict[int, str]:
    with workspace.database.reader() as session:
        return builds.shard_adapters(session, ADAPTER)


def other_base(folder: Path, name: str) -> Path:
    """The embedded base with a byte more in one file, at a place of its own."""
    base = shutil.copytree(TINY_BASE, folder / "base", ignore=shutil.ignore_patterns("*.py", "__pycache__"))
    (base / name).write_bytes((base / name).read_bytes() + b"\n")
    return base


def test_judge_and_trainer_spell_digests_alike(trained) -> None:
    """The two rooms share no code; this holds their digests together (docs/adr/0001)."""
    workspace = open_workspace(trained.folder)
    plan = open_atelier(workspace, ADAPTER).plan
    assert seals.base_digests(TINY_BASE) == base_digests(base_spec(plan, "tiny"))
    with workspace.database.reader() as session:
        composed = builds.current_release(session, ADAPTER)
    for digest in (composed, *shards_of(workspace).values()):
        folder = workspace.store.directory("adapters", digest)
        files = {path.name: path.read_bytes() for path in folder.iterdir()}
        assert seals.directory_digest(folder) == files_digest(files) == digest


def test_the_seal_of_a_training_is_its_base(trained) -> None:
    workspace = open_workspace(trained.folder)
    found = seal_of(open_atelier(workspace, ADAPTER), shards_of(workspace).values())
    assert (found.base, found.tokenizer) == seals.base_digests(TINY_BASE)


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "chat_template.jinja"])
def test_no_recipe_comes_out_on_another_base(trained, tmp_path: Path, name: str) -> None:
    workspace = open_workspace(trained.folder)
    atelier = open_atelier(workspace, ADAPTER)
    settings = atelier.settings.model_copy(update={"base_model": str(other_base(tmp_path, name))})
    with pytest.raises(NotAcceptable, match="not the one that the adapters were trained on"):
        seal_of(replace(atelier, settings=settings), shards_of(workspace).values())


def test_the_trunk_alone_is_checked_from_its_beginning(trained, tmp_path: Path, monkeypatch) -> None:
    """A chain whose first state is all there is: its parent is drawn from the base anew."""
    workspace = open_workspace(trained.folder)
    atelier = open_atelier(workspace, ADAPTER)
    with workspace.database.reader() as session:
        recipe = builds.recipes_of_shard_adapters(session, shards_of(workspace).values()).popitem()[1]
        trunk = builds.ancestors(session, recipe)[0]
    monkeypatch.setattr(builds, "ancestors", lambda *_: [trunk])
    assert seal_of(atelier, shards_of(workspace).values())
    settings = atelier.settings.model_copy(update={"base_model": str(other_base(tmp_path, "tokenizer.json"))})
    with pytest.raises(NotAcceptable):
        seal_of(replace(atelier, settings=settings), shards_of(workspace).values())


def test_a_swapped_tokenizer_ends_a_probe_in_one_sentence(trained, tmp_path: Path) -> None:
    folder = copy_workspace(trained.folder, tmp_path / "ws")
    settings = folder / "lethe.toml"
    text = settings.read_text()
    assert text.count('base_model = "tiny"') == 1
    settings.write_text(text.replace('base_model = "tiny"', f'base_model = "{other_base(tmp_path, "tokenizer.json")}"'))
    said = lethe_here("probe", ADAPTER, workspace=folder, given=f"{PLANTED.account}\n", code=None)
    one_sentence(said, 1, "not the one that the adapters were trained on")


def test_an_old_adapter_that_the_store_gives_under_a_new_address_is_refused(trained, tmp_path: Path) -> None:
    """Manifest and files of one shard's entry replaced by another's: the store is content, the judge is not."""
    folder = copy_workspace(trained.folder, tmp_path / "ws")
    new, old = (
        store_path(folder, "adapters", digest) for digest in list(shards_of(open_workspace(folder)).values())[:2]
    )
    for path in old.iterdir():
        shutil.copy(path, new / path.name)
    manifest = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in new.iterdir()}
    new.with_name(f"{new.name}.json").write_text(json.dumps(manifest))
    assert open_workspace(folder).store.directory("adapters", new.name) == new
    said = lethe_here("probe", ADAPTER, workspace=folder, given=f"{PLANTED.account}\n", code=None)
    one_sentence(said, 1, "does not have the bytes of its address")
