"""The model card of an exported adapter: README.md with the front matter that model hubs read.

The front matter holds only what a hub knows: `base_model` if it is a hub id (a local base has none), `library_name`, `tags`,
`language`, `pipeline_tag`. JSON strings and lists are YAML, so it is written as such and needs no YAML library. No licence
is named: that is the controller's to say.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

from lineage.exports_release import ReleaseFacts
from lineage.labels import HUB_ID

__all__ = ["model_card"]

LANGUAGE = re.compile(r"[a-z]{2,3}")
PLAN_NUMBERS = ("slices", "controls", "epochs", "lora_r", "lora_alpha", "lr_peak", "max_length", "optimizer", "dtype")


def model_card(facts: ReleaseFacts) -> str:
    """README.md of the adapter. Equal facts give equal bytes."""
    return "\n".join([*_front_matter(facts), "", *_body(facts)]) + "\n"


def _front_matter(facts: ReleaseFacts) -> Iterator[str]:
    yield "---"
    if HUB_ID.fullmatch(facts.base_model):
        yield f"base_model: {json.dumps(facts.base_model)}"
        yield "base_model_relation: adapter"
    yield "library_name: peft"
    yield "pipeline_tag: text-generation"
    if languages := [code for code in facts.corpus.languages if LANGUAGE.fullmatch(code)]:
        yield f"language: {json.dumps(languages)}"
    yield f"tags: {json.dumps(['lora', 'lethe'])}"
    yield "---"


def _body(facts: ReleaseFacts) -> Iterator[str]:
    corpus = facts.corpus
    state = (
        "complete" if facts.kind == "full" else "contained: records under erasure were cut out, the rebuild is pending"
    )
    yield f"# {facts.adapter}"
    yield ""
    yield f"A LoRA adapter of {_cell(facts.controller)}, exported from a Lethe workspace."
    yield ""
    yield from _table(
        ("adapter digest", f"`{facts.digest}`"),
        ("state", state),
        ("in service since", facts.released_at.isoformat(timespec="seconds")),
        ("base model", _cell(f"{facts.base_model} {facts.revision}".strip())),
        ("plan digest", f"`{facts.plan_digest}`"),
        ("shards", f"{facts.parts} of {facts.shards}"),
        *((name, _cell(str(facts.plan[name]))) for name in PLAN_NUMBERS if name in facts.plan),
    )
    yield from ("", "## What it learnt from", "")
    yield from _table(
        ("records", f"{corpus.records}, of which {corpus.planted} are synthetic ones planted by Lethe"),
        ("sources", _cell(", ".join(corpus.sources))),
        ("purposes", _cell(", ".join(corpus.purposes))),
        ("gate policies (digests)", ", ".join(f"`{digest}`" for digest in corpus.policies)),
        ("gate tier", _cell(corpus.tier)),
        ("what the tier cannot see", _cell(corpus.blind_spots)),
    )
    yield from ("", "## Erasures that changed it", "")
    yield from _erasures(facts)
    yield from ("", "## How to check", "")
    yield f"Ledger when this was exported: {facts.ledger_length} events, head `{facts.ledger_head}`."
    yield ""
    yield "`lethe verify CERTIFICATE --adapter DIR` compares the files beside this one with a certificate. This file is not"
    yield "one of them; it is a description and proves nothing."
    yield ""
    yield from _table(
        *((_cell(name), f"`{digest}`") for name, digest in facts.file_digests.items()), head=("file", "SHA-256")
    )


def _erasures(facts: ReleaseFacts) -> Iterator[str]:
    if not facts.certificates:
        yield "None that is certified."
        return
    rows = ((one.id, f"{one.issued.date()}, left `{one.new_digest}`") for one in facts.certificates)
    yield from _table(*rows, head=("certificate", "issued, and the adapter it left"))


def _table(*rows: tuple[str, str], head: tuple[str, str] = ("what", "value")) -> Iterator[str]:
    yield f"| {head[0]} | {head[1]} |"
    yield "|---|---|"
    for name, value in rows:
        yield f"| {name} | {value or 'none'} |"


def _cell(text: str) -> str:
    """One line that ends no cell, opens no tag and ends no code."""
    plain = " ".join(text.split())
    return re.sub(r"([\\`*_\[\]<>|#])", r"\\\1", plain)
