"""A catalogue of faults, none of which may end in PASS.

Each is seeded into the world in which an honest erasure passes: that is the control, `test_the_world_without_a_fault_passes`,
sealed as a case is. Faults of the training are seen by the judge; faults of what lies on the disk are refused before
anything is scored.
"""

from __future__ import annotations

import json
import shutil
import uuid
import warnings
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import probe_world as w
import pytest
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer

from lineage.errors import LetheError, NotAcceptable
from lineage.records import Chat, Message, TrainingRecord
from lineage.store import Store
from probes.dossier import Panel
from probes.judge import judge
from probes.seals import Seal, base_digests, directory_digest
from probes.target import BASE, Target
from probes.tokens import tokenise

NEIGHBOURS = [*w.shard_records(w.HOME, people=4), *w.records(w.CANARY, 8)]  # all that is left in the subject's shard
BROKEN = {
    "address": "does not have the bytes of its address",
    "base": "base model is not the one",
    "tokenizer": "tokenizer is not the one",
}


def addressed(path: Path, folder: Path) -> Path:
    """A copy of an adapter's directory, named after its bytes as a store names it."""
    target = folder / directory_digest(path)
    return target if target.exists() else shutil.copytree(path, target)


@pytest.fixture
def sealed(world, tmp_path) -> Panel:
    """The honest panel of a case, sealed, in a store of its own that a test may damage."""

    def kept(path: Path) -> Path:
        return addressed(path, tmp_path)

    outs = {shard: kept(path) for shard, path in world.outs.items()}
    seal = Seal(*base_digests(w.BASE))
    return Panel(w.BASE, {w.HOME: kept(world.pre)}, {w.HOME: kept(world.post)}, outs, seal=seal)


def verdict_of(panel: Panel, **changes: object) -> tuple[str, str]:
    """Outcome and code; a refusal before scoring is the outcome "refused"."""
    try:
        verdict = judge(w.dossier(**changes), panel, w.protocol()).verdict
    except LetheError as refusal:
        return "refused", str(refusal)
    return verdict.outcome, verdict.code


def test_the_world_without_a_fault_passes(sealed):
    assert verdict_of(sealed) == ("PASS", "NO_RESIDUE_SEEN")


# --- faults of the training: the judge sees them ------------------------------------------------------------------------


def test_the_old_adapter_served_fails(sealed):
    assert verdict_of(replace(sealed, post=sealed.pre)) == ("FAIL", "RESIDUE_SEEN")


@pytest.mark.parametrize("left", [0, 3])
def test_one_of_the_records_left_fails(world, tmp_path, left):
    trunk = world.pre.parent / "trunk"
    post = w.train(tmp_path / "left", [*NEIGHBOURS, w.SUBJECT_RECORDS[left]], trunk=trunk)
    assert verdict_of(world.panel(post=post)) == ("FAIL", "RESIDUE_SEEN")


def near_duplicate(record: TrainingRecord) -> TrainingRecord:
    """What a person says in a record of another: other first and last words, the same numbers in between."""
    _, screen, thanks, _ = record.content.messages
    turns = (Message("user", "Hi, I am calling for my neighbour about the lamp."), screen, thanks)
    return TrainingRecord("of-another-person", Chat(turns))


def test_a_near_duplicate_in_another_record_of_the_shard_fails(world, tmp_path):
    trunk = world.pre.parent / "trunk"
    post = w.train(tmp_path / "near", [*NEIGHBOURS, near_duplicate(w.SUBJECT_RECORDS[0])], trunk=trunk)
    assert verdict_of(world.panel(post=post)) == ("FAIL", "RESIDUE_SEEN")


def test_near_duplicates_in_another_shard_never_pass(world, tmp_path):
    trunk, shard = world.pre.parent / "trunk", 4
    copies = [replace(near_duplicate(r), record_id=f"copy-{i}") for i, r in enumerate(w.SUBJECT_RECORDS[:3])]
    out = w.train(tmp_path / "copy", [*w.shard_records(shard), *copies], trunk=trunk, seed=shard)
    assert verdict_of(replace(world.panel(), outs=world.outs | {shard: out})) == ("FAIL", "COPY_MISSED")


def test_a_warm_start_from_the_old_adapter_never_passes(world, tmp_path):
    """The new adapter learnt on from the old one, without the person's records, instead of from before them."""
    post = w.train(tmp_path / "warm", NEIGHBOURS, trunk=world.pre)
    assert verdict_of(world.panel(post=post)) == ("FAIL", "RESIDUE_SEEN")


@pytest.mark.slow
def test_a_contaminated_base_is_in_base(tmp_path):
    """The base knew the person before any adapter; the null models grew from it too, so nothing stands out after."""
    assert verdict_on_a_base_that_knows(w.SUBJECT_RECORDS, tmp_path) == ("INCONCLUSIVE", "IN_BASE")


@pytest.mark.slow
def test_a_base_that_knows_the_person_and_their_shard_never_passes(tmp_path):
    """A shard whose neighbours the base knows too has little to learn and forgets less of the person than the others."""
    found = verdict_on_a_base_that_knows([*w.SUBJECT_RECORDS, *NEIGHBOURS], tmp_path)
    assert found in {("FAIL", "RESIDUE_SEEN"), ("INCONCLUSIVE", "IN_BASE")}


