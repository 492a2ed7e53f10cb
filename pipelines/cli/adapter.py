"""`lethe train`, `lethe lineage`: adapters and what is in them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from lineage.errors import WrongUsage
from pipelines.cli.options import (
    json_option,
    opened,
    print_tree,
    read_lines,
    say,
    show,
    why_unreadable,
    workspace_option,
)

if TYPE_CHECKING:
    from pipelines.forecasting import TrainForecast
    from pipelines.launch import TrainReport


@click.command()
@click.argument("adapter", required=False)
@click.option(
    "--plan", "plan_file", type=click.Path(path_type=Path), help="Freeze this plan (from lethe plan --export)."
)
@click.option("--dry-run", is_flag=True, help="Say what would be placed and rebuilt, and why; write nothing.")
@workspace_option
@json_option
def train(
    adapter: str | None, plan_file: Path | None, dry_run: bool, workspace_dir: Path | None, as_json: bool
) -> None:
    """Build what is missing or stale of ADAPTER (all adapters, if not named), compose it and release it.

    Says first what it will rebuild and why. Training again does nothing; after a crash it goes on; after an erasure only
    the affected shards are rebuilt.

    \b
    Example:
      lethe train support --dry-run
    """
    from lineage import builds
    from pipelines.forecasting import forecast_training
    from pipelines.launch import train_adapter
    from unlearn.plan import Plan

    workspace = opened(workspace_dir)
    try:
        frozen = Plan.from_json(plan_file.read_text(encoding="utf-8")) if plan_file else None
    except OSError as error:
        raise WrongUsage(f"The plan file {why_unreadable(error)}.") from None
    found = {}
    for name in [adapter] if adapter else sorted(workspace.settings.adapters):
        told = forecast_training(workspace, name, frozen)
        if not as_json:
            _say_forecast(name, told)
        if dry_run:
            found[name] = asdict(told)
            continue
        report = train_adapter(workspace, name, frozen)
        with workspace.database.reader() as session:
            digest = builds.current_release(session, name) or ""
        path = workspace.store.directory("adapters", digest)
        numbers = asdict(report)
        found[name] = {**numbers.pop("placed"), **numbers, "release": digest, "directory": str(path)}
        if not as_json:
            _say_trained(name, report)
            say(f"  in service: {digest[:16]}, rank {report.rank}, {report.megabytes} MB  {path}")
    show(found, as_json=as_json, lines=lambda: None)


def _say_forecast(name: str, told: TrainForecast) -> None:
    """What will be placed and rebuilt, and why."""
    stale = [place for place in told.shards if place.rebuild]
    pace = "" if told.seconds is None else f", about {told.seconds:.0f} s"
    say(f"{name}: {'a new plan, ' if told.plan_is_new else ''}{told.to_place} records to place, {len(stale)} of "
        f"{len(told.shards)} places to build, {told.steps} steps, about {told.tokens} tokens{pace}.")  # fmt: skip
    if told.plan_is_new:
        say(f"  {told.canaries}")
    for place in stale:
        where = "the trunk" if place.shard is None else f"shard {place.shard}"
        kept = f"; {_slices(place.kept)} before it stay" if place.kept else ""
        say(f"  {where} from slice {place.first_slice}: {'; '.join(place.reasons)} "
            f"({_slices(place.rebuild)}, {place.steps} steps{kept})")  # fmt: skip
    if left := [str(place.shard) for place in told.shards if place.drifted and not place.rebuild]:
        say(f"  stay as they are, although their environment changed: shard {', '.join(left)}")


def _slices(found: Sequence[int]) -> str:
    return f"{len(found)} slice" + "s" * (len(found) != 1)


def _say_trained(name: str, report: TrainReport) -> None:
    """Where the records are, and what of them was too long."""
    placed = report.placed
    say(f"{name}: {placed.shard_records} records in {placed.shards} shards, {placed.trunk_records} in the trunk, "
        f"{placed.control_records} never trained on.")  # fmt: skip
    say(f"  {placed.canaries}")
    if report.truncated_records:
        say(f"  {report.truncated_records} records were cut at max_length and lost {report.cut_tokens} tokens; "
            "raise max_length in a new adapter if that matters.")  # fmt: skip
    if report.silenced_records:
        say(f"  Of {report.silenced_records} of them nothing was learnt: the whole answer lies behind max_length.")


@click.group("lineage")
def lineage_group() -> None:
    """Who fed what, in both directions. Ids are keyed pseudonyms; the beginning of one is enough."""


def _print(node: object, as_json: bool) -> None:
    from lineage.trace import Node

    if isinstance(node, Node):
        show(node.as_json(), as_json=as_json, lines=lambda: print_tree(node))


@lineage_group.command("subject")
@click.argument("key", required=False)
@click.option("--from-file", "source", type=click.Path(path_type=Path), help="File with an identifier; '-' is stdin.")
@workspace_option
@json_option
def lineage_subject(key: str | None, source: Path | None, workspace_dir: Path | None, as_json: bool) -> None:
    """Records, slices, states, adapters and releases a person's data is in. Without KEY an identifier is asked for.

    \b
    Example:
      echo "C-1007" | lethe lineage subject --from-file -
    """
    from lineage.subjects import find_subject
    from lineage.trace import trace_subject

    workspace = opened(workspace_dir)
    with workspace.database.reader() as session:
        if key is None:
            key = find_subject(session, read_lines(source, prompt="Identifier")[0], workspace.keyring)
        if key is None:
            raise WrongUsage("Nobody in this workspace is known by that identifier.")
        node = trace_subject(session, key)
    _print(node, as_json)


def _traced(name: str, argument: str, help_text: str, *, example: str) -> None:
    """A command that prints one lineage, by the function of `lineage.trace` that bears its name."""

    @lineage_group.command(name, help=f"{help_text}\n\n\b\nExample:\n  lethe lineage {name} {example}")
    @click.argument("given", metavar=argument)
    @workspace_option
    @json_option
    def command(given: str, workspace_dir: Path | None, as_json: bool) -> None:
        from lineage import trace

        workspace = opened(workspace_dir)
        with workspace.database.reader() as session:
            node = getattr(trace, f"trace_{name}")(session, given)
        _print(node, as_json)


_traced("record", "RECORD_ID", "Where one record went.", example="5f0c9a")
_traced(
    "adapter", "NAME_OR_DIGEST", "A composed adapter (by digest, or the one in service by name) down to its records.",
    example="support --json",
)  # fmt: skip
_traced("release", "ADAPTER", "Every release of an adapter, newest first.", example="support")
