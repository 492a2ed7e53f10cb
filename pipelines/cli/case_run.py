"""`lethe erase run`: carry out approved cases, several in one window."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from lineage.errors import LetheError, WrongUsage
from pipelines.cli.case_decide import actor_of
from pipelines.cli.options import actor_option, json_option, opened, say, show, workspace_option

if TYPE_CHECKING:
    from lineage.case_view import CaseView
    from lineage.dossier import CaseDossier


@click.command("run")
@click.argument("case_ids", metavar="CASE...", nargs=-1)
@click.option(
    "--all", "everything", is_flag=True, help="Every approved case that is not held, earliest due date first."
)
@workspace_option
@actor_option
@json_option
def run(
    case_ids: tuple[str, ...], everything: bool, workspace_dir: Path | None, actor_name: str, as_json: bool
) -> None:
    """Contain, rebuild, re-derive and probe approved cases; goes on where a crash or a failure stopped them.

    Several cases form a window: each affected shard is rebuilt once for all of them. A case that cannot go on leaves the
    window with its reason; the exit code is then 1.

    \b
    Example:
      lethe erase run --all --as max
    """
    from lineage.dossier import read_case
    from lineage.stages import Stage
    from pipelines.launch import run_case_job
    from pipelines.windows import waiting_cases

    workspace = opened(workspace_dir)
    actor = actor_of(workspace, actor_name)
    if bool(case_ids) == everything:
        raise WrongUsage("Give either cases or --all.", hint="See them all: lethe erase list")
    wanted = waiting_cases(workspace) if everything else list(dict.fromkeys(case_ids))
    if not wanted:
        say("No case waits for its execution.")
        return
    problem: LetheError | None = None
    try:
        run_case_job(workspace, "case_erasure", *wanted, actor=actor)
    except LetheError as error:
        if len(wanted) == 1:
            raise
        problem = error
    found = [read_case(workspace, case_id, now=datetime.now(UTC)) for case_id in wanted]
    _tell_window(found, as_json)
    if problem:
        raise problem
    if any(dossier.case.stage != Stage.EVIDENCE_READY for dossier in found):
        raise SystemExit(1)


def _tell_window(found: list[CaseDossier], as_json: bool) -> None:
    """Where each case of a window stands now, when its person was out of service, and what is to be approved."""
    from lineage.stages import Stage

    bodies = [{name: getattr(d.case, name) for name in d.case.__dataclass_fields__} for d in found]

    def lines() -> None:
        for dossier in found:
            case, contained = dossier.case, dossier.evidence.get("containment")
            say(f"{case.id}  {case.stage}  due {case.due_on}")
            if contained:
                say(f"  out of service {float(contained['seconds_since_approval']):.0f} s after the approval, "
                    f"{float(contained['seconds']):.1f} s after this window began")  # fmt: skip
            if case.stage == Stage.EVIDENCE_READY:
                say(f"  approve the purge: lethe erase approve {case.id} --purge --digest {case.evidence_digest}")
            elif why := _why(case):
                say(f"  {why}")

    show(bodies[0] if len(bodies) == 1 else bodies, as_json=as_json, lines=lines)


def _why(case: CaseView) -> str:
    """Why a case left its window."""
    if case.hold_reason:
        return "under legal hold"
    if "ON_HOLD" in case.beside:
        return "a record of it is under legal hold"
    return case.problem or f"not carried out: it is at {case.stage}"
