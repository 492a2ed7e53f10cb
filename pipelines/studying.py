"""A study of an adapter: its own corpus, learnt under plans of several shapes, measured, and the weights destroyed.

Nobody's verdict and no release depends on a study. Its weights are written down in `lineage.studies` before they are
written, and are gone when it ends, however it ends.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from lineage import studies
from lineage.catalog import contents_of, training_contents
from lineage.errors import WrongUsage
from lineage.gate import require_open
from lineage.lease import held
from lineage.plans import TRUNK, Placeable
from lineage.policy import load_gate_policy
from lineage.records import TrainingRecord
from lineage.studies import StudyWeight
from lineage.workspace import Workspace
from pipelines.bases import base_for_probes
from pipelines.ingest import utc_now
from pipelines.measuring import COMPOSED_NAME
from pipelines.placing import propose
from pipelines.progress import Progress, bar
from pipelines.study_report import StudyLine, StudyReport, write_report
from unlearn.plan import CorpusShape, Plan, TrainSettings, place, plan_key, propose_plan

if TYPE_CHECKING:
    from unlearn.base import Base
    from unlearn.study import StudyMember, Trained

__all__ = ["grid_of", "run_study"]

LEARNT_READ = 240
"""Of how many learnt records the loss is read, for the memory figures."""
SMALL, FULL = ((1, 4, 8), (1, 2)), ((1, 2, 4, 8, 16), (1, 2, 4))


@dataclass(frozen=True)
class _Corpus:
    """What a study learns and what it holds out: the people whom the adapter's own plan never trains on."""

    workspace: Workspace
    adapter: str
    plan: Plan
    members: tuple[StudyMember, ...] = field(repr=False)
    held_out: tuple[TrainingRecord, ...] = field(repr=False)

    def load(self, members: Sequence[StudyMember]) -> list[TrainingRecord]:
        """The texts of a slice, read when they are needed."""
        with self.workspace.database.reader() as session:
            return training_contents(session, [m.record_id for m in members], keystore=self.workspace.keystore)

    @cached_property
    def shape(self) -> CorpusShape:
        """What the plans of the study may know of the learnt part."""
        records = self.load(self.members)
        return CorpusShape(
            records=len(records), characters=sum(len(s) for r in records for s in r.content.segments()),
            subjects=len({m.subject for m in self.members if m.subject}),
            trunk_records=sum(m.trunk_eligible and m.subject is None for m in self.members),
        )  # fmt: skip


def run_study(workspace: Workspace, adapter: str, *, study_id: str, full: bool) -> StudyReport:
    """Train every plan of the grid, measure it, destroy its weights; then write table and plot.

    Raises:
        GateClosed: the corpus may not be learnt from.
        WrongUsage: nobody is held out, so there is nothing to measure with.
        Fault: another study of this adapter is running.
    """
    studies.destroy_leftovers(
        workspace.database, workspace.store, adapters=[adapter], clock=utc_now, skip_running=True
    )  # a living study of this adapter is met by the next line
    with held(workspace.database, studies.lease_name(adapter), utc_now):
        corpus = _corpus(workspace, adapter)  # read under the lease: a purge waits until nothing of it is in memory
        plans = [_plan_of(corpus, shards, slices) for shards, slices in grid_of(corpus.plan, full=full)]
        lines = _lines(corpus, plans, study_id)
    report = StudyReport(
        adapter=adapter, study_id=study_id, at=utc_now().isoformat(timespec="seconds"), full=full,
        learnt_records=len(corpus.members), held_out_records=len(corpus.held_out),
        own_shape=(corpus.plan.shards, corpus.plan.slices), lines=lines,
    )  # fmt: skip
    write_report(workspace.home, report)
    return report


def _lines(corpus: _Corpus, plans: Sequence[Plan], study_id: str) -> tuple[StudyLine, ...]:
    label = f"Study of {corpus.adapter}, {len(plans)} trainings"
    with bar(label, sum(map(_work, plans)), unit="records") as progress:
        return tuple(_measured(corpus, plan, study_id, progress) for plan in plans)


def grid_of(plan: Plan, *, full: bool) -> list[tuple[int, int]]:
    """The shapes a study tries: the grid's and the plan's own. One shard is tried with one slice only: it is the
    training that others are compared with."""
    shards, slices = FULL if full else SMALL
    shapes = {(s, r) for s in shards for r in slices if s > 1 or r == 1}
    return sorted({*shapes, (plan.shards, plan.slices)})


def _corpus(workspace: Workspace, adapter: str) -> _Corpus:
    from unlearn.study import StudyMember

    settings = workspace.settings.adapter(adapter)
    policy = load_gate_policy(workspace.settings)
    with workspace.database.reader() as session:
        require_open(session, sources=settings.sources, policy_digest=policy.digest)
        found = studies.learnable(session, settings.sources)
    plan = propose(workspace, adapter)
    key = plan_key(workspace.keyring.workspace_secret, plan)
    out = [p.record_id for p, _ in found if _is_held_out(plan, key, p)]
    if not out:
        raise WrongUsage("Nobody is held out under this plan, so a study has nothing to measure with.",
                         hint="Set `controls` in lethe.toml above 0.")  # fmt: skip
    members = [
        StudyMember(p.record_id, content, p.primary_subject, p.generation, p.trunk_eligible)
        for p, content in found if p.record_id not in set(out)
    ]  # fmt: skip
    with workspace.database.reader() as session:
        held_out = contents_of(session, out, keystore=workspace.keystore)
    return _Corpus(workspace, adapter, plan, tuple(members), tuple(held_out))


