"""OpenLineage events hold the rules of the core spec 2-0-2, tell the whole road, and nobody is in them."""

from __future__ import annotations

import json
from copy import deepcopy
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator, FormatChecker
from letter_world import filed, stand
from lineage_world import ANN, BOB, DANA, FORMS, NOW, World, composed, digest, record_training, row, state
from openlineage.client import event_v2 as published
from openlineage.client.facet_v2 import (
    JobFacet,
    RunFacet,
    job_type_job,
    lifecycle_state_change_dataset,
    output_statistics_output_dataset,
)
from openlineage.client.serde import Serde
from sqlmodel import select

from lineage.evidence import add_evidence
from lineage.exports_openlineage import Run, read_runs, run_events
from lineage.plans import TRUNK
from lineage.planted import CANARY_SOURCE
from lineage.stages import Stage
from lineage.tables import IngestRow

RULES = json.loads((Path(__file__).parents[1] / "support" / "openlineage_rules.json").read_text(encoding="utf-8"))
VALIDATOR = Draft202012Validator(RULES, format_checker=FormatChecker(("uuid", "date-time", "uri")))


@pytest.fixture
def busy(world: World) -> World:
    world.register(ANN, BOB)
    rows = (
        row("The shop opens at nine.", given_id="given-1"), row("A quiet zebra.", BOB, given_id="given-2"),
        row("My lamp is broken.", ANN, given_id="given-3", source="mails"), row("Nobody lives here.", source=CANARY_SOURCE),
    )  # fmt: skip
    names = world.ingest(*rows)
    record_training(world, {(TRUNK, 0): [names[0]], (0, 0): [names[1]], (0, 1): [names[2]], (1, 0): [names[3]]})
    with world.database.transaction() as session:
        (done,) = session.exec(select(IngestRow)).all()
        done.ended_at, done.counts = NOW, {"allow": 2, "redact": 1, "block": 5}
        session.add(IngestRow(id="late", source="calls", generation=2, status="failed", requested_at=NOW, ended_at=NOW))
        session.add(IngestRow(id="now", source="calls", generation=3, status="running", requested_at=NOW))
    case_id = filed(world, BOB)
    with world.database.transaction() as session:
        body = {"adapters": {"support": {"before": digest("old"), "at": NOW.isoformat()}}}
        add_evidence(session, case_id, "containment", body, now=NOW)
        add_evidence(session, case_id, "rebuild", {"adapters": {"support": {"composed": composed()}}}, now=NOW)
    stand(world, case_id, Stage.PURGED, decisions=("erase", "erase", "redact"))
    stand(world, filed(world, ANN), Stage.REFUSED)
    return world


def events(world: World) -> list[dict]:
    return run_events(read_runs(world.workspace), namespace="acme")


def of_job(world: World, job: str, kind: str = "COMPLETE") -> list[dict]:
    return [event for event in events(world) if event["job"]["name"] == job and event["eventType"] == kind]


def names(datasets: list[dict]) -> list[str]:
    return [dataset["name"] for dataset in datasets]


# --- the spec -------------------------------------------------------------------------------------------------------------


def test_every_event_holds_the_rules_of_the_spec(busy: World) -> None:
    found = events(busy)
    assert len(found) > 20
    for event in found:
        VALIDATOR.validate(event)


FACETS = {
    "jobType": job_type_job.JobTypeJobFacet,
    "lifecycleStateChange": lifecycle_state_change_dataset.LifecycleStateChangeDatasetFacet,
    "outputStatistics": output_statistics_output_dataset.OutputStatisticsOutputDatasetFacet,
}


def as_published(event: dict) -> dict:
    """The event as OpenLineage's own client writes it, from classes that are generated from the published schemas."""
    sets = {"inputs": published.InputDataset, "outputs": published.OutputDataset}
    built = published.RunEvent(
        eventTime=event["eventTime"],
        eventType=published.RunState(event["eventType"]),
        producer=event["producer"],
        run=published.Run(event["run"]["runId"], _facets(event["run"]["facets"], RunFacet)),
        job=published.Job(event["job"]["namespace"], event["job"]["name"], _facets(event["job"]["facets"], JobFacet)),
        **{side: [_dataset(kind, given) for given in event[side]] for side, kind in sets.items()},
    )
    written: dict = json.loads(Serde.to_json(built))
    return written


def _dataset(kind: type, given: dict) -> object:
    facets = {name: _facets(given[name]) for name in given if name.endswith(("acets", "Facets"))}
    return kind(namespace=given["namespace"], name=given["name"], **facets)


def _facets(given: dict, own: type | None = None) -> dict:
    """A facet that nobody published is a base facet with further members."""
    found = {}
    for name, facet in given.items():
        members = {key: value for key, value in facet.items() if not key.startswith("_")}
        if name in FACETS:
            found[name] = FACETS[name](producer=facet["_producer"], **members)
        else:
            assert own is not None, name
            found[name] = own(producer=facet["_producer"]).with_additional_properties(**members)
    return found


def _said(event: dict) -> dict:
    """Without what is empty, which the client leaves out, and where our own facet is described."""
    filled = {key: _said(value) if isinstance(value, dict) else value for key, value in event.items()}
    for side in ("inputs", "outputs"):
        if side in filled:
            filled[side] = [_said(dataset) for dataset in filled[side]]
    if "lethe_erasure" in filled:
        filled["lethe_erasure"].pop("_schemaURL")
    return {key: value for key, value in filled.items() if value not in ({}, [], None)}


def test_every_event_is_what_the_published_classes_write(busy: World) -> None:
    """Names, types and the version of every facet's schema, as OpenLineage generates them."""
    for event in events(busy):
        assert _said(as_published(event)) == _said(event)


