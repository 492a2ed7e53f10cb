"""What a real training leaves can be exported: valid for others, and a later erasure names the copy."""

from __future__ import annotations

import json
import random
import shutil
from pathlib import Path

import pytest
from command_line import lethe_here
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from jsonschema import Draft202012Validator, FormatChecker
from quick_world import PLANS
from road import approved_case, judged_case, sign
from small_world import ADAPTER
from stream_books import POOL, register, row_about, row_about_nobody, take_in, train, write_rows

from lineage.evidence import evidence
from lineage.workspace import Workspace, open_workspace
from pipelines import erasure
from pipelines.purging import purge_case

PERSON, *OTHERS = POOL[:6]
RULES = json.loads((Path(__file__).parents[1] / "support" / "openlineage_rules.json").read_text(encoding="utf-8"))


@pytest.fixture
def workspace(template: Path, tmp_path: Path, one_scanner: None, here: pytest.MonkeyPatch) -> Workspace:
    workspace, rng = open_workspace(shutil.copytree(template, tmp_path / "ws")), random.Random(4)
    register(workspace, (PERSON, *OTHERS))
    rows = [row_about(person, rng) for person in (PERSON, *OTHERS) for _ in range(2)]
    take_in(workspace, write_rows(workspace, [*rows, *(row_about_nobody(rng) for _ in range(3))]))
    train(workspace, PLANS[0])
    return workspace


def test_a_trained_release_is_exported_and_a_later_erasure_names_the_copy(workspace: Workspace, tmp_path: Path) -> None:
    folder, out = workspace.settings.workspace, tmp_path / "hub"
    said = lethe_here("export", "adapter", ADAPTER, out, "--as", "max", workspace=folder).out
    name = said.rstrip(".\n").rpartition(" ")[2]
    card = (out / "README.md").read_text(encoding="utf-8")
    assert "## What it learnt from" in card
    bom = lethe_here("export", "mlbom", ADAPTER, workspace=folder).out
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(bom) is None
    events = lethe_here("export", "openlineage", workspace=folder).out
    validator = Draft202012Validator(RULES, format_checker=FormatChecker(("uuid", "date-time", "uri")))
    jobs = set()
    for line in events.splitlines():
        validator.validate(json.loads(line))
        jobs.add(json.loads(line)["job"]["name"])
    assert jobs == {"ingest", f"train.{ADAPTER}", f"compose.{ADAPTER}", f"release.{ADAPTER}"}
    answer = lethe_here("export", "access", "--from-file", "-", "--json", "--as", "ines", workspace=folder, given=f"{PERSON.customer_id}\n")  # fmt: skip
    assert answer.json()["fed"][0]["adapter"] == ADAPTER
    for text in (card, bom, events, answer.out, lethe_here("export", "art30", workspace=folder).out):
        assert not [p for p in (PERSON, *OTHERS) if p.name in text or p.email in text or p.account in text]
    case_id = approved_case(workspace, PERSON)
    with workspace.database.reader() as session:
        assert name in json.dumps(evidence(session, case_id, "contract"))
    erasure.contain(workspace, case_id)
    erasure.rebuild(workspace, case_id)
    judged_case(workspace, case_id)
    purge_case(workspace, case_id)
    sign(folder, case_id)
    lethe_here("export", "adapter", ADAPTER, tmp_path / "after", "--as", "max", workspace=folder)
    certificate = f"cert-{case_id.removeprefix('case-')}"
    assert certificate in (tmp_path / "after" / "README.md").read_text(encoding="utf-8")
    path = workspace.case_directory(case_id) / "certificate.json"
    verified = ("verify", path, "--adapter", tmp_path / "after", "--expect-case", case_id)
    lethe_here(*verified, workspace=folder)
    assert lethe_here(*(*verified[:3], out, *verified[4:]), workspace=folder, code=1)
    lines = map(json.loads, lethe_here("export", "openlineage", workspace=folder).out.splitlines())
    (erased,) = [event for event in lines if event["job"]["name"] == "erase" and event["eventType"] == "COMPLETE"]
    validator.validate(erased)
    assert erased["inputs"][0]["facets"]["lifecycleStateChange"]["lifecycleStateChange"] == "DROP"