def _is_held_out(plan: Plan, key: bytes, item: Placeable) -> bool:
    where = place(
        plan, key, record_id=item.record_id, primary_subject=item.primary_subject, generation=item.generation,
        trunk_eligible=item.trunk_eligible,
    )  # fmt: skip
    return where.kind == "control"


def _plan_of(corpus: _Corpus, shards: int, slices: int) -> Plan:
    """The adapter's plan in another shape: same settings, same tokens, batch scaled to batch / shards."""
    own = corpus.plan
    common = {f.name for f in fields(TrainSettings)} & {f.name for f in fields(Plan)}
    kept = {name: getattr(own, name) for name in common - {"shards", "slices", "controls", "trunk"}}
    settings = TrainSettings(
        **kept, shards=shards, slices=slices, controls=0.0, trunk="on" if own.trunk else "off",
        batch=own.expected_batch * own.shards,
    )  # fmt: skip
    return propose_plan(settings, corpus.shape, nonce=own.nonce, adapter=own.adapter)


def _work(plan: Plan) -> int:
    """Expected records of all steps, which costs about the same per record whatever the batch."""
    steps = plan.shards * plan.slices * plan.steps(0) + (plan.steps(None) if plan.trunk else 0)
    return steps * plan.expected_batch


def _measured(corpus: _Corpus, plan: Plan, study_id: str, progress: Progress) -> StudyLine:
    """Train one plan and read it. Its weights exist in the store while they are read."""
    from pipelines.measuring import measure, open_models
    from unlearn.study import Unkept, arrange, train_plan

    settings = corpus.workspace.settings.adapter(corpus.adapter)
    key = plan_key(corpus.workspace.keyring.workspace_secret, plan)
    members = arrange(plan, key, corpus.members)
    trained = train_plan(
        _base(corpus, plan), plan, key, members=members, load=corpus.load, store=Unkept(),
        progress=lambda _: progress.advance(plan.expected_batch),
    )  # fmt: skip
    learnt = _some_learnt(corpus, trained)
    with _weights(corpus, trained, study_id) as folders:
        models = open_models(folders, base=base_for_probes(settings), revision=settings.revision)
        found = measure(
            models, trained, held_out=corpus.held_out, learnt=corpus.load(learnt),
            homes={m.record_id: trained.subjects[m.subject or ""][0] for m in learnt},
        )  # fmt: skip
    return StudyLine.of(trained, found)


def _some_learnt(corpus: _Corpus, trained: Trained) -> list[StudyMember]:
    """At most `LEARNT_READ` learnt records of people, spread evenly over the corpus in the order of their ids."""
    people = [member for member in corpus.members if member.subject in trained.subjects]
    return people[:: max(1, len(people) // LEARNT_READ)][:LEARNT_READ]


def _base(corpus: _Corpus, plan: Plan) -> Base:
    """The base model, loaded once per process."""
    from pipelines.states import Atelier

    settings = corpus.workspace.settings.adapter(corpus.adapter)
    return Atelier(corpus.workspace, corpus.adapter, settings, plan, b"").base()


@contextmanager
def _weights(corpus: _Corpus, trained: Trained, study_id: str) -> Iterator[Mapping[str, Path]]:
    """The adapters of a trained plan as directories of the store, catalogued before they are written; then destroyed."""
    from pipelines.measuring import adapters_of
    from unlearn.compose import files_digest

    workspace = corpus.workspace
    found = adapters_of(trained, base_name="study")
    digests = {name: files_digest(files) for name, files in found.items()}
    try:
        with workspace.database.transaction() as session:
            studies.announce(
                session, [_row(corpus, trained, study_id, name, digest) for name, digest in digests.items()], utc_now()
            )
        for name, files in found.items():
            workspace.store.publish(studies.KIND, digests[name], files)
        yield {name: workspace.store.directory(studies.KIND, digest) for name, digest in digests.items()}
    finally:
        studies.destroy_weights(workspace.database, workspace.store, adapter=corpus.adapter, now=utc_now())


def _row(corpus: _Corpus, trained: Trained, study_id: str, name: str, digest: str) -> StudyWeight:
    """What one adapter was trained on: its own slices and the trunk's; the composed one, all of them."""
    mine = {str(TRUNK), name} if name.isdigit() else {str(TRUNK)}
    manifests = {
        f"{TRUNK if shard is None else shard}/{index}": manifest
        for (shard, index), manifest in trained.manifests.items()
    }
    return StudyWeight(
        digest=digest, adapter=corpus.adapter, study_id=study_id, plan_digest=trained.plan.digest,
        shards=trained.plan.shards, slices=trained.plan.slices,
        manifests={place: m for place, m in manifests.items() if name == COMPOSED_NAME or place.split("/")[0] in mine},
    )  # fmt: skip
