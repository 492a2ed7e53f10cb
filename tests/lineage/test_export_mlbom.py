"""The ML-BOM is strict CycloneDX 1.6, names what the release is made of, and nobody."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from lineage_world import ANN, BOB, FORMS, NOW, PLAN, World, after, composed, digest, record_training, row

from lineage.exports_mlbom import ml_bom
from lineage.exports_release import Certified, ReleaseFacts, read_release
from lineage.plans import TRUNK

STRICT = JsonStrictValidator(SchemaVersion.V1_6)


@pytest.fixture
def facts(world: World) -> ReleaseFacts:
    world.register(ANN, BOB)
    names = world.ingest(
        row("The shop opens at nine.", given_id="given-1"), row("A quiet zebra.", BOB, given_id="given-2", source="mails"),
        row("My lamp is broken.", ANN, given_id="given-3"),
    )  # fmt: skip
    record_training(world, {(TRUNK, 0): [names[0]], (0, 0): [names[1]], (1, 0): [names[2]]})
    return read_release(world.workspace, "support")


def complaints(bom: object) -> object:
    return STRICT.validate_str(json.dumps(bom))


@pytest.mark.parametrize(
    "change",
    [
        {}, {"revision": "abc"}, {"kind": "contained"}, {"base_model": "acme/small"}, {"plan": {"shards": 8}},
        {"certificates": (Certified("cert-1", NOW, digest("new")), Certified("cert-2", NOW, digest("newer")))},
    ],
    ids=lambda change: next(iter(change), "as it is"),
)  # fmt: skip
def test_it_is_strict_cyclonedx(facts: ReleaseFacts, change: dict) -> None:
    assert complaints(ml_bom(replace(facts, **change), now=NOW)) is None


def test_the_validator_refuses_what_the_model_card_does_not_know(facts: ReleaseFacts) -> None:
    bom = ml_bom(facts, now=NOW)
    bom["metadata"]["component"]["modelCard"]["invented"] = True
    assert complaints(bom) is not None


def test_it_names_adapter_base_sources_files_and_certificates(facts: ReleaseFacts) -> None:
    bom = ml_bom(replace(facts, certificates=(Certified("cert-1", NOW, digest("new")),)), now=NOW)
    adapter = bom["metadata"]["component"]
    assert (adapter["type"], adapter["name"], adapter["version"]) == ("machine-learning-model", "support", composed())
    assert [part["bom-ref"] for part in bom["components"]] == ["base:tiny", "source:mails", "source:tickets"]
    assert [ref["ref"] for ref in adapter["modelCard"]["modelParameters"]["datasets"]] == [
        "source:mails",
        "source:tickets",
    ]
    assert [file["name"] for file in adapter["components"]] == ["adapter_config.json"]
    said = {item["name"]: item["value"] for item in bom["properties"]}
    assert said["lethe:plan_digest"] == PLAN
    assert said["lethe:records"] == "3"
    assert said["lethe:erasure_certificate"] == "cert-1"


def test_nobody_is_in_it(world: World, facts: ReleaseFacts) -> None:
    text = json.dumps(ml_bom(facts, now=NOW))
    people = [v for who in (ANN, BOB) for v in (who, world.key(who), *FORMS[who].values())]
    for value in (*people, "given-1", "zebra", "lamp"):
        assert value not in text, value


def test_the_same_release_gives_the_same_bytes_and_another_another_number(world: World, facts: ReleaseFacts) -> None:
    first = ml_bom(facts, now=NOW)
    assert ml_bom(read_release(world.workspace, "support"), now=NOW) == first
    assert ml_bom(facts, now=after(hours=1))["serialNumber"] != first["serialNumber"]
    assert ml_bom(replace(facts, digest=digest("other")), now=NOW)["serialNumber"] != first["serialNumber"]
