"""Look for a person outside a case, as a Dagster job: in the shards that hold them, or on the map of all shards.

Run config is kept for ever, so the job is given a request's id; the request, which holds the person's pseudonym, is a
file that is gone as soon as the job has read it. One that a killed process left unanswered goes after a day, with the next
request or in the night (`sweep_requests`).
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from sqlmodel import select

from lineage import builds, plans
from lineage.durable import write_whole
from lineage.errors import WrongUsage
from lineage.subjects import load_forms
from lineage.tables import RecordRow
from pipelines.bases import base_for_probes
from pipelines.ingest import utc_now
from pipelines.judged import extracted
from pipelines.judging import dossier_of
from pipelines.mapping import map_people, person_in
from pipelines.questions import LEAST_OUT_ADAPTERS
from pipelines.sealing import seal_of
from pipelines.stages import decoding_of
from pipelines.states import Atelier, open_atelier

if TYPE_CHECKING:
    from pathlib import Path

    from lineage.workspace import Workspace
    from probes.dossier import Panel, Protocol
    from probes.judgement import Judgement
    from probes.shard_map import ShardMap
    from probes.stats import Abstained
    from probes.verdict import Verdict

__all__ = ["answer_request", "request_probe", "sweep_requests"]

FOLDER = "probe-requests"
LONGEST_WAIT = timedelta(days=1)


@dataclass(frozen=True)
class _Request:
    """Whom to look for, where, and whether on the map of all shards."""

    adapter: str
    subject_key: str = field(repr=False)
    whole_map: bool


def _file(workspace: Workspace, request_id: str) -> Path:
    return workspace.home / FOLDER / f"{request_id}.json"


def request_probe(workspace: Workspace, adapter: str, subject_key: str, *, whole_map: bool) -> str:
    """Write a request down for the job; returns its id.

    Raises:
        WrongUsage: lethe.toml names no such adapter.
    """
    workspace.settings.adapter(adapter)
    sweep_requests(workspace, now=utc_now())
    request_id = f"probe-{secrets.token_hex(4)}"
    body = {"adapter": adapter, "subject_key": subject_key, "whole_map": whole_map}
    write_whole(_file(workspace, request_id), json.dumps(body).encode(), mode=0o600)
    return request_id


def sweep_requests(workspace: Workspace, *, now: datetime) -> int:
    """Remove requests that nobody answered within a day, half-written ones too; returns how many."""
    limit, swept = (now - LONGEST_WAIT).timestamp(), 0
    for path in (workspace.home / FOLDER).glob("*"):
        with suppress(FileNotFoundError):  # answered, or swept by somebody else, in this moment
            if path.stat().st_mtime < limit:
                path.unlink()
                swept += 1
    return swept


def answer_request(workspace: Workspace, request_id: str) -> dict[str, object]:
    """Read a request, once, and look. The answer has numbers of shards and of tests, nothing of the person.

    Raises:
        WrongUsage: the request was answered already, or there is nothing to look with.
    """
    path = _file(workspace, request_id)
    try:
        request = _Request(**json.loads(path.read_bytes()))
    except FileNotFoundError:
        raise WrongUsage(
            f"There is no request {request_id} that waits.", hint="Ask again: lethe probe ADAPTER"
        ) from None
    path.unlink()
    look = _on_the_map if request.whole_map else _in_their_shards
    return look(workspace, request.adapter, request.subject_key)


def _on_the_map(workspace: Workspace, adapter: str, subject_key: str) -> dict[str, object]:
    """Every shard, now and, when a case of the person has changed some, before."""
    atelier = open_atelier(workspace, adapter)
    person = person_in(atelier, subject_key)
    if not person.records:
        raise WrongUsage(
            "The workspace has no record of this person that the plan placed.",
            hint="lethe lineage subject KEY shows all.",
        )
    found = map_people(atelier, {"probe": person}, old=person.old)["probe"]
    has_before = found.before != found.after
    return {
        "known": list(found.known), "missed": list(found.missed), "sentences": list(found.sentences),
        "before": _shown(found.before) if has_before else None, "now": _shown(found.after),
    }  # fmt: skip


def _shown(drawn: ShardMap | Abstained) -> dict[str, object]:
    """A map as JSON."""
    from probes.stats import Abstained

    if isinstance(drawn, Abstained):
        return {"abstained": drawn.reason}
    ranked = drawn.companion
    return {
        "shards": [{"shard": s.shard, "score": round(s.score, 3), "lit": s.lit} for s in drawn.shards],
        "lit": list(drawn.lit), "p": drawn.p, "alpha": drawn.alpha, "detectable_sd": round(drawn.detectable_sd, 2),
        "peels": [{"shard": p.shard, "effect_sd": round(p.effect_sd, 2), "p": p.p} for p in drawn.peels],
        "rank": ranked and ranked.rank, "controls": ranked and ranked.controls,
    }  # fmt: skip


def _in_their_shards(workspace: Workspace, adapter: str, subject_key: str) -> dict[str, object]:
    """The tests of a case, on the adapters in service as they are.

    Raises:
        WrongUsage: none of the person's records was trained on, or fewer than two shards never saw them.
    """
    from probes.judge import judge

    atelier = open_atelier(workspace, adapter)
    with workspace.database.reader() as session:
        forms = load_forms(session, workspace.keystore, subject_key)
        own = select(RecordRow.id).where(RecordRow.primary_subject == subject_key)
        record_ids = sorted(session.exec(own).all())
        found = plans.placements_of(session, atelier.plan.digest, record_ids)
        adapters = builds.shard_adapters(session, adapter)
    home = sorted({p.shard for p in found if p.shard is not None})
    if not home:
        raise WrongUsage(
            "None of this person's records was trained on.", hint="lethe lineage subject KEY says where they are."
        )
    panel = _standing_panel(atelier, adapters, home)
    dossier = dossier_of(atelier, "probe", record_ids, forms, tuple(home))
    return {"shards": home, **_told(judge(dossier, panel, _protocol(atelier, panel)), home)}


def _protocol(atelier: Atelier, panel: Panel) -> Protocol:
    """The rules of a first stage, over the shards that never saw the person.

    Raises:
        WrongUsage: these are fewer than two.
    """
    from probes.dossier import Protocol
    from probes.shard_map import map_budget

    if len(panel.outs) < LEAST_OUT_ADAPTERS:
        raise WrongUsage(
            "Fewer than two shards never saw this person, so there is nothing to compare the others with.",
            hint="lethe lineage subject KEY says which shards did; a plan with more shards leaves some out.",
        )
    budget = map_budget(len(panel.outs) + len(panel.pre))
    return Protocol(len(panel.outs), max_length=atelier.plan.max_length, map_alpha=budget).under(decoding_of(atelier))


def _told(judgement: Judgement, home: Sequence[int]) -> dict[str, object]:
    """The judge's own code, and a sentence; p-values raw and, as the verdict takes them, adjusted."""
    verdict = judgement.verdict
    seen = verdict.outcome == "FAIL"
    return {
        "seen": seen, "sentence": "The adapter knows this person." if seen else _unseen(verdict),
        "outcome": verdict.outcome, "reason": verdict.code,
        "p": dict(judgement.primaries_pre), "p_adjusted": dict(verdict.adjusted_pre),
        "extraction": {f"shard {shard}": extracted(judgement, f"pre_{shard}") for shard in home},
    }  # fmt: skip


