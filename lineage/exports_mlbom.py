"""An ML-BOM of the release in service: CycloneDX 1.6 (ECMA-424), with its model card, as a plain dict.

The component is the adapter; beside it stand the base model, each source of its corpus as data, and the files with their
SHA-256. What CycloneDX has no field for stands among the properties, whose names begin with `lethe:`. Written by hand because
no Python library writes model cards; the tests validate it with the offline schema of cyclonedx-python-lib.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from datetime import datetime
from importlib.metadata import version

from lineage.exports_release import ReleaseFacts

__all__ = ["ml_bom"]

SCHEMA = "http://cyclonedx.org/schema/bom-1.6.schema.json"
SPACE = uuid.UUID("3b0c5d1e-2f64-5a0e-9a53-6c1f0e7d4b21")
"""Namespace of our serial numbers (RFC 9562, version 5): the same release, ledger and time give the same number."""
Component = dict[str, object]


def ml_bom(facts: ReleaseFacts, *, now: datetime) -> dict[str, object]:
    """The bill of materials. Equal facts and times give equal values; nobody is in it."""
    adapter, base = f"adapter:{facts.adapter}", f"base:{facts.base_model}"
    data = [f"source:{source}" for source in facts.corpus.sources]
    return {
        "$schema": SCHEMA,
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{uuid.uuid5(SPACE, f'{facts.digest} {facts.ledger_head} {now.isoformat()}')}",
        "version": 1,
        "metadata": {
            "timestamp": now.isoformat(timespec="seconds"),
            "tools": {"components": [{"type": "application", "name": "lethe", "version": version("lethe")}]},
            "component": _adapter(facts, ref=adapter, data=data),
            "manufacturer": {"name": facts.controller},
        },
        "components": [
            {
                "type": "machine-learning-model",
                "bom-ref": base,
                "name": facts.base_model,
                **({"version": facts.revision} if facts.revision else {}),
            },
            *(_source(facts, ref) for ref in data),
        ],
        "dependencies": [{"ref": adapter, "dependsOn": [base, *data]}, {"ref": base}, *({"ref": ref} for ref in data)],
        "properties": list(_properties(facts)),
    }


def _adapter(facts: ReleaseFacts, *, ref: str, data: list[str]) -> Component:
    return {
        "type": "machine-learning-model",
        "bom-ref": ref,
        "name": facts.adapter,
        "version": facts.digest,
        "description": "LoRA adapter, the exact average of its shards",
        "modelCard": _model_card(facts, data),
        "pedigree": {"ancestors": [{"type": "machine-learning-model", "name": facts.base_model}]},
        "components": [
            {"type": "file", "name": name, "hashes": [{"alg": "SHA-256", "content": digest}]}
            for name, digest in facts.file_digests.items()
        ],
    }


def _model_card(facts: ReleaseFacts, data: list[str]) -> dict[str, object]:
    limits = [facts.corpus.blind_spots] if facts.corpus.blind_spots else []
    if facts.kind == "contained":
        limits.append("Contained: records under erasure were cut out, the rebuild is pending.")
    return {
        "modelParameters": {
            "approach": {"type": "self-supervised"},
            "task": "text-generation",
            "architectureFamily": "LoRA adapter",
            "modelArchitecture": facts.base_model,
            "datasets": [{"ref": ref} for ref in data],
        },
        "considerations": {
            "useCases": list(facts.corpus.purposes),
            "technicalLimitations": limits,
        },
    }


def _source(facts: ReleaseFacts, ref: str) -> Component:
    name = ref.partition(":")[2]
    return {
        "type": "data",
        "bom-ref": ref,
        "name": name,
        "data": [
            {
                "type": "dataset",
                "name": name,
                "description": "Records that a gate admitted; no record is in this document.",
                "sensitiveData": ["personal data of people whom records are about or mention"],
                "governance": {"owners": [{"organization": {"name": facts.controller}}]},
            }
        ],
    }


def _properties(facts: ReleaseFacts) -> Iterator[dict[str, str]]:
    corpus = facts.corpus
    pairs = [
        ("composition", facts.kind), ("released_at", facts.released_at.isoformat(timespec="seconds")),
        ("plan_digest", facts.plan_digest), ("shards", f"{facts.parts} of {facts.shards}"),
        ("records", str(corpus.records)), ("records_planted", str(corpus.planted)), ("gate_tier", corpus.tier),
        *(("gate_policy_digest", digest) for digest in corpus.policies), ("ledger_length", str(facts.ledger_length)),
        ("ledger_head", facts.ledger_head), *(("erasure_certificate", one.id) for one in facts.certificates),
    ]  # fmt: skip
    return ({"name": f"lethe:{name}", "value": value} for name, value in pairs)
