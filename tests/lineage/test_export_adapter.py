"""An exported adapter is the released one byte for byte, says what it is, and is known to every later erasure."""

from __future__ import annotations

import json
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import certificate_world
import pytest
import yaml
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from letter_world import filed, stand
from lineage_world import (
    ANN,
    BOB,
    DANA,
    FORMS,
    INES,
    MILO,
    NOW,
    PLAN,
    World,
    after,
    composed,
    digest,
    record_training,
    row,
)
from sqlmodel import select

from lineage import builds, inventory
from lineage.attested import adapter_difference
from lineage.authentic import open_envelope
from lineage.builds import ComposedFacts
from lineage.certificate import build_statement, sign, sign_first
from lineage.errors import Fault, NotAcceptable, RefusedByRule, WrongUsage
from lineage.exports_adapter import Exported, export_adapter
from lineage.exports_card import model_card
from lineage.exports_release import read_release
from lineage.plans import TRUNK
from lineage.stages import Stage
from lineage.tables import DerivedFileRow, LedgerRow, ReleaseRow

CONFIG = {"base_model_name_or_path": "acme/small-base", "revision": "abc", "r": 4}
WEIGHTS = b"\x08\x00\x00\x00weights"


@pytest.fixture
def trained(world: World) -> World:
    """Two shards on a trunk, released; the store's entry looks like PEFT's."""
    world.register(ANN, BOB)
    names = world.ingest(
        row("The shop opens at nine.", given_id="given-1"), row("A quiet zebra.", BOB, given_id="given-2"),
        row("My lamp is broken.", ANN, given_id="given-3"),
    )  # fmt: skip
    record_training(world, {(TRUNK, 0): [names[0]], (0, 0): [names[1]], (1, 0): [names[2]]})
    world.store.destroy("adapters", composed())
    files = {"adapter_config.json": json.dumps(CONFIG).encode(), "adapter_model.safetensors": WEIGHTS}
    world.store.publish("adapters", composed(), files)
    return world


def export(world: World, target: Path, *, actor=MILO, name: str = "", adapter: str = "support") -> Exported:
    return export_adapter(world.workspace, adapter, target, actor=actor, now=NOW, name=name)


def card(world: World) -> str:
    return model_card(read_release(world.workspace, "support"))


def front_matter(text: str) -> dict:
    _, matter, _ = text.split("---\n", 2)
    return yaml.safe_load(matter)


# --- the copy -------------------------------------------------------------------------------------------------------------


def test_the_copy_is_the_release_byte_for_byte_and_the_verifier_accepts_it_with_its_card(
    trained: World, tmp_path: Path
) -> None:
    done = export(trained, tmp_path / "out")
    files = trained.store.read("adapters", composed())
    assert {path.name for path in (tmp_path / "out").iterdir()} == {*files, "README.md"}
    subjects = [{"name": name, "digest": {"sha256": sha256(content).hexdigest()}} for name, content in files.items()]
    assert adapter_difference(subjects, tmp_path / "out") == ""
    assert (done.digest, done.files) == (composed(), 3)
    assert not list(tmp_path.glob(".*partial*"))


def test_every_later_erasure_lists_the_copy(trained: World, tmp_path: Path) -> None:
    done = export(trained, tmp_path / "out")
    with trained.database.reader() as session:
        (file,) = inventory.of(session, {"support"}).files
        assert inventory.of(session, {"sales"}).files == ()
    assert (file.name, file.kind, file.composed_digest) == (done.name, "export", composed())
    assert [row.kind for row in trained.rows(LedgerRow)] == ["inventory.put"]


def test_each_copy_has_a_name_of_its_own(trained: World, tmp_path: Path) -> None:
    names = [export(trained, tmp_path / str(number)).name for number in range(3)]
    assert names == [f"export-support-{composed()[:12]}{end}" for end in ("", "-2", "-3")]
    assert export(trained, tmp_path / "own", name="hub-copy").name == "hub-copy"
    with pytest.raises(WrongUsage, match="a name of its own"):
        export(trained, tmp_path / "again", name="hub-copy")
    assert not (tmp_path / "again").exists()


