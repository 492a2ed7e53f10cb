"""One adapter of a case before the judge, in one stage or in two; what was said once is never said anew.

::

    register the rules of stage 1, and with them those of stage 2 -> score -> file
        PASS, INCONCLUSIVE: that is the verdict
        FAIL: register stage 2 -> train its extra out-adapters -> score -> file; its verdict is the case's, whatever it says

Retraining is a function, so a false FAIL would repeat for ever: hence the second stage, with at least 19 more adapters that
never saw the person, new candidates and a stricter exposure. Its rules follow from those of the first
(`Protocol.second_stage`) and stand in the ledger before the first score. There is no third.

Each stage's result is filed under what was judged, the digests of the adapters and the handles of the records. Whoever
comes again with the same, after a crash or with `retry`, gets what was filed; a crash between the stages goes on with the
second. Other weights, for instance after a cause was found and mended, are judged from the first stage on.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from sqlmodel import Session

from lineage import ledger
from lineage.dossier import SECOND_STAGE
from lineage.errors import RefusedByRule
from lineage.evidence import add_evidence, case_records, digest_of, evidence, has_evidence
from pipelines.extras import ExtrasWanted, extra_adapters
from pipelines.ingest import utc_now
from pipelines.judged import summary
from pipelines.progress import bar
from pipelines.questions import LEAST_OUT_ADAPTERS
from pipelines.states import Atelier

if TYPE_CHECKING:
    from pathlib import Path

    from probes.decoding import DecodingScheme
    from probes.dossier import Dossier, Panel, Protocol

__all__ = ["Trial", "decoding_of", "judge_in_stages", "report_directory", "stage_kind"]

Facts = dict[str, object]
REGISTERED = "probe.registered"


@dataclass(frozen=True)
class Trial:
    """What a case brings before the judge for one adapter. The panel has no extra adapters yet."""

    atelier: Atelier
    case_id: str
    panel: Panel
    dossier: Dossier

    @property
    def judged(self) -> str:
        """Digest over the adapters, as the store names them, and the records, by their handles in this case."""
        handle = self.atelier.workspace.keyring.handle
        records = sorted(handle(self.case_id, placed.record.record_id) for placed in self.dossier.records)
        adapters = {name: path.name for name, path in self.panel.adapters().items()}
        return digest_of({"adapters": adapters, "records": records, "values": len(self.dossier.values)})


def judge_in_stages(trial: Trial) -> Facts | None:
    """The verdict on one adapter, with the first stage's inside it when there were two; None if nothing can be compared."""
    if max(len(trial.panel.outs), trial.atelier.settings.probes.out_adapters) < LEAST_OUT_ADAPTERS:
        return None
    first = first_rules(trial)
    found = _stage(trial, first)
    if found["verdict"] != "FAIL":
        return found
    return {**_stage(trial, first.second_stage()), "first_stage": found}


def first_rules(trial: Trial) -> Protocol:
    """The protocol of stage 1: every other shard, topped up to what the settings ask for; sampled as they say."""
    from probes.dossier import LEAST_SECOND, Protocol
    from probes.shard_map import map_budget

    wanted, shards = trial.atelier.settings.probes.out_adapters, len(trial.panel.outs)
    extra = max(0, wanted - shards)
    return Protocol(
        out_adapters=shards + extra, extra_adapters=extra, second_stage_adapters=max(LEAST_SECOND, wanted),
        max_length=trial.atelier.plan.max_length, map_alpha=map_budget(shards + len(trial.panel.pre)),
    ).under(decoding_of(trial.atelier))  # fmt: skip


def decoding_of(atelier: Atelier) -> tuple[DecodingScheme, ...]:
    """How the settings say that the adapter is sampled, the way in service first; empty if they do not say."""
    from probes.decoding import DecodingScheme

    said = atelier.settings.probes.decoding
    return tuple(DecodingScheme(scheme.temperature, scheme.top_k, scheme.top_p) for scheme in said)


