"""`lethe plan`: what erasures will cost under an adapter's plan, and under plans of other shapes."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from lineage.errors import WrongUsage
from pipelines.cli.options import json_option, opened, say, show, workspace_option

if TYPE_CHECKING:
    from pipelines.pricing import Price
    from pipelines.study_report import StudyReport
    from unlearn.costs import GridRow

PRINTED_SHARDS = (1, 2, 4, 8, 12, 16)  # --json has all of 1 to 16
MEGABYTE = 1e6


@click.command()
@click.argument("adapter")
@click.option(
    "--export", "export", type=click.Path(path_type=Path), help="Write the frozen (or proposed) plan to a file."
)
@click.option(
    "--study", "study", is_flag=True, help="Train a small grid on this corpus, measure it, destroy its weights."
)
@click.option("--full", "full", is_flag=True, help="With --study: 1 to 16 shards with 1, 2 and 4 slices.")
@workspace_option
@json_option
def plan(adapter: str, export: Path | None, study: bool, full: bool, workspace_dir: Path | None, as_json: bool) -> None:
    """Print the plan of ADAPTER, what erasures will cost under it, and what they would under other shards and slices.

    A study measures on your own corpus how useful each shape stays. It takes about as long as six trainings (--full:
    as fourteen), and its table is shown here from then on.

    \b
    Example:
      lethe plan support
      lethe plan support --study                # writes a table and a picture, and says where
      lethe plan support --export plan.json     # then, elsewhere: lethe train support --plan plan.json
    """
    from pipelines.pricing import price_of

    if full and not study:
        raise WrongUsage("--full goes with --study.")
    workspace = opened(workspace_dir)
    if study:
        from pipelines.launch import study_adapter

        study_adapter(workspace, adapter, full=full)
    price = price_of(workspace, adapter)
    if export is not None:
        export.write_text(price.plan.to_json() + "\n", encoding="utf-8")
    show(_body(price), as_json=as_json, lines=lambda: _lines(adapter, price))


def _body(price: Price) -> dict[str, object]:
    return {
        "plan": json.loads(price.plan.to_json()) | {"digest": price.plan.digest},
        "frozen": price.frozen,
        "expected_cost": [asdict(cost) for cost in price.costs],
        "grid": [_row_body(row) for row in price.grid],
        "state": {"bytes": price.state_bytes, "measured": price.state_measured},
        "extra_adapters": {stage: asdict(cost) for stage, cost in zip(("first", "second"), price.extras, strict=True)},
        "measured": {"seconds": round(price.seconds, 2), "steps": price.steps},
        "canaries": price.canaries,
        "study": study_body(price.study) if price.study else None,
        "study_files": {name: str(path) for name, path in asdict(price.study_files).items()} if price.study else None,
    }


def study_body(report: StudyReport) -> dict[str, object]:
    """A study for programs; what could not be measured, such as the memory of a shard that nobody learnt in, is null."""
    lines = [
        {
            name: None if isinstance(value, float) and math.isnan(value) else value
            for name, value in asdict(line).items()
        }
        for line in report.lines
    ]
    return asdict(report) | {"lines": lines}


def _row_body(row: GridRow) -> dict[str, object]:
    """A shape for programs; steps are left out, because they are those of the plan's own schedule."""
    fractions = {str(cost.requests): round(cost.fraction, 6) for cost in row.costs}
    return {
        "shards": row.shards, "slices": row.slices, "fraction": fractions, "states": row.states,
        "state_bytes": row.state_bytes, "rank": row.rank, "own": row.own,
    }  # fmt: skip


def _lines(adapter: str, price: Price) -> None:
    plan = price.plan
    say(f"{adapter}: {plan.shards} shards x {plan.slices} slices, {plan.steps(0)} steps a slice, "
        f"trunk {'on' if plan.trunk else 'off'}, {plan.controls:.0%} of the people never trained on; "
        f"{'frozen' if price.frozen else 'not frozen yet'}.")  # fmt: skip
    for cost in price.costs:
        say(f"  {cost.requests:3} requests in one window: {cost.fraction:6.1%} of the shards' training, "
            f"{cost.affected_shards:.1f} shards, {cost.steps:.0f} of {cost.full_steps} steps")  # fmt: skip
    if price.steps:
        say(f"  Measured so far: {price.steps} steps in {price.seconds:.1f} s.")
    _storage(price)
    _extras(price)
    say(f"  {price.canaries}")
    if not plan.trunk:
        say("  No trunk: ingest records with an explicit empty subject list to have one; the average will be better.")
    for index, cost in enumerate(price.costs):
        many = "one request" if cost.requests == 1 else f"{cost.requests} requests in one window"
        _table(price, f"Share of the shards' training that {many} will repeat", lambda row, i=index: f"{row.costs[i].fraction:.1%}")  # fmt: skip
    if price.state_bytes is not None:
        _table(price, "Storage of the states, MB", lambda row: f"{(row.state_bytes or 0) / MEGABYTE:.1f}")
    _study(price)
    say("\n[ ] this plan. More shards and slices: cheaper erasures. More shards: a somewhat worse average.")


def _extras(price: Price) -> None:
    """What the probes may train besides."""
    first, second = price.extras
    if first.adapters:
        say(f"  The probes of a case train {first.adapters} extra out-adapters: {first.steps} steps, {first.fraction:.0%} of the shards' training.")  # fmt: skip
    say(f"  After a FAIL a second stage trains {second.adapters} more: {second.steps} steps, {second.fraction:.0%}. All are destroyed at the end.")  # fmt: skip


def _storage(price: Price) -> None:
    (own,) = [row for row in price.grid if row.own] or [None]
    if price.state_bytes is None or own is None:
        say("  The size of a state is not known before the base model is on this machine.")
        return
    how = "measured" if price.state_measured else "estimated"
    say(f"  Storage ({how}): {own.states} states of {price.state_bytes / MEGABYTE:.2f} MB, {(own.state_bytes or 0) / MEGABYTE:.1f} MB; "
        f"the composed adapter has rank {own.rank}.")  # fmt: skip


def _study(price: Price) -> None:
    from pipelines.study_report import table

    if price.study is None:
        say("\nHow useful each shape stays on this corpus is not measured yet: lethe plan ADAPTER --study")
        return
    say()
    for line in table(price.study):
        say(line)
    say(f"  {price.study_files.text}\n  {price.study_files.plot}")


def _table(price: Price, title: str, cell: Callable[[GridRow], str]) -> None:
    """Shards down, slices across, the plan's own shape in brackets."""
    slices = sorted({row.slices for row in price.grid})
    say(f"\n{title}\n  shards  rank" + "".join(f"{f'R={r}':>9}" for r in slices))
    for shards in sorted({*PRINTED_SHARDS, *(row.shards for row in price.grid if row.own)}):
        rows = [row for row in price.grid if row.shards == shards]
        say(f"  {shards:6}  {rows[0].rank:4}" + "".join(_cell(row, cell) for row in rows))


def _cell(row: GridRow, cell: Callable[[GridRow], str]) -> str:
    return f"{f'[{cell(row)}]':>9}" if row.own else f"{cell(row) + ' ':>9}"
