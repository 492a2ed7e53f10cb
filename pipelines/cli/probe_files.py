"""`lethe probe-files`: the membership attacks on one's own model and files, without a workspace."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from pipelines.cli.options import json_option, say, show

if TYPE_CHECKING:
    from probes.group_attack import Attacked

FOLDER = click.Path(path_type=Path)
USUAL_RATE = 5e-4  # as `lr_peak` of an adapter of Lethe's


@click.command("probe-files")
@click.option("--adapter", type=FOLDER, required=True, help="PEFT folder of the adapter in question.")
@click.option("--base", type=FOLDER, required=True, help="Folder of its base model; 'tiny' is the built-in one.")
@click.option("--members", type=FOLDER, required=True, help="Records that the adapter was trained on.")
@click.option("--controls", type=FOLDER, required=True, help="Records of the same kind that it never saw.")
@click.option(
    "--out-adapter", "outs", type=FOLDER, multiple=True,
    help="Adapter of the same recipe that never saw the members; repeat it. Two or more bring RMIA and LiRA.",
)  # fmt: skip
@click.option(
    "--self-prompt", "rate", type=click.FloatRange(min=0, min_open=True), is_flag=False, flag_value=USUAL_RATE, metavar="[RATE]",
    help="Calibrate by a reference that is trained on what the adapter writes when a quarter of the controls begin; "
    f"at the learning rate of the adapter, {USUAL_RATE:g} if none is given.",
)  # fmt: skip
@click.option(
    "--max-length",
    type=click.IntRange(min=2),
    help="Tokens of a record that are read; else 1,024 or what the base takes.",
)
@click.option(
    "--base-renamed", is_flag=True, help="The base's folder has another name than the adapter's config gives it."
)
@click.option("--report", type=FOLDER, help="Folder for attack.html, a page with a picture.")
@json_option
def probe_files(  # noqa: PLR0913 - one option per fact
    adapter: Path, base: Path, members: Path, controls: Path, outs: tuple[Path, ...], rate: float | None,
    max_length: int | None, base_renamed: bool, report: Path | None, as_json: bool,
) -> None:  # fmt: skip
    """Attack an adapter of your own: does it tell its training records from others? No workspace, nothing is kept.

    Files are JSONL, CSV, Parquet or datasets folders with `text`, `prompt` and `completion`, or `messages`, as for
    `lethe ingest`; `subjects` may be missing. Scores are compared group against group, which says nothing about one
    person; for that there is `lethe probe`.

    \b
    Example:
      lethe probe-files --adapter my-lora --base llama --members trained.jsonl --controls unseen.jsonl
      lethe probe-files --adapter my-lora --base llama --members trained.jsonl --controls unseen.jsonl \\
          --out-adapter other-1 --out-adapter other-2 --report attack/
      lethe probe-files --adapter my-lora --base llama --members trained.jsonl --controls unseen.jsonl --self-prompt 0.0002
    """
    from pipelines.own_files import attack_files, base_folder
    from probes.group_page import as_json as body_of
    from probes.group_page import write_attack
    from probes.suspect import Suspect

    folder = base_folder(base)
    suspect = Suspect(folder, adapter, outs, renamed=base_renamed or folder != base)
    found, refused = attack_files(suspect, members, controls, max_length=max_length, self_prompt_rate=rate)
    written = write_attack(found, report) if report else None
    body = body_of(found) | {"refused_lines": refused, "page": str(written) if written else None}
    show(body, as_json=as_json, lines=lambda: _lines(found, refused, written))


def _lines(found: Attacked, refused: dict[str, dict[str, str]], written: Path | None) -> None:
    from probes.group_attack import RATES
    from probes.group_page import claims, gaps, group_sentence, headline, table

    say(f"{group_sentence('members', found.members)}. {group_sentence('controls', found.controls)}.")
    for name, lines in refused.items():
        for line, reason in list(lines.items())[:3]:
            say(f"  {name}, line {line}: {reason}")
        if len(lines) > 3:
            say(f"  {name}: {len(lines) - 3:,} more lines refused; --json names them all")
    say(headline(found))
    titles = ("score", "AUC", "95% interval", "p", *(f"found at {100 * rate:g}%" for rate in RATES))
    say()
    for row in (titles, *table(found)):
        say(f"  {row[0]:<20}{row[1]:>6}  {row[2]:>15}  {row[3]:>8}" + "".join(f"  {cell:>18}" for cell in row[4:]))
    for gap in gaps(found):
        say(f"  –  {gap}")
    say("\nThe first score was fixed beforehand. What this may and may not say:")
    for claim in claims(found):
        say(f"  * {claim}")
    if written:
        say(f"\n{written}")
