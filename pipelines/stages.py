"""One adapter of a case before the judge, in one stage or in two; what was said once is never said anew.

::

    register the rules of stage 1, and with them those of stage 2 -> score -> file
        PASS, INCONCLUSIVE: that is the verdict
        FAIL: register stage 2 -> train its extra out-adapters -> score -> file; its verdict is the case's, whatever it says

Retraining is a function, so a false FAIL would repeat for ever: hence the second stage, with at least 19 more adapters that
never saw the person, new candidates and a stricter exposure. Its rules follow from those of the first
(`Protocol.second_stage`) and stand in the ledger before the first score. There is no third.

Each stage's result is filed under what was judged: the digests of all adapters, the handles of the records, keyed digests of
the values, and the number of copies. Whoever comes again with the same, after a crash or with `retry`, gets what was filed.
A FAIL stands for longer: as long as what it accuses is the same, the closure's new shards and release and the records,
whatever the neighbours, the values or the copies are now. After that of a first stage the second goes on, after that of
a second nothing does. Other weights, for instance after a cause was found and mended, are judged from the first stage on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from sqlmodel import Session

from lineage import ledger
from lineage.dossier import SECOND_STAGE
from lineage.errors import RefusedByRule
from lineage.evidence import add_evidence, case_records, digest_of, filed
from pipelines.extras import ExtrasWanted, extra_adapters
from pipelines.ingest import utc_now
from pipelines.judged import accused_elsewhere, summary
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
        """Digest over all that a result depends on: every adapter, the records, the values and the copies."""
        mac, purpose = self.atelier.workspace.keyring.mac, f"case/{self.case_id}/value"
        values = sorted(mac(purpose, value.kind, value.value, value.pattern) for value in self.dossier.values)
        adapters = {name: path.name for name, path in self.panel.adapters().items()}
        return digest_of(
            {"adapters": adapters, "records": self._records(), "values": values, "copies": self.dossier.copies}
        )

    def accused(self, elsewhere: Sequence[int]) -> str:
        """Digest over what a FAIL accuses: the closure's records, its new shards and release, and shards `elsewhere`."""
        names = {*self.panel.suspects("post"), *(f"out_{shard}" for shard in elsewhere)}
        adapters = {name: path.name for name, path in self.panel.adapters().items() if name in names}
        return digest_of({"adapters": adapters, "records": self._records()})

    def _records(self) -> list[str]:
        """The records as this case calls them."""
        handle = self.atelier.workspace.keyring.handle
        return sorted(handle(self.case_id, placed.record.record_id) for placed in self.dossier.records)


def judge_in_stages(trial: Trial) -> Facts | None:
    """The verdict on one adapter, with the first stage's inside it when there were two; None if nothing can be compared.

    Raises:
        RefusedByRule: the settings changed after a first stage that said FAIL.
    """
    if second := _failed(trial, 2):
        return second
    failed = _failed(trial, 1)
    if max(len(trial.panel.outs), trial.atelier.settings.probes.out_adapters) < LEAST_OUT_ADAPTERS:
        if failed:
            raise _other_rules(trial)
        return None
    rules = first_rules(trial)
    first = failed or _said(trial, 1) or _judge(trial, rules)
    if first["verdict"] != "FAIL":
        return first
    return _said(trial, 2) or _judge(trial, rules.second_stage(), first=first)


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


def _failed(trial: Trial, stage: int) -> Facts | None:
    """The FAIL that a stage said of the same weights and records, which nothing else can undo."""
    found = (facts for facts in _filed(trial, stage) if facts["verdict"] == "FAIL")
    return next((facts for facts in found if facts.get("accused") == trial.accused(facts.get("elsewhere", ()))), None)


def _said(trial: Trial, stage: int) -> Facts | None:
    """What a stage said when everything was as it is."""
    return next((facts for facts in _filed(trial, stage) if facts["judged"] == trial.judged), None)


def _judge(trial: Trial, rules: Protocol, *, first: Mapping[str, object] | None = None) -> Facts:
    """Register, score and file; a second stage's result has the `first` one's FAIL inside."""
    from probes.judge import judge
    from probes.report import write_report

    _register(trial, rules, first)
    adapter = trial.atelier.adapter
    with (
        extra_adapters(trial.atelier, _extras(trial, rules)) as extra,
        bar(f"Probing {adapter}", None, unit="readings") as progress,
    ):
        judgement = judge(
            trial.dossier, replace(trial.panel, extra=extra), rules, progress=lambda *_: progress.advance()
        )
    paths = write_report(judgement, report_directory(trial, stage=rules.stage))
    elsewhere = accused_elsewhere(judgement)
    standing = {"judged": trial.judged, "accused": trial.accused(elsewhere), "elsewhere": elsewhere}
    found = {**summary(judgement, paths), **standing, **({"first_stage": dict(first)} if first else {})}
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


def _filed(trial: Trial, stage: int) -> list[dict[str, Any]]:
    """Every result of a stage, the newest first."""
    with trial.atelier.workspace.database.reader() as session:
        return filed(session, trial.case_id, stage_kind(stage, trial.atelier.adapter))


def _register(trial: Trial, rules: Protocol, first: Mapping[str, object] | None) -> None:
    """Pre-registration: the rules stand in the ledger before the first score exists, those of a second stage too.

    A first stage that was killed before anything was filed may come again by other rules: they may be why it died, with
    more extra adapters than the disk holds or a decoding that the judge refuses, or an upgrade brought them, and then
    nobody could ever put them back. Nobody has read a score by then, and the ledger keeps what was registered before.

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
        if first and rules.digest != _promised(session, trial, first):
            raise _other_rules(trial)
        ledger.append(session, at=utc_now(), kind=REGISTERED, payload=payload, case_id=trial.case_id)


def _other_rules(trial: Trial) -> RefusedByRule:
    return RefusedByRule(
        "The probes' settings changed after the first stage said FAIL; the second has the rules registered with it.",
        hint=f"Put [adapters.{trial.atelier.adapter}.probes] back as it was.",
    )


def _promised(session: Session, trial: Trial, first: Mapping[str, object]) -> object:
    """Digest of the second stage's rules as they were registered with the first stage that said FAIL."""
    events = ledger.events_of_case(session, trial.case_id)
    told = [e.payload for e in events if e.kind == REGISTERED and e.payload["adapter"] == trial.atelier.adapter]
    digest = f"sha256:{first['protocol_digest']}"
    return next((p["if_fail"] for p in reversed(told) if "if_fail" in p and p["protocol"] == digest), None)


def report_directory(trial: Trial, *, stage: int) -> Path:
    """Where a report lies: the case's own directory for the first adapter, a folder in it for others; the second stage's
    in a folder of that one."""
    workspace, adapter = trial.atelier.workspace, trial.atelier.adapter
    folder = workspace.case_directory(trial.case_id)
    folder = folder if adapter == sorted(workspace.settings.adapters)[0] else folder / adapter
    return folder if stage == 1 else folder / SECOND_STAGE
