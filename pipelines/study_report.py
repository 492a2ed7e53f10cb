"""What a study found, as values, as a table and as JSON; counts, losses and costs, nothing of any record."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from lineage.durable import write_whole

if TYPE_CHECKING:
    from pipelines.measuring import Measured
    from unlearn.study import Trained

__all__ = ["Files", "StudyLine", "StudyReport", "files_of", "read_report", "table", "write_report"]


@dataclass(frozen=True)
class StudyLine:
    """One plan. Losses are in nats per token on people nothing was trained on; `cheaper_*` says how many times less one
    erasure (a closure in one shard, training only) costs than a full retrain with its trunk. `*_auc` is how well a loss
    tells a learnt record from a held-out one, 0.5 is chance."""

    shards: int
    slices: int
    batch: int
    steps: int
    rank: int
    trunk: bool
    base_nll: float
    trunk_nll: float | None
    shard_nll: float
    composed_nll: float
    shard_auc: float
    composed_auc: float
    cheaper_steps: float
    cheaper_tokens: float
    cheaper_cpu: float
    full_cpu_s: float

    @classmethod
    def of(cls, trained: Trained, found: Measured) -> StudyLine:
        """The line of a trained plan."""
        from unlearn.study import full_retrain, one_erasure

        plan, full, one = trained.plan, full_retrain(trained), one_erasure(trained)

        def times(whole: float, part: float) -> float:
            return round(whole / part, 2) if part else math.inf

        return cls(
            shards=plan.shards, slices=plan.slices, batch=plan.expected_batch, steps=round(full.steps),
            rank=plan.shards * plan.lora_r, trunk=trained.trunk is not None, **asdict(found),
            cheaper_steps=times(full.steps, one.steps), cheaper_tokens=times(full.tokens, one.tokens),
            cheaper_cpu=times(full.cpu_s, one.cpu_s), full_cpu_s=round(full.cpu_s, 2),
        )  # fmt: skip


@dataclass(frozen=True)
class StudyReport:
    """A study, whole. `own_shape` is (shards, slices) of the adapter's plan."""

    adapter: str
    study_id: str
    at: str
    full: bool
    learnt_records: int
    held_out_records: int
    own_shape: tuple[int, int]
    lines: tuple[StudyLine, ...] = field(repr=False)

    @property
    def unsharded(self) -> StudyLine:
        """The training the others are compared with."""
        return min(self.lines, key=lambda line: (line.shards, line.slices))

    def worse(self, line: StudyLine) -> float:
        """By which share the composed adapter's held-out loss is above that of the unsharded training."""
        return line.composed_nll / self.unsharded.composed_nll - 1


@dataclass(frozen=True)
class Files:
    """Where a study of an adapter is written; the JSON last."""

    data: Path
    text: Path
    plot: Path


def files_of(home: Path, adapter: str) -> Files:
    """The files of an adapter's newest study."""
    folder = home / "studies" / adapter
    return Files(folder / "study.json", folder / "study.txt", folder / "study.png")


def write_report(home: Path, report: StudyReport) -> Files:
    """Write plot, table and JSON, the JSON last: with it the study counts as done."""
    from pipelines.study_plot import plot

    files = files_of(home, report.adapter)
    write_whole(files.plot, plot(report))
    write_whole(files.text, ("\n".join(table(report)) + "\n").encode())
    write_whole(files.data, (json.dumps(asdict(report), indent=1) + "\n").encode())
    return files


def read_report(home: Path, adapter: str) -> StudyReport | None:
    """The newest study of an adapter, or None."""
    path = files_of(home, adapter).data
    if not path.exists():
        return None
    body = json.loads(path.read_text(encoding="utf-8"))
    lines = tuple(StudyLine(**line) for line in body.pop("lines"))
    return StudyReport(**body | {"own_shape": tuple(body["own_shape"])}, lines=lines)


def table(report: StudyReport) -> Sequence[str]:
    """The study as lines of text."""
    head = (
        f"Study of {report.adapter}, {report.at}: {report.learnt_records} records learnt, {report.held_out_records} held out; "
        f"base {report.unsharded.base_nll:.3f}" + _trunk(report)
    )
    titles = "    S   R  rank  held-out loss  above S=1  one shard  one erasure is   memory: shard  composed"
    return [head, titles, *(_row(report, line) for line in report.lines), LEGEND]


LEGEND = (
    "  Loss in nats per token on people who were never trained on. An erasure that touches one shard is so many times\n"
    "  cheaper than a full retrain (tokens). Memory: how well the loss tells a learnt record from a stranger's, 0.5 is chance."
)


def _trunk(report: StudyReport) -> str:
    found = [line.trunk_nll for line in report.lines if line.trunk_nll is not None]
    return f", trunk alone {sum(found) / len(found):.3f}" if found else ", no trunk"


def _row(report: StudyReport, line: StudyLine) -> str:
    mark = "*" if (line.shards, line.slices) == report.own_shape else " "
    return (
        f"  {mark}{line.shards:2}  {line.slices:2}  {line.rank:4}  {line.composed_nll:13.4f}  {report.worse(line):+9.1%}  "
        f"{line.shard_nll:9.4f}  {line.cheaper_tokens:6.1f} x cheaper  {line.shard_auc:13.2f}  {line.composed_auc:8.2f}"
    )