def test_the_published_classes_would_notice(busy: World) -> None:
    (event, *_) = of_job(busy, "ingest")
    for part, wrong in (("run", {"runId": "no uuid", "facets": {}}), ("eventType", "DONE"), ("eventTime", "today")):
        with pytest.raises(ValueError):  # noqa: PT011 - each of theirs has words of its own
            as_published({**event, part: wrong})
    odd = {**event["job"], "facets": {"jobType": {**event["job"]["facets"]["jobType"], "kind": "BATCH"}}}
    with pytest.raises(TypeError):
        as_published({**event, "job": odd})


@pytest.mark.parametrize(
    "path", [("run", "runId"), ("run",), ("job", "name"), ("job",), ("eventTime",), ("producer",), ("schemaURL",)]
)
def test_the_rules_would_notice_what_is_missing(busy: World, path: tuple[str, ...]) -> None:
    event = deepcopy(events(busy)[0])
    *parents, last = path
    inner = event
    for name in parents:
        inner = inner[name]
    inner[last] = "not what it should be" if last in ("runId", "eventTime") else inner.pop(last) and None
    assert not VALIDATOR.is_valid(event)


def test_every_run_starts_once_and_ends_at_most_once(busy: World) -> None:
    kinds: dict[str, list[str]] = {}
    for event in events(busy):
        kinds.setdefault(event["run"]["runId"], []).append(event["eventType"])
    for run in kinds.values():
        assert run[0] == "START", run
        assert run[1:] in ([], ["COMPLETE"], ["FAIL"], ["ABORT"]), run


# --- the road -------------------------------------------------------------------------------------------------------------


def test_the_datasets_join_into_one_road_from_source_to_release(busy: World) -> None:
    edges = {
        (given, made)
        for event in events(busy)
        if event["eventType"] == "COMPLETE" and event["job"]["name"] != "erase"
        for given in names(event["inputs"])
        for made in names(event["outputs"])
    }
    reached, frontier = set(), {"source/tickets"}
    while frontier:
        reached |= frontier
        frontier = {made for given, made in edges if given in frontier} - reached
    adapter = f"adapter/support/{composed()}"
    assert {
        "records/tickets",
        f"state/{state(TRUNK, 0)}",
        f"state/{state(0, 1)}",
        adapter,
        "release/support",
    } <= reached


def test_a_slice_reads_the_sources_that_are_placed_in_it_and_no_canaries(busy: World) -> None:
    read = {event["outputs"][0]["name"]: names(event["inputs"]) for event in of_job(busy, "train.support")}
    assert read[f"state/{state(0, 0)}"] == ["records/tickets", f"state/{state(TRUNK, 0)}"]
    assert read[f"state/{state(0, 1)}"] == ["records/mails", f"state/{state(0, 0)}"]
    assert read[f"state/{state(1, 0)}"] == [f"state/{state(TRUNK, 0)}"]
    assert CANARY_SOURCE not in json.dumps(events(busy))


def test_an_ingest_tells_how_many_records_it_kept_and_a_failed_or_running_one_that_it_is(busy: World) -> None:
    (done,) = of_job(busy, "ingest")
    assert done["outputs"][0]["outputFacets"]["outputStatistics"]["rowCount"] == 3
    assert len(of_job(busy, "ingest", "FAIL")) == 1
    assert len(of_job(busy, "ingest", "START")) == 3


def test_an_erasure_drops_the_old_adapter_and_a_refusal_is_an_abort(busy: World) -> None:
    (erased,) = of_job(busy, "erase")
    assert names(erased["inputs"]) == [f"adapter/support/{digest('old')}"]
    assert erased["inputs"][0]["facets"]["lifecycleStateChange"]["lifecycleStateChange"] == "DROP"
    assert names(erased["outputs"]) == [f"adapter/support/{composed()}"]
    told = erased["run"]["facets"]["lethe_erasure"]
    assert (told["erase"], told["redact"]) == (2, 1)
    assert len(of_job(busy, "erase", "ABORT")) == 1


def test_nobody_is_in_the_events(busy: World) -> None:
    text = json.dumps(events(busy))
    people = [v for who in (ANN, BOB) for v in (who, busy.key(who), *FORMS[who].values())]
    for value in (*people, "given-1", "zebra", "lamp", DANA.name, "claim"):
        assert value not in text, value


def test_the_same_tables_give_the_same_events_in_the_order_of_time(busy: World) -> None:
    found = events(busy)
    assert found == events(busy)
    assert [e["eventTime"] for e in found] == sorted(e["eventTime"] for e in found)


def test_a_source_that_names_somebody_is_withheld(world: World) -> None:
    world.register(ANN)
    with world.database.transaction() as session:
        session.add(
            IngestRow(
                id="x", source=FORMS[ANN]["email"], generation=0, status="finished", requested_at=NOW, ended_at=NOW
            )
        )
    assert FORMS[ANN]["email"] not in json.dumps(events(world))


def test_planted_canaries_were_never_ingested_from_anywhere(world: World) -> None:
    with world.database.transaction() as session:
        session.add(IngestRow(id="planted", source=CANARY_SOURCE, generation=0, status="finished", requested_at=NOW, ended_at=NOW))  # fmt: skip
    assert events(world) == []


def test_an_empty_workspace_has_no_events(world: World) -> None:
    assert events(world) == []


def test_an_open_run_has_not_ended() -> None:
    (event,) = run_events([Run("erase", "erase/1", NOW, None)], namespace="n")
    assert event["eventType"] == "START"