def _unseen(verdict: Verdict) -> str:
    """The judge's sentence in the words of one adapter: outside a case there is no old and no new one, and nothing to sign."""
    match verdict.code:
        case "NO_PRE_SIGNAL" if verdict.adjusted_pre:
            return "The adapter was trained on this person and shows no measurable trace of them."
        case "NO_PRE_SIGNAL":
            return "Nothing about this person can be measured in this adapter."
        case "VALUE_GIVEN":
            return (
                "The adapter gives a value of this person away that no model without them does; without random digits there "
                "is no telling memory from a guess."
            )
    return verdict.sentence


def _standing_panel(atelier: Atelier, adapters: Mapping[int, str], home: Sequence[int]) -> Panel:
    """The adapters as they are: the person's own shards stand on both sides, the others are the null models."""
    from probes.dossier import Panel

    paths = {shard: atelier.workspace.store.directory("adapters", digest) for shard, digest in adapters.items()}
    inside = {shard: paths[shard] for shard in home}
    outs = {shard: path for shard, path in paths.items() if shard not in home}
    base, revision = base_for_probes(atelier.settings), atelier.settings.revision or None
    seal = seal_of(atelier, adapters.values())
    return Panel(base=base, revision=revision, seal=seal, pre=inside, post=inside, outs=outs)