def test_shards_side_by_side_keep_their_folders(trained: World, tmp_path: Path) -> None:
    trained.store.destroy("adapters", composed())
    config = json.dumps(CONFIG).encode()
    trained.store.publish("adapters", composed(), {"s0/adapter_config.json": config, "shards.json": b"{}"})
    export(trained, tmp_path / "out")
    assert (tmp_path / "out" / "s0" / "adapter_config.json").read_bytes() == config
    assert "acme/small-base" in (tmp_path / "out" / "README.md").read_text(encoding="utf-8")


# --- the card -------------------------------------------------------------------------------------------------------------


def test_the_front_matter_is_yaml_that_a_hub_reads(trained: World) -> None:
    from huggingface_hub import ModelCard

    matter = front_matter(card(trained))
    assert matter == {
        "base_model": "acme/small-base", "base_model_relation": "adapter", "library_name": "peft", "language": ["en"],
        "pipeline_tag": "text-generation", "tags": ["lora", "lethe"],
    }  # fmt: skip
    assert ModelCard(card(trained)).data.base_model == "acme/small-base"


def test_a_base_that_no_hub_knows_is_named_in_the_text_only(trained: World) -> None:
    text = model_card(replace(read_release(trained.workspace, "support"), base_model="tiny"))
    assert "base_model" not in front_matter(text)
    assert "| base model | tiny abc |" in text


def test_the_card_says_what_the_adapter_is_made_of(trained: World) -> None:
    text = card(trained)
    for words in (
        composed(), PLAN, "acme/small-base abc", "3, of which 0 are synthetic", "tickets", "2 of 2", "None that is certified",
        sha256(WEIGHTS).hexdigest(), "Quillfeather Ltd",
    ):  # fmt: skip
        assert words in text, words


def certify(world: World, adapter: str, *, dpo: Ed25519PrivateKey = certificate_world.DPO) -> Path:
    """A case that is signed off, with a certificate that names the adapter; returns where it lies."""
    case_id = stand(world, filed(world, BOB), Stage.SIGNED_OFF)
    facts = replace(certificate_world.FACTS, certificate="cert-0815")
    statement = build_statement(facts, certificate_world.SUBJECT_FILES, forbidden=())
    statement = statement.replace(b'"support"', json.dumps(adapter).encode())
    path = world.workspace.case_directory(case_id) / "certificate.json"
    path.parent.mkdir(parents=True)
    path.write_bytes(sign(statement, certificate_world.PIPELINE, dpo))
    certificate_world.write_keys(world.home / "secrets")
    return path


@pytest.mark.parametrize(("adapter", "named"), [("support", True), ("sales", False)])
def test_the_card_names_the_certificates_that_affect_the_adapter(trained: World, adapter: str, named: bool) -> None:
    certify(trained, adapter)
    text = card(trained)
    assert ("| cert-0815 | " in text) == named
    assert (certificate_world.FACTS.adapters[0].new_digest in text) == named


def test_a_certificate_that_is_not_in_the_workspace_any_more_is_not_named(trained: World) -> None:
    certify(trained, "support").unlink()
    assert "None that is certified." in card(trained)


@pytest.mark.parametrize("spoilt", ["another key", "half of one", "a byte less", "no JSON"])
def test_a_card_names_no_certificate_that_does_not_verify(trained: World, spoilt: str) -> None:
    """Whoever can write into the folder of a case must not be able to have an erasure told that nobody signed."""
    stranger = certificate_world.STRANGER if spoilt == "another key" else certificate_world.DPO
    path = certify(trained, "support", dpo=stranger)
    whole = path.read_bytes()
    half = sign_first(open_envelope(whole)[0], certificate_world.PIPELINE)
    path.write_bytes({"another key": whole, "half of one": half, "a byte less": whole[:-1], "no JSON": b"{"}[spoilt])
    with pytest.raises(NotAcceptable):
        card(trained)


def test_a_contained_release_says_that_it_is_one(trained: World) -> None:
    contained = ComposedFacts(composed("contained"), "support", PLAN, "contained", {0: None, 1: None})
    with trained.database.transaction() as session:
        builds.save_composed(session, contained, after(hours=1))
        builds.release(
            session, adapter="support", composed_digest=contained.digest, reason="contained", now=after(hours=1)
        )
    trained.store.publish("adapters", contained.digest, {"adapter_config.json": b"{}"})
    assert "contained: records under erasure were cut out" in card(trained)
    assert "0 of 2" in card(trained)


