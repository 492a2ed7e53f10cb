"""Two files that others build on: the schema of a certificate, and one certificate whose bytes never change by accident.

A changed field of `lineage/facts*.py`, or another spelling of one, shows here first. If it was meant, say so in the changelog
and write both anew: `python tests/lineage/test_certificate_files.py`.
"""

from __future__ import annotations

import copy
import json
import sys
from importlib import resources
from pathlib import Path
from typing import Any

if __name__ == "__main__":
    sys.path[:0] = [str(Path(__file__).parents[2]), str(Path(__file__).parents[1] / "support")]

import pytest
from certificate_world import DPO, FACTS, PIPELINE, SUBJECT_FILES
from fact_schema import statement_schema
from json_schema import faults
from jsonschema import Draft202012Validator

from lineage.certificate import build_statement, read_statement, sign
from lineage.trusted import TrustedKeys
from lineage.verify import verify_bytes

SCHEMA_FILE = Path(str(resources.files("lineage").joinpath("certificate.schema.json")))
GOLDEN_FILE = Path(__file__).parents[1] / "golden" / "certificate.json"
STATEMENT = build_statement(FACTS, SUBJECT_FILES)


def as_written(schema: dict[str, Any]) -> str:
    return json.dumps(schema, indent=1, ensure_ascii=False) + "\n"


def test_the_schema_is_what_the_dataclasses_say() -> None:
    assert SCHEMA_FILE.read_text(encoding="utf-8") == as_written(statement_schema())


def test_the_golden_certificate_is_written_anew_byte_for_byte() -> None:
    assert sign(STATEMENT, PIPELINE, DPO) == GOLDEN_FILE.read_bytes()


def test_the_golden_certificate_is_valid_and_says_what_it_said() -> None:
    result = verify_bytes(GOLDEN_FILE.read_bytes(), trusted=TrustedKeys(PIPELINE.public_key(), DPO.public_key()))
    assert result.ok, result.checks
    assert read_statement(STATEMENT) == (FACTS, SUBJECT_FILES)


def broken(statement: object) -> bool:
    """By the reference library and by the few lines of ours, which must agree."""
    schema = json.loads(SCHEMA_FILE.read_text(encoding="utf-8"))
    Draft202012Validator.check_schema(schema)
    refused = not Draft202012Validator(schema).is_valid(statement)
    assert refused == bool(list(faults(statement, schema)))
    return refused


def test_a_real_certificate_fits_the_schema() -> None:
    assert not broken(json.loads(STATEMENT))


SPOILED = {
    "a field too many": ((), {"note": "x"}),
    "another type": ((), {"predicateType": "https://slsa.dev/provenance/v1"}),
    "no files": ((), {"subject": []}),
    "no limits": (("predicate",), {"limits": []}),
    "nothing kept": (("predicate",), {"kept": []}),
    "null": (("predicate", "probes", 0), {"p_value": None}),
    "a fraction": (("predicate", "probes", 0), {"p_value": 0.41}),
    "a truth value as a count": (("predicate",), {"neighbours_unchanged": True}),
    "a negative count": (("predicate", "ledger"), {"length": -1}),
    "an address as a handle": (("predicate", "request"), {"case": "jo@example.org"}),
    "local time": (("predicate",), {"issued": "2026-02-20T15:30:00+01:00"}),
    "an unknown verdict": (("predicate", "probes", 0), {"verdict": "OK"}),
    "a digest in capitals": (("predicate", "ledger"), {"digest": "A" * 64}),
}


@pytest.mark.parametrize(("where", "change"), SPOILED.values(), ids=SPOILED)
def test_what_a_certificate_cannot_hold_does_not_fit(where: tuple[str | int, ...], change: dict[str, object]) -> None:
    statement = copy.deepcopy(json.loads(STATEMENT))
    inside = statement
    for step in where:
        inside = inside[step]
    inside.update(change)
    assert broken(statement)


@pytest.mark.parametrize("name", sorted(json.loads(STATEMENT)["predicate"]))
def test_no_field_of_the_predicate_can_be_left_out(name: str) -> None:
    statement = json.loads(STATEMENT)
    del statement["predicate"][name]
    assert broken(statement)


if __name__ == "__main__":
    SCHEMA_FILE.write_text(as_written(statement_schema()), encoding="utf-8")
    GOLDEN_FILE.write_bytes(sign(STATEMENT, PIPELINE, DPO))
