"""A hundred requests over ten adapters in one window: each affected shard is built once, for all of them."""

from __future__ import annotations

import random
import shutil
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from quick_world import PLANS
from road import approved_case
from stream_books import POOL, register, row_about, row_about_nobody, take_in, write_rows

from lineage import builds
from lineage.case import CaseFile
from lineage.evidence import evidence
from lineage.stages import Stage
from lineage.workspace import Workspace, open_workspace
from pipelines import erasure, placing, releasing, training
from unlearn.plan import Plan

SIZES = [pytest.param(6, 2, id="six over two"), pytest.param(100, 10, id="a hundred over ten")]
PLAN = PLANS[1]
pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("one_scanner")]


def plan_of(adapter: str) -> Plan:
    """Of the same size for every adapter, with places of its own."""
    return replace(PLAN, adapter=adapter, nonce=adapter.encode().hex())


def trained(template: Path, requests: int, adapters: list[str]) -> Workspace:
    """Adapters of three shards over one corpus, trained and in service; a row each of those who ask and of twenty others."""
    folder = Path(shutil.copytree(template, template.parent / f"window-{requests}"))
    settings = folder / "lethe.toml"
    text = settings.read_text()
    one = text[text.index("[adapters.support]") :]
    settings.write_text(text.replace(one, "".join(one.replace("support", name) + "\n" for name in adapters)))
    workspace, rng, people = open_workspace(folder), random.Random(100), POOL[: requests + 20]
    register(workspace, people)
    rows = [*(row_about(person, rng) for person in people), *(row_about_nobody(rng) for _ in range(5))]
    take_in(workspace, write_rows(workspace, rows))
    for adapter in adapters:
        placing.freeze_and_place(workspace, adapter, plan_of(adapter))
        training.build_trunk(workspace, adapter)
        for shard in range(PLAN.shards):
            training.build_shard(workspace, adapter, shard)
        releasing.compose(workspace, adapter)
        releasing.put_in_service(workspace, adapter)
    return workspace


@pytest.mark.parametrize(("requests", "adapters"), SIZES)
def test_each_affected_shard_is_built_once(template, monkeypatch, requests: int, adapters: int) -> None:
    names = [f"desk{number}" for number in range(adapters)]
    workspace = trained(template, requests, names)
    cases = [approved_case(workspace, person) for person in POOL[:requests]]
    with workspace.database.reader() as session:
        forecasts = [evidence(session, case_id, "forecast")["adapters"] for case_id in cases]
    affected = {
        (name, part["shard"]) for told in forecasts for name, found in told.items() for part in found["affected"]
    }
    assert {name for name, _ in affected} == set(names)
    built, composed = Counter[tuple[str, int]](), Counter[str]()
    build, compose = training.build_shard, releasing.compose

    def counting_build(opened: Workspace, adapter: str, shard: int) -> training.BuildReport:
        built[adapter, shard] += 1
        return build(opened, adapter, shard)

    def counting_compose(opened: Workspace, adapter: str, **how: bool) -> releasing.ComposeReport:
        composed[adapter] += 1
        return compose(opened, adapter, **how)

    monkeypatch.setattr(training, "build_shard", counting_build)
    monkeypatch.setattr(releasing, "compose", counting_compose)
    erasure.contain(workspace, *cases)
    bodies = erasure.rebuild(workspace, *cases)
    assert built == dict.fromkeys(affected, 1)
    assert composed == dict.fromkeys(names, 2), "once for the containment, once for what was rebuilt"
    assert len(bodies) == requests
    with workspace.database.reader() as session:
        assert {CaseFile(session, case_id).view.stage for case_id in cases} == {Stage.EXECUTING}
        for adapter in names:
            parts = builds.parts_of(session, builds.current_release(session, adapter) or "").values()
            assert all(body["adapters"][adapter]["clean"]["ancestors"] for body in bodies.values())
            assert len(parts) == PLAN.shards