def test_nobody_is_in_the_card_and_nothing_breaks_out_of_its_tables(trained: World) -> None:
    text = card(trained)
    people = [v for who in (ANN, BOB) for v in (who, trained.key(who), *FORMS[who].values())]
    for value in (*people, "given-1", "zebra", "lamp"):
        assert value not in text, value
    hostile = replace(read_release(trained.workspace, "support"), controller="A | B\n<script>`x`")
    assert "A \\| B \\<script\\>\\`x\\`" in model_card(hostile)


def test_equal_workspaces_give_equal_cards(trained: World) -> None:
    assert card(trained) == card(trained)


# --- what is refused ------------------------------------------------------------------------------------------------------


def nothing_left(world: World, tmp_path: Path) -> bool:
    return world.rows(DerivedFileRow) == [] and not [p for p in tmp_path.iterdir() if "out" in p.name]


def test_only_who_keeps_the_inventory_exports(trained: World, tmp_path: Path) -> None:
    with pytest.raises(RefusedByRule, match="may export an adapter"):
        export(trained, tmp_path / "out", actor=INES)
    assert nothing_left(trained, tmp_path)
    export(trained, tmp_path / "out", actor=DANA)


def test_an_unknown_adapter_or_one_without_a_release_is_one_sentence(world: World, tmp_path: Path) -> None:
    with pytest.raises(WrongUsage, match="no adapter called 'sales'"):
        export(world, tmp_path / "out", adapter="sales")
    with pytest.raises(WrongUsage, match="no release in service"):
        export(world, tmp_path / "out")
    assert nothing_left(world, tmp_path)


def test_a_release_that_was_withdrawn_is_not_in_service(trained: World, tmp_path: Path) -> None:
    with trained.database.transaction() as session:
        for release in session.exec(select(ReleaseRow)).all():
            release.withdrawn_at = NOW
    with pytest.raises(WrongUsage, match="no release in service"):
        export(trained, tmp_path / "out")


def test_nothing_is_overwritten_and_nothing_lies_in_the_workspace(trained: World, tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    with pytest.raises(WrongUsage, match="never overwrites"):
        export(trained, tmp_path / "there")
    with pytest.raises(WrongUsage, match="outside the workspace"):
        export(trained, trained.workspace.settings.workspace / "out")
    (tmp_path / "link").symlink_to(trained.workspace.settings.workspace)
    with pytest.raises(WrongUsage, match="outside the workspace"):
        export(trained, tmp_path / "link" / "out")
    assert trained.rows(DerivedFileRow) == []


def test_a_damaged_entry_and_a_bad_name_leave_nothing(trained: World, tmp_path: Path) -> None:
    with pytest.raises(WrongUsage, match="A name has small letters"):
        export(trained, tmp_path / "out", name="Not A Name")
    path = trained.store.directory("adapters", composed()) / "adapter_model.safetensors"
    path.write_bytes(b"other")
    with pytest.raises(NotAcceptable, match="damaged"):
        export(trained, tmp_path / "out")
    assert nothing_left(trained, tmp_path)


def test_a_disk_that_refuses_leaves_no_folder_and_no_entry(
    trained: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, content: bytes) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("lineage.exports_adapter.write_synced", full)
    with pytest.raises(Fault, match="could not be written"):
        export(trained, tmp_path / "out")
    assert nothing_left(trained, tmp_path)


def test_a_crash_before_the_copy_has_its_name_leaves_it_named_in_the_inventory(
    trained: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other way round a finished copy could be unknown to an erasure."""

    def killed(self: Path, target: Path) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "rename", killed)
    with pytest.raises(KeyboardInterrupt):
        export(trained, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    assert len(trained.rows(DerivedFileRow)) == 1


def test_a_release_that_was_switched_meanwhile_is_not_exported(
    trained: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    facts = replace(read_release(trained.workspace, "support"), digest=digest("older"))
    monkeypatch.setattr("lineage.exports_adapter.read_release", lambda *_: facts)
    with pytest.raises(RefusedByRule, match="switched meanwhile"):
        export(trained, tmp_path / "out")
    assert nothing_left(trained, tmp_path)
