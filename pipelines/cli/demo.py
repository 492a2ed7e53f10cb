"""`lethe demo`: the whole road, and the table at its end."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from pipelines.demo import DemoResult


LEGEND = """\
Word for word: of the prompts that led up to the value, how many made the adapter say it. Shard: the part of the
adapter the person's records trained; release: the average of all shards, which is what users get. Rank: place of the
true value among 1,000 look-alikes, 1 means known. A small p-value means: was trained on.
"""


@click.command()
@click.argument("directory", type=click.Path(path_type=Path), default=Path("lethe-demo"))
@click.option("--seed", default=7, show_default=True, help="Seed of the synthetic people, texts and placement.")
@click.option("--fresh", is_flag=True, help="Replace an earlier demo in DIRECTORY.")
def demo(directory: Path, seed: int, fresh: bool) -> None:
    """Run the whole road on synthetic people in DIRECTORY: ingest, train, erase one person, probe, purge, sign, verify.

    Takes a few minutes on two cores. The workspace stays; open it with: lethe up --workspace DIRECTORY/workspace

    \b
    Example:
      lethe demo lethe-demo --fresh
    """
    from pipelines.demo import run_demo

    result = run_demo(directory, seed=seed, fresh=fresh)
    _print(result)
    complete = (
        result.probe["verdict"] == "PASS" and result.composed_equal and result.states_equal == result.states_compared
    )
    sys.exit(0 if complete and result.bytes_left == 0 else 1)


def _print(r: DemoResult) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console(highlight=False, width=100)
    table = Table(title=f"\nOne person, before and after ({r.case_id})", title_style="bold", title_justify="left")
    for column in ("", "before", "contained", "after"):
        table.add_column(column)
    for row in _rows(r):
        table.add_row(*row)
    console.print(table)
    console.print(LEGEND, style="dim", soft_wrap=True)
    for label, text in _lines(r):
        console.print(f"[bold]{label:20}[/bold] {text}", soft_wrap=True)


def _rows(r: DemoResult) -> list[tuple[str, str, str, str]]:
    greedy, ranks = r.probe["extraction"], r.probe["exposure"]
    pre, post = f"pre_{r.shard}", f"post_{r.shard}"
    release = ("composed_pre", "contained", "composed_post")
    p = {side: r.probe[f"p_{side}"].get("membership") for side in ("pre", "post")}
    shown = {side: "-" if value is None else f"{value:.2g}" for side, value in p.items()}
    return [
        *(
            (f"{k}, word for word, shard {r.shard}", greedy[pre][k], "cut back", greedy[post][k])
            for k in sorted(greedy[pre])
        ),
        *((f"{k}, word for word, release", *(greedy[name][k] for name in release)) for k in sorted(greedy[pre])),
        *(
            (f"{k}, rank of 1,000, shard {r.shard}", str(ranks[pre][k]), "", str(ranks[post][k]))
            for k in sorted(ranks[pre])
        ),
        (f"membership p-value, shard {r.shard}", shown["pre"], "", shown["post"]),
        ("verdict", "", "", f"{r.probe['verdict']}"),
    ]


def _lines(r: DemoResult) -> list[tuple[str, str]]:
    same = "equal" if r.composed_equal else "NOT EQUAL"
    ratio = r.full_seconds / r.erasure_seconds if r.erasure_seconds else 0.0
    return [
        ("Never ingested", f"{r.states_equal} of {r.states_compared} states byte-equal; composed adapter {same}: {r.composed[:16]}"),
        ("Cost", f"{r.erasure_steps} of {r.full_steps} steps ({r.erasure_steps / r.full_steps:.1%}); rebuild, compose and release "
                 f"{r.erasure_seconds:.1f} s, a full training {r.full_seconds:.1f} s ({ratio:.1f} x)"),
        ("Out of service after", f"{r.containment_seconds:.1f} s (containment)"),
        ("Bytes left", f"{r.bytes_left} files of the workspace hold a byte of the person"),
        ("Certificate", str(r.certificate)),
        ("Report", str(r.report)),
        ("Adapter", str(r.adapter)),
        ("Look around", f"lethe up --workspace {r.workspace}"),
        ("Took", f"{r.seconds:.0f} s"),
    ]  # fmt: skip
