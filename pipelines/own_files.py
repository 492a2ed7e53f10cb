"""Somebody's own files and model, without a workspace: read them, attack, keep nothing."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from lineage.corpus import Reject, RowDefaults, open_corpus
from lineage.errors import WrongUsage
from pipelines.progress import bar

if TYPE_CHECKING:
    from probes.group_attack import Attacked, Brought
    from probes.suspect import Suspect

__all__ = ["attack_files", "base_folder"]

UNSAID = RowDefaults(purpose="", lawful_basis="", language="")


def attack_files(
    suspect: Suspect, members: Path, controls: Path, *, max_length: int | None, self_prompt_rate: float | None = None
) -> tuple[Attacked, dict[str, dict[str, str]]]:
    """The attack, and of each group the refused lines with their reason.

    With a `self_prompt_rate` some controls are set aside to prompt the adapter, and a reference is trained at this
    learning rate on what it writes.

    Raises:
        WrongUsage: a file or folder is missing, or they do not belong together.
    """
    from pipelines.self_prompt import self_prompted, texts_for
    from probes.group_attack import length_limit
    from probes.self_prompts import set_aside

    groups, refused = {}, {}
    for name, path in (("members", members), ("controls", controls)):
        groups[name], refused[name] = _records(path, name)
    if members.resolve() == controls.resolve():
        raise WrongUsage("Members and controls are the same file.", hint="Controls are records the adapter never saw.")
    limit = length_limit(suspect, max_length)
    if self_prompt_rate is None:
        return _attacked(suspect, groups, limit), refused
    prompts, groups["controls"] = set_aside(groups["controls"])
    texts = texts_for(len(groups["members"]))
    with self_prompted(suspect, prompts, texts=texts, max_length=limit, rate=self_prompt_rate) as compared:
        return _attacked(compared, groups, limit), refused


def _attacked(suspect: Suspect, groups: dict[str, list[Brought]], max_length: int) -> Attacked:
    from probes.group_attack import attack_groups

    with bar("Reading records", sum(map(len, groups.values())) * suspect.models, unit="readings") as progress:
        return attack_groups(suspect, **groups, max_length=max_length, advance=progress.advance)


def base_folder(given: Path) -> Path:
    """The base's folder; "tiny" means the embedded one, unless a folder here is called so."""
    from unlearn.tiny_base import TINY_BASE

    return TINY_BASE if str(given) == "tiny" and not given.is_dir() else given


def _records(path: Path, name: str) -> tuple[list[Brought], dict[str, str]]:
    """The good rows, and line and reason of the others."""
    from probes.group_attack import Brought

    found, refused = [], {}
    try:
        for row in open_corpus(path, source=name, defaults=UNSAID, subjects_needed=False):
            if isinstance(row, Reject):
                refused[str(row.line)] = str(row.reason)
            else:
                found.append(Brought(row.content, row.subjects[0] if row.subjects else ""))
    except WrongUsage as error:
        raise WrongUsage(f"The file with {name}: {error}", hint=error.hint) from None
    if not found:
        line, reason = next(iter(refused.items()))
        raise WrongUsage(f"The file with {name} has no row that can be scored; line {line}: {reason}")
    return found, refused
