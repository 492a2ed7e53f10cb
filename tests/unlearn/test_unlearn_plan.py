from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from unlearn_world import SECRET, plan

from lineage.errors import WrongUsage
from unlearn.batches import schedule
from unlearn.plan import CorpusShape, Placement, Plan, TrainSettings, order_of, place, plan_key, propose_plan, step_of

SUBJECTS = st.one_of(st.none(), st.text(min_size=1, max_size=8))
RECORDS = st.lists(st.tuples(st.text(min_size=1, max_size=8), SUBJECTS), unique_by=lambda r: r[0], max_size=30)
WIDE = plan(shards=4, slices=3, controls=0.2, epochs=3, steps_per_epoch=4)
KEY = plan_key(SECRET, WIDE)


def where(record_id: str, subject: str | None, **changes: object) -> Placement:
    fields = {"generation": 0, "trunk_eligible": False} | changes
    return place(WIDE, KEY, record_id=record_id, primary_subject=subject, **fields)


@given(records=RECORDS, data=st.data())
def test_removal_moves_no_neighbour(records, data) -> None:
    gone = data.draw(st.sets(st.sampled_from(records))) if records else set()
    kept = [record for record in records if record not in gone]
    steps = {
        name: [
            [record_id for record_id in batch if record_id in {r for r, _ in kept}]
            for batch in schedule(WIDE, KEY, [record_id for record_id, _ in corpus])
        ]
        for name, corpus in (("before", records), ("after", kept))
    }
    assert steps["before"] == steps["after"]


@given(records=RECORDS)
def test_every_record_meets_every_epoch_once(records) -> None:
    ids = [record_id for record_id, _ in records]
    batches = schedule(WIDE, KEY, ids)
    assert len(batches) == WIDE.steps(0) == 12
    for epoch in range(WIDE.epochs):
        assert sorted(r for batch in batches[epoch * 4 : epoch * 4 + 4] for r in batch) == sorted(ids)


@given(subject=st.text(min_size=1), ids=st.lists(st.text(), min_size=2, unique=True), generation=st.integers(0, 3))
def test_a_subject_stays_together(subject, ids, generation) -> None:
    places = {where(record_id, subject, generation=generation) for record_id in ids}
    assert len(places) == 1
    (one,) = places
    shards = {where("x", subject, generation=g).shard for g in range(5)}
    assert shards == {one.shard}
    if one.kind == "shard":
        assert generation * WIDE.slices <= one.slice < (generation + 1) * WIDE.slices


def test_the_trunk_takes_only_the_first_generation_and_nobody() -> None:
    assert where("a", None, trunk_eligible=True) == Placement("trunk", None, 0)
    assert where("a", None, trunk_eligible=True, generation=1).kind == "shard"
    assert where("a", "someone", trunk_eligible=True).kind != "trunk"
    assert where("a", None, trunk_eligible=False).kind == "shard"


def test_placement_is_about_uniform() -> None:
    places = [where("r", f"subject {n}") for n in range(4000)]
    controls = sum(p.kind == "control" for p in places)
    assert 0.17 < controls / 4000 < 0.23
    cells = [sum((p.shard, p.slice) == (s, r) for p in places) for s in range(4) for r in range(3)]
    assert min(cells) > 0.75 * 3200 / 12


def test_golden_draws() -> None:
    """Computed once; the same on every machine and for ever under training path 2."""
    assert WIDE.digest == GOLDEN["digest"]
    assert KEY.hex() == GOLDEN["key"]
    assert WIDE.prefix_digest(2, 1) == GOLDEN["prefix"]
    places = [where(f"r{n}", f"s{n}" if n % 3 else None, generation=n % 2) for n in range(8)]
    assert [[p.kind[0], p.shard, p.slice] for p in places] == GOLDEN["places"]
    assert [step_of(WIDE, KEY, record_id=f"r{n}", epoch=n % 3) for n in range(8)] == GOLDEN["steps"]
    assert order_of(KEY, record_id="r0", epoch=1) == GOLDEN["order"]
    assert [WIDE.learning_rate(0, step).hex() for step in (0, 2, 3, 7, 11)] == GOLDEN["rates"]