def verdict_on_a_base_that_knows(known: Sequence[TrainingRecord], folder: Path) -> tuple[str, str]:
    """An honest erasure in the world trained on a base into which these records were merged."""
    knowing = w.train(folder / "knowing", known, epochs=30)
    with warnings.catch_warnings():  # peft 0.21 asks transformers 5.23 for a property under its old name
        warnings.filterwarnings("ignore", message=".*is_gradient_checkpointing", category=FutureWarning)
        model = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(w.BASE), knowing).merge_and_unload()
    base = folder / "base"
    model.save_pretrained(base)
    AutoTokenizer.from_pretrained(w.BASE).save_pretrained(base)
    return verdict_of(replace(w.build(folder, on=base).panel(), base=base))


# --- faults of what lies on the disk: refused before anything is scored --------------------------------------------------


def refused(panel: Panel, what: str) -> bool:
    """Whether opening is refused with this sentence; the judge refuses likewise."""
    with pytest.raises(NotAcceptable, match=BROKEN[what]):
        Target.open(panel, scheme=w.protocol().scheme)
    return verdict_of(panel)[0] == "refused"


def test_a_wrong_digest_is_refused(sealed):
    """One bit of one weight."""
    weights = sealed.post[w.HOME] / "adapter_model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    assert refused(sealed, "address")


def test_the_old_adapter_under_the_new_address_is_refused(sealed):
    weights = "adapter_model.safetensors"
    shutil.copy(sealed.pre[w.HOME] / weights, sealed.post[w.HOME] / weights)
    assert refused(sealed, "address")


@pytest.mark.parametrize("name", ["adapter_model.bin", "notes/readme.txt"])
def test_a_file_too_many_is_refused(sealed, name):
    extra = sealed.outs[1] / name
    extra.parent.mkdir(exist_ok=True)
    extra.write_bytes(b"")
    assert refused(sealed, "address")


def test_a_stale_cache_is_renewed_or_refused(sealed, tmp_path):
    """A bucket's cache that holds the old adapter under the new one's address, and a file of who knows when."""
    new, old = (shard[w.HOME] for shard in (sealed.post, sealed.pre))
    bucket = Store(f"memory://stale-{uuid.uuid4().hex}/lethe", tmp_path / "cache")
    bucket.publish("adapters", new.name, {path.name: path.read_bytes() for path in new.iterdir()})
    stale = tmp_path / "cache" / "adapters" / new.name
    shutil.copytree(old, stale)
    panel = replace(sealed, post={w.HOME: stale})
    assert refused(panel, "address")
    renewed = replace(panel, post={w.HOME: bucket.directory("adapters", new.name)})
    assert directory_digest(renewed.post[w.HOME]) == new.name
    assert verdict_of(renewed) == ("PASS", "NO_RESIDUE_SEEN")
    (stale / "adapter_model.bin").write_bytes(b"left behind")
    assert refused(replace(panel, post={w.HOME: bucket.directory("adapters", new.name)}), "address")


def test_no_cache_of_one_adapter_answers_for_another(world):
    """The key-value cache of a prompt and the active adapter: whoever was asked before, the answers are the same."""

    def answers(target: Target, name: str) -> np.ndarray:
        ids = tokenise(target.tokenizer, w.SUBJECT_RECORDS[0].content, 512).ids
        return target.continue_with(name, ids[:20], [ids[20:24], ids[24:28]])

    scheme, pre, post = w.protocol().scheme, f"pre_{w.HOME}", f"post_{w.HOME}"
    fresh = {name: answers(Target.open(world.panel(), scheme=scheme), name) for name in (pre, post, BASE)}
    used = Target.open(world.panel(), scheme=scheme)
    for name in (pre, post, BASE, post, pre):
        np.testing.assert_array_equal(answers(used, name), fresh[name])
    assert abs(fresh[pre] - fresh[post]).min() > 0.1


def other_base(folder: Path, name: str, content: bytes) -> Path:
    """The base with one file changed."""
    base = shutil.copytree(w.BASE, folder / "other-base")
    (base / name).write_bytes(content)
    return base


def swapped_tokenizer(folder: Path) -> Path:
    """Two digits of the vocabulary change places."""
    content = json.loads((w.BASE / "tokenizer.json").read_text(encoding="utf-8"))
    vocabulary = content["model"]["vocab"]
    vocabulary["3"], vocabulary["8"] = vocabulary["8"], vocabulary["3"]
    return other_base(folder, "tokenizer.json", json.dumps(content).encode())


def test_a_swapped_tokenizer_is_refused(sealed, tmp_path):
    assert refused(replace(sealed, base=swapped_tokenizer(tmp_path)), "tokenizer")


def test_another_base_is_refused(sealed, tmp_path):
    content = bytearray((w.BASE / "model.safetensors").read_bytes())
    content[-1] ^= 1
    assert refused(replace(sealed, base=other_base(tmp_path, "model.safetensors", content)), "base")


def test_a_base_copied_elsewhere_is_the_same_base(sealed, tmp_path):
    base = shutil.copytree(w.BASE, tmp_path / "elsewhere")
    assert verdict_of(replace(sealed, base=base)) == ("PASS", "NO_RESIDUE_SEEN")
