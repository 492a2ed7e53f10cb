"""`lethe erase decide|hold`: what a DPO decides about single records of a case, and what a legal hold keeps."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from lineage.errors import WrongUsage
from pipelines.cli.options import acting, actor_option, json_option, opened, say, show, workspace_option

if TYPE_CHECKING:
    from lineage.access import Actor
    from lineage.case_view import CaseView
    from lineage.workspace import Workspace

__all__ = ["actor_of", "decide", "hold", "tell_case", "this_moment"]


def this_moment() -> datetime:
    """The time of a decision."""
    return datetime.now(UTC)


def actor_of(workspace: Workspace, name: str) -> Actor:
    """The member of staff behind `--as`."""
    with workspace.database.reader() as session:
        return acting(session, name)


def tell_case(case: CaseView, as_json: bool) -> None:
    """Print where a case stands after a step."""
    body = {name: getattr(case, name) for name in case.__dataclass_fields__}
    beside = f"  ({', '.join(case.beside)})" if case.beside else ""
    show(body, as_json=as_json, lines=lambda: say(f"{case.id}  {case.stage}  due {case.due_on}{beside}"))


@click.command("decide")
@click.argument("case_id")
@click.argument("record")
@click.argument("decision", type=click.Choice(["keep", "erase", "redact", "unrelated", "leave-out", "as-found"]))
@click.option("--exception", type=click.Choice(list("abcde")), help="With keep: the letter of Art. 17(3).")
@click.option("--reason", default="", help="With keep: why, in a sentence without personal data.")
@workspace_option
@actor_option
@json_option
def decide(  # noqa: PLR0913 - one option per line of the form
    case_id: str, record: str, decision: str, exception: str | None, reason: str, workspace_dir: Path | None,
    actor_name: str, as_json: bool,
) -> None:  # fmt: skip
    """Decide about one record of a case; the preview is then made anew, and an approval is taken back.

    RECORD is the handle that the preview lists, or its beginning. A record of others that may be a near copy is to erase, or
    unrelated; until that is decided nothing can be approved. A record that the case holds stops the whole
    purge unless it is left out: then it stays, nothing learns from it, and a case of its own opens when the hold is lifted.

    \b
    Examples:
      lethe erase decide CASE 3f2a9c1b04de unrelated --as dana
      lethe erase decide CASE 3f2a9c1b04de keep --exception b --reason "Tax law, six years." --as dana
      lethe erase decide CASE 3f2a9c1b04de leave-out --as dana
      lethe erase decide CASE 3f2a9c1b04de as-found --as dana
    """
    from lineage import desk
    from lineage.decisions import Choice

    workspace = opened(workspace_dir)
    choice = Choice(decision, exception or "", reason)
    actor = actor_of(workspace, actor_name)
    tell_case(desk.decide_record(workspace, case_id, record, choice, actor=actor, now=this_moment()), as_json)


@click.command("hold")
@click.argument("case_id")
@click.option("--record", help="Hold one record only: its handle, or the beginning of it.")
@click.option("--reason", default="", help="Why, in a sentence without personal data.")
@click.option("--lift", is_flag=True, help="Lift the hold.")
@workspace_option
@actor_option
def hold(
    case_id: str, record: str | None, reason: str, lift: bool, workspace_dir: Path | None, actor_name: str
) -> None:
    """Place a legal hold (Art. 17(3)(e)), or lift it. A hold wins at any time before destruction.

    \b
    Examples:
      lethe erase hold CASE --reason "pending claim" --as dana
      lethe erase hold CASE --record 3f2a9c1b04de --reason "pending claim" --as dana
      lethe erase hold CASE --lift --as dana
    """
    from lineage import desk

    if bool(reason) == lift:
        raise WrongUsage("Give either --reason or --lift.")
    workspace = opened(workspace_dir)
    actor = actor_of(workspace, actor_name)
    if record is None:
        desk.hold(workspace, case_id, actor=actor, reason=reason, now=this_moment())
    else:
        case = desk.hold_record(workspace, case_id, record, actor=actor, reason=reason, now=this_moment())
        if case.id != case_id:
            say(f"The record goes on in {case.id}, due {case.due_on}.")
    say(f"{case_id}: hold {'lifted' if lift else 'placed'}.")