GOLDEN: dict = {
    "digest": "92923eccbf1d88f943ca280b111229620b92373cd29a959683911a96a3d2d888",
    "key": "2976a6df3469850a18840f35aed6c9bd0ba2989494cbf961d06002cc89af7ad3",
    "prefix": "ffaa4287b233425c7b3c8e9e79152e44de2a50e5cf100ff849811eca7789c4c9",
    "places": [
        ["s", 0, 0],
        ["s", 1, 5],
        ["s", 1, 1],
        ["s", 1, 5],
        ["s", 1, 0],
        ["s", 3, 5],
        ["s", 0, 2],
        ["c", None, None],
    ],
    "steps": [2, 1, 0, 2, 2, 0, 0, 1],
    "order": 2670100813984797733,
    "rates": [
        "0x1.5d867c3ece2a5p-10",
        "0x1.0624dd2f1a9fcp-8",
        "0x1.0624dd2f1a9fcp-8",
        "0x1.205bc01a36e2fp-9",
        "0x1.a36e2eb1c432bp-12",
    ],
}


def test_plan_travels_as_json() -> None:
    assert Plan.from_json(WIDE.to_json()) == WIDE
    assert Plan.from_json(WIDE.to_json()).digest == WIDE.digest
    assert replace(WIDE, nonce="01").digest != WIDE.digest
    with pytest.raises(WrongUsage, match="surprise"):
        Plan.from_json(json.dumps(json.loads(WIDE.to_json()) | {"surprise": 1}))
    with pytest.raises(WrongUsage, match="lacks"):
        Plan.from_json("{}")
    with pytest.raises(WrongUsage, match="not JSON"):
        Plan.from_json("{")


@pytest.mark.parametrize(
    ("values", "word"),
    [
        ({"shard": 3}, "shard"), ({"shards": "8"}, "shards"), ({"shards": True}, "shards"), ({"lr_peak": "x"}, "lr_peak"),
        ({"target_modules": [1]}, "target_modules"), ({"trunk": True}, "trunk"),
    ],
)  # fmt: skip
def test_settings_refuse(values, word) -> None:
    with pytest.raises(WrongUsage, match=word):
        TrainSettings.from_mapping(values)


@pytest.mark.parametrize(
    "change", [{"shards": 0}, {"controls": 1.0}, {"lr_peak": 0.0}, {"optimizer": "sgd"}, {"trunk": "no"}]
)
def test_proposal_refuses(change) -> None:
    with pytest.raises(WrongUsage):
        propose_plan(replace(TrainSettings(), **change), CorpusShape(400, 90_000, 80, 150), nonce="00")


@given(
    records=st.integers(0, 10**6),
    characters=st.integers(0, 10**8),
    shards=st.integers(1, 16),
    batch=st.integers(1, 256),
)
def test_proposals_are_powers_of_two(records, characters, shards, batch) -> None:
    settings = TrainSettings.from_mapping({"shards": shards, "batch": batch, "lr_peak": 1})
    made = propose_plan(settings, CorpusShape(records, characters, records, records // 3), nonce="00")
    for number in (made.steps_per_epoch, made.trunk_steps_per_epoch, made.expected_batch, made.expected_tokens):
        assert number & (number - 1) == 0
    assert made.trunk == (records >= 3)


def test_sharding_keeps_the_number_of_steps() -> None:
    shape = CorpusShape(2048, 500_000, 400, 0)
    steps = {
        s: propose_plan(TrainSettings(shards=s, slices=1, controls=0.0), shape, nonce="00").steps(0)
        for s in (1, 2, 4, 8)
    }
    assert len(set(steps.values())) == 1


@given(step=st.integers(0, 11), slice_index=st.integers(0, 9))
def test_learning_rate_is_a_table(step, slice_index) -> None:
    rate = WIDE.learning_rate(slice_index, step)
    assert WIDE.lr_peak * WIDE.lr_floor * 0.999 <= rate <= WIDE.lr_peak
    assert rate == WIDE.learning_rate(0, step)


def test_plan_needs_no_torch() -> None:
    code = "import sys, unlearn.plan, unlearn.erase; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_the_trunk_may_have_a_peak_of_its_own() -> None:
    gentle = replace(WIDE, trunk_lr_peak=WIDE.lr_peak / 4)
    steps = range(gentle.steps(None))
    assert [gentle.learning_rate(0, s) for s in range(gentle.steps(0))] == [
        WIDE.learning_rate(0, s) for s in range(WIDE.steps(0))
    ]
    assert [4 * gentle.learning_rate(None, s) for s in steps] == pytest.approx(
        [WIDE.learning_rate(None, s) for s in steps]
    )
    assert "trunk_lr_peak" not in WIDE.to_json(), "a plan frozen before the field was there keeps its digest"
    assert Plan.from_json(gentle.to_json()) == gentle
    with pytest.raises(WrongUsage, match="trunk_lr_peak"):
        replace(WIDE, trunk_lr_peak=-1.0)
