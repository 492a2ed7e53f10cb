"""report.json keeps the promise of its schema: every judgement fits, every field is there, and nothing else is."""

from __future__ import annotations

import copy
import json
import math
from dataclasses import fields, replace
from importlib import resources

import pytest
from json_schema import faults
from probe_world import CONTROLS, dossier, protocol

from probes import canaries, membership, shard_map, stats, utility, verdict, where
from probes import dossier as dossiers
from probes import judgement as judgements
from probes.judge import judge
from probes.judgement import SCHEMA, Judgement

WRITTEN = json.loads(resources.files("probes").joinpath("schemas/judgement.schema.json").read_text(encoding="utf-8"))
VALUES = {
    "AttackReading": judgements, "CanaryReading": canaries, "Change": utility, "Companion": shard_map, "Counts": judgements,
    "DecodingScheme": dossiers, "AttackRules": dossiers, "Detectable": judgements, "Interval": stats,
    "Membership": membership, "ModelReading": judgements, "Peel": shard_map, "Prediction": stats, "SecondLook": shard_map, "ShardMap": shard_map,
    "ShardScore": shard_map, "SourceLoss": utility, "Upkeep": utility, "ValueFacts": judgements,
    "ValueReading": judgements, "Verdict": verdict, "Whereabouts": where,
}  # fmt: skip


def as_read(judgement) -> dict:
    return json.loads(json.dumps(judgement.as_json(), allow_nan=False))


def broken(body) -> list[str]:
    return list(faults(body, WRITTEN))


@pytest.mark.parametrize("name", ["honest", "old served as new", "never trained"])
def test_every_judgement_fits_its_schema(judged, name):
    assert broken(as_read(judged[name])) == []


def test_a_judgement_that_could_measure_next_to_nothing_fits_too(world):
    """No values, no canaries, too few control people: what could not be had is a reason, not a hole."""
    few = judge(dossier(values=(), canaries=(), controls=CONTROLS[:9]), world.panel(), protocol())
    body = as_read(few)
    assert broken(body) == []
    assert set(body["where"]["after"]) == set(body["utility"]["change"]) == set(body["canaries"]) == {"abstained"}
    assert set(body["companions"]["post"]["rmia"]) == {"abstained"}


def test_infinite_numbers_are_null(judged):
    unbounded = replace(judged["honest"], residual=stats.Interval(0.1, -math.inf, math.inf))
    body = as_read(unbounded)
    assert body["residual"] == {"point": 0.1, "lower": None, "upper": None}
    assert broken(body) == []


@pytest.mark.parametrize("name", VALUES)
def test_a_definition_has_the_fields_of_its_value(name):
    given = {field.name for field in fields(getattr(VALUES[name], name))}
    assert set(WRITTEN["$defs"][name]["properties"]) == set(WRITTEN["$defs"][name]["required"]) == given


def test_the_top_and_the_protocol_have_all_their_fields():
    assert set(WRITTEN["properties"]) == {f.name for f in fields(Judgement)} | {"schema", "protocol_digest"}
    assert WRITTEN["properties"]["schema"] == {"const": SCHEMA}
    rules = protocol().as_json()
    assert set(WRITTEN["$defs"]["Protocol"]["properties"]) == set(rules)
    assert WRITTEN["$defs"]["Protocol"]["properties"]["schema"] == {"const": rules["schema"]}


def spoiled(body: dict):
    """The ways in which a report could break its promise, each with where the schema must see it."""
    yield "$.text", body | {"text": "Call me."}
    yield "$.verdict", {name: inner for name, inner in body.items() if name != "verdict"}
    for path, wrong in (
        (("verdict", "outcome"), "MAYBE"), (("counts", "records"), -1), (("counts", "records"), "6"),
        (("models", 0, "membership_p"), 1.5), (("membership", 0, "pre"), None), (("sentences",), ["one"]),
        (("protocol_digest",), "md5:0"), (("primaries_post",), {"luck": 0.5}), (("companions", "post", "loss"), "low"),
    ):  # fmt: skip
        other = copy.deepcopy(body)
        inside = other
        for key in path[:-1]:
            inside = inside[key]
        inside[path[-1]] = wrong
        yield f"$.{path[0]}", other


def test_the_schema_refuses_what_a_report_must_not_be(judged):
    for at, body in spoiled(as_read(judged["honest"])):
        assert any(fault.startswith(at) for fault in broken(body)), at