def _stage(trial: Trial, rules: Protocol) -> Facts:
    """What a stage says: what it said before of the same adapters, or what it says now."""
    return _filed(trial, rules.stage) or _judge(trial, rules)


def _judge(trial: Trial, rules: Protocol) -> Facts:
    from probes.judge import judge
    from probes.report import write_report

    _register(trial, rules)
    adapter = trial.atelier.adapter
    with (
        extra_adapters(trial.atelier, _extras(trial, rules)) as extra,
        bar(f"Probing {adapter}", None, unit="readings") as progress,
    ):
        judgement = judge(
            trial.dossier, replace(trial.panel, extra=extra), rules, progress=lambda *_: progress.advance()
        )
    paths = write_report(judgement, report_directory(trial, stage=rules.stage))
    found = {**summary(judgement, paths), "judged": trial.judged}
    with trial.atelier.workspace.database.transaction() as session:
        add_evidence(session, trial.case_id, stage_kind(rules.stage, adapter), found, now=utc_now())
    return found


def _extras(trial: Trial, rules: Protocol) -> ExtrasWanted:
    """No extra adapter learns a record of the closure, whatever was decided of it, or of a canary that is looked for."""
    with trial.atelier.workspace.database.reader() as session:
        closure = {record.record_id for record in case_records(session, trial.case_id)}
    canaries = {canary.record.record_id for canary in trial.dossier.canaries}
    return ExtrasWanted(trial.case_id, rules.stage, rules.extra_adapters, closure | canaries)


def stage_kind(stage: int, adapter: str) -> str:
    """The kind of evidence under which a stage's result is filed."""
    return f"probe_stage_{stage}:{adapter}"


def _filed(trial: Trial, stage: int) -> Facts | None:
    kind = stage_kind(stage, trial.atelier.adapter)
    with trial.atelier.workspace.database.reader() as session:
        if not has_evidence(session, trial.case_id, kind):
            return None
        found = evidence(session, trial.case_id, kind)
    return found if found["judged"] == trial.judged else None


def _register(trial: Trial, rules: Protocol) -> None:
    """Pre-registration: the rules stand in the ledger before the first score exists, those of a second stage too.

    Raises:
        RefusedByRule: a second stage by other rules than those that were registered with the first.
    """
    payload = {
        "adapter": trial.atelier.adapter, "protocol": rules.digest, "out_adapters": rules.out_adapters, "stage": rules.stage,
        "extra_adapters": rules.extra_adapters,
    }  # fmt: skip
    if rules.stage == 1:
        payload["if_fail"] = rules.second_stage().digest
    with trial.atelier.workspace.database.transaction() as session:
        if rules.stage == 2 and rules.digest != _promised(session, trial):
            raise RefusedByRule(
                "The probes' settings changed after the first stage said FAIL; the second has the rules registered with it.",
                hint=f"Put [adapters.{trial.atelier.adapter}.probes] back as it was.",
            )
        ledger.append(session, at=utc_now(), kind=REGISTERED, payload=payload, case_id=trial.case_id)


def _promised(session: Session, trial: Trial) -> object:
    """Digest of the second stage's rules as the last first stage of this adapter registered them."""
    events = ledger.events_of_case(session, trial.case_id)
    firsts = [e.payload for e in events if e.kind == REGISTERED and e.payload["adapter"] == trial.atelier.adapter]
    return next((payload["if_fail"] for payload in reversed(firsts) if "if_fail" in payload), None)


def report_directory(trial: Trial, *, stage: int) -> Path:
    """Where a report lies: the case's own directory for the first adapter, a folder in it for others; the second stage's
    in a folder of that one."""
    workspace, adapter = trial.atelier.workspace, trial.atelier.adapter
    folder = workspace.case_directory(trial.case_id)
    folder = folder if adapter == sorted(workspace.settings.adapters)[0] else folder / adapter
    return folder if stage == 1 else folder / SECOND_STAGE
