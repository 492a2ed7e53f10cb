"""Threads and instruction sets: pinned by the plan, part of the fingerprint, refused when the process has others."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from unlearn_world import plan

from lineage.errors import WrongUsage
from unlearn import determinism
from unlearn.determinism import INSTRUCTION_SETTINGS, environment_fingerprint, pin_environment
from unlearn.instructions import INSTRUCTION_SETS
from unlearn.plan import Plan, TrainSettings

OFFERED = "avx2" if "AVX" in torch.backends.cpu.get_cpu_capability() else "default"
TRAINED = """
import json, sys
sys.path.insert(0, sys.argv[1])
from unlearn.instructions import ask_for
ask_for(sys.argv[4])
from unlearn_world import SECRET, people, plan
from unlearn.base import BaseSpec, load_base
from unlearn.determinism import environment_fingerprint
from unlearn.plan import plan_key
from unlearn.train import initial_state, origin_of, train_slice
chosen = plan(threads=int(sys.argv[3]), isa=sys.argv[4])
key, base = plan_key(SECRET, plan()), load_base(BaseSpec(sys.argv[2]))
parent = initial_state(base, chosen, key, shard=0)
state = train_slice(base, chosen, key, shard=0, slice=0, records=[row.record for row in people()], parent=parent)
print(json.dumps([origin_of(base, chosen).fingerprint_digest, state.digest]))
"""


@pytest.fixture(scope="module")
def built(small_folder) -> dict[tuple[int, str], list[tuple[str, str]]]:
    """(fingerprint, state) of the same slice from fresh processes, by (threads, instruction set); the plain one twice."""
    wanted = [(1, ""), (1, ""), (2, ""), (1, OFFERED)]
    given = [sys.executable, "-c", TRAINED, str(Path(__file__).parent), str(small_folder)]
    running = [
        subprocess.Popen([*given, str(threads), isa], stdout=subprocess.PIPE, text=True) for threads, isa in wanted
    ]
    found: dict[tuple[int, str], list[tuple[str, str]]] = {}
    for how, process in zip(wanted, running, strict=True):
        out, _ = process.communicate(timeout=300)
        found.setdefault(how, []).append(tuple(json.loads(out)))
    return found


@pytest.mark.slow
def test_the_same_environment_gives_the_same_bytes(built) -> None:
    first, second = built[1, ""]
    assert first == second


@pytest.mark.slow
@pytest.mark.parametrize("how", [(2, ""), (1, OFFERED)], ids=["two threads", "another instruction set"])
def test_another_environment_gives_equal_bytes_or_is_told_apart(built, how) -> None:
    (plain, state), ((other, moved),) = built[1, ""][0], built[how]
    assert state == moved or plain != other
    assert plain != other, "whatever this machine does with it, the next one may round otherwise"


# --- the fingerprint ------------------------------------------------------------------------------------------------------


def test_the_fingerprint_holds_every_fact_that_may_change_a_byte() -> None:
    facts = environment_fingerprint(plan()).facts
    versions = {"torch", "transformers", "peft", "tokenizers", "safetensors", "torch_build", "libc"}
    processor = {"machine", "cpu_capability", "cpu_model", "mkl", "onednn"}
    settings = {name.lower() for name in INSTRUCTION_SETTINGS}
    chosen = {"device", "threads", "dtype", "attention", "deterministic", "matmul_precision"}
    assert versions | processor | settings | chosen <= set(facts)
    assert {name for name in facts if not facts[name]} <= settings, "an unknown fact is no fact"
    for variables in INSTRUCTION_SETS.values():
        assert set(variables) <= set(INSTRUCTION_SETTINGS)


@pytest.mark.parametrize("change", [{"threads": 2}, {"dtype": "bfloat16"}, {"attention": "eager"}])
def test_what_the_plan_chooses_moves_the_fingerprint(change) -> None:
    assert environment_fingerprint(plan(**change)).digest != environment_fingerprint(plan()).digest


@pytest.mark.parametrize("name", INSTRUCTION_SETTINGS)
def test_every_setting_of_the_libraries_moves_the_fingerprint(name, monkeypatch) -> None:
    before = environment_fingerprint(plan()).digest
    monkeypatch.setenv(name, "something else")
    assert environment_fingerprint(plan()).digest != before


@pytest.mark.parametrize("fact", ["_processor", "_build"])
def test_another_processor_or_build_moves_the_fingerprint(fact, monkeypatch) -> None:
    before = environment_fingerprint(plan())
    own = dict(getattr(determinism, fact)())
    for name in own:
        monkeypatch.setattr(determinism, fact, lambda own=own, name=name: own | {name: "another"})
        assert environment_fingerprint(plan()).digest != before.digest


# --- the pin --------------------------------------------------------------------------------------------------------------


def test_a_process_that_runs_already_cannot_change_its_instructions(monkeypatch) -> None:
    for name in INSTRUCTION_SETS["avx2"]:
        monkeypatch.delenv(name, raising=False)
    pin_environment(plan())
    with pytest.raises(WrongUsage, match="avx2") as refusal:
        pin_environment(plan(isa="avx2"))
    assert "ATEN_CPU_CAPABILITY=avx2" in refusal.value.hint


def test_an_instruction_set_asked_for_by_another_plan_is_refused(monkeypatch) -> None:
    for name, value in INSTRUCTION_SETS["default"].items():
        monkeypatch.setenv(name, value)
    with pytest.raises(WrongUsage, match="what the processor offers"):
        pin_environment(plan())
    if torch.backends.cpu.get_cpu_capability().lower() != "default":
        with pytest.raises(WrongUsage):  # the variables came too late: torch had looked already
            pin_environment(plan(isa="default"))


def test_a_plan_without_the_field_reads_as_before() -> None:
    """Plans frozen before the field existed keep their digest, and with it their key and every placement."""
    old = plan()
    assert "isa" not in json.loads(old.to_json())
    assert Plan.from_json(old.to_json()) == old
    pinned = replace(old, isa="avx2")
    assert Plan.from_json(pinned.to_json()) == pinned
    assert pinned.digest != old.digest
    with pytest.raises(WrongUsage, match="isa"):
        TrainSettings.from_mapping({"isa": 2})
    with pytest.raises(WrongUsage, match="avx512"):
        plan(isa="sse9")
