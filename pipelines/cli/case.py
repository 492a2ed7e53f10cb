"""`lethe erase`: one case from filing to certificate. The console takes the same steps through the same functions."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from lineage.errors import WrongUsage
from pipelines.cli.case_decide import actor_of, decide, hold, tell_case, this_moment
from pipelines.cli.case_letter import letter, supplement, told
from pipelines.cli.case_lift import lift
from pipelines.cli.case_person import confirm, doubt, withdraw
from pipelines.cli.case_run import run
from pipelines.cli.case_show import files_told, open_, preview, show_
from pipelines.cli.keys import passphrase_file_option, passphrase_of
from pipelines.cli.options import actor_option, json_option, opened, read_lines, say, show, workspace_option

if TYPE_CHECKING:
    from lineage.workspace import Workspace


@click.group("erase")
def erase_group() -> None:
    """Erasure requests under Art. 17 GDPR.

    \b
    The road: file (intake) -> preview -> approve (DPO) -> run -> approve --purge (DPO) -> purge -> sign (DPO).
    `lethe up` runs preview, run and purge by itself as soon as they are due.
    """


for command_ in (run, show_, preview, open_, decide, hold, doubt, confirm, withdraw, lift, letter, told, supplement):
    erase_group.add_command(command_)


@erase_group.command("file")
@click.option(
    "--identity", required=True, help="How identity was established, e.g. 'signed in to the customer portal'."
)
@click.option(
    "--ground", type=click.Choice(list("abcdef")), default="b", show_default=True, help="Letter of Art. 17(1)."
)
@click.option("--only-consent", is_flag=True, help="Erase only what rests on consent (Art. 7(3)); with ground b.")
@click.option("--received", type=click.DateTime(["%Y-%m-%d"]), help="Day of receipt; today, when left out.")
@click.option("--from-file", "source", type=click.Path(path_type=Path), help="Identifiers, one per line; '-' is stdin.")
@workspace_option
@actor_option
@json_option
def file_(  # noqa: PLR0913 - one option per line of the form
    identity: str, ground: str, only_consent: bool, received: datetime | None, source: Path | None, workspace_dir: Path | None,
    actor_name: str, as_json: bool,
) -> None:  # fmt: skip
    """File a request. The person's identifiers come from a prompt, standard input or a file.

    \b
    Example:
      echo "C-1007" | lethe erase file --as ines --identity "signed in to the customer portal"
    """
    from lineage.desk import Intake, file_case

    workspace = opened(workspace_dir)
    identifiers = read_lines(source, prompt="Identifier of the person")
    day = received.date() if received else workspace.settings.day(this_moment())
    intake = Intake(identifiers, ground, identity, day, only_consent)
    tell_case(file_case(workspace, intake, actor=actor_of(workspace, actor_name), now=this_moment()), as_json)


@erase_group.command("list")
@click.option(
    "--alarm", "alarmed", is_flag=True, help="Only cases that have used up half of their time; exit 1 for any."
)
@workspace_option
@json_option
def list_(alarmed: bool, workspace_dir: Path | None, as_json: bool) -> None:
    """All cases by due date; with --alarm those whose time runs out, each level noted in the ledger once.

    \b
    Examples:
      lethe erase list
      lethe erase list --alarm
    """
    from lineage.alarms import raise_alarms
    from lineage.dossier import inbox

    workspace = opened(workspace_dir)
    standings = (raise_alarms if alarmed else inbox)(workspace, now=this_moment())
    body = [
        {
            "case": s.case.id, "stage": s.case.stage, "due": s.case.due_on, "days_left": s.days_left, "alarm": int(s.alarm),
            "beside": list(s.case.beside), "letter": s.letter and {"kind": s.letter.kind, "by": s.letter.by},
        }
        for s in standings
    ]  # fmt: skip

    def lines() -> None:
        for s in standings:
            used = f"  {int(s.alarm)}% of the time used" if alarmed else ""
            beside = f"  ({', '.join(s.case.beside)})" if s.case.beside else ""
            waits = f"  waits for {s.waits_for}" if s.waits_for else ""
            say(f"{s.case.id}  {s.case.stage:14}  due {s.case.due_on} ({s.days_left} days){used}{waits}{beside}")
        if not standings:
            say("No case is at an alarm." if alarmed else "No cases.")

    show(body, as_json=as_json, lines=lines)
    raise SystemExit(1 if alarmed and standings else 0)


@erase_group.command("approve")
@click.argument("case_id")
@click.option("--digest", required=True, help="Digest of what was read: the preview's, or with --purge the evidence's.")
@click.option("--purge", "purging", is_flag=True, help="Approve the destruction instead of the preview.")
@workspace_option
@actor_option
@json_option
def approve(
    case_id: str, digest: str, purging: bool, workspace_dir: Path | None, actor_name: str, as_json: bool
) -> None:
    """Approve a preview, or (--purge) the destruction. Bound to the digest of what was read.

    \b
    Example:
      lethe erase approve CASE --digest 41d8...07 --as dana
    """
    from lineage import desk

    workspace = opened(workspace_dir)
    decide = desk.approve_purge if purging else desk.approve
    tell_case(
        decide(workspace, case_id, actor=actor_of(workspace, actor_name), digest=digest, now=this_moment()), as_json
    )


@erase_group.command("not-found")
@click.argument("case_id")
@click.option("--digest", required=True, help="Digest of the search report that was read.")
@workspace_option
@actor_option
@json_option
def not_found(case_id: str, digest: str, workspace_dir: Path | None, actor_name: str, as_json: bool) -> None:
    """Decide that nothing of a person is held, on the report of a search that found nothing (Art. 11, 12(2)).

    \b
    Example:
      lethe erase not-found CASE --digest 41d8...07 --as dana
    """
    from lineage import desk

    workspace = opened(workspace_dir)
    actor = actor_of(workspace, actor_name)
    tell_case(desk.not_found(workspace, case_id, actor=actor, digest=digest, now=this_moment()), as_json)


@erase_group.command("probe")
@click.argument("case_id")
@workspace_option
@json_option
def probe(case_id: str, workspace_dir: Path | None, as_json: bool) -> None:
    """Print the verdict of a case. Exit 1 for FAIL.

    \b
    Example:
      lethe erase probe CASE --json
    """
    from lineage.dossier import read_case

    found = read_case(opened(workspace_dir), case_id, now=this_moment())
    if "probe" not in found.evidence:
        raise WrongUsage(f"Case {case_id} has not been probed yet.", hint=f"lethe erase run {case_id}")
    body = found.evidence["probe"]

    def lines() -> None:
        say(f"{case_id}: {body['verdict']} ({body['reason']}). {body['sentence']}")
        for adapter, judged in body["adapters"].items():
            if first := judged.get("first_stage"):
                say(f"  {adapter}: the first stage, with {first['K']} out-adapters, said {first['verdict']}; "
                    f"the second, with {judged['K']}, says {judged['verdict']} and decides.")  # fmt: skip

    show(dict(body), as_json=as_json, lines=lines)
    raise SystemExit(1 if body["verdict"] == "FAIL" else 0)


@erase_group.command("purge")
@click.argument("case_id")
@workspace_option
@actor_option
@json_option
def purge(case_id: str, workspace_dir: Path | None, actor_name: str, as_json: bool) -> None:
    """Destroy what was approved: text, keys, old states and adapters, derived files; then search every byte for what is left.

    \b
    Example:
      lethe erase purge CASE --as max
    """
    from lineage.dossier import read_case
    from pipelines.launch import run_case_job

    workspace = opened(workspace_dir)
    run_case_job(workspace, "case_purge", case_id, actor=actor_of(workspace, actor_name))
    found = read_case(workspace, case_id, now=this_moment())
    tell_case(found.case, as_json)
    for line in () if as_json else files_told(found):
        say(line)


@erase_group.command("retry")
@click.argument("case_id")
@workspace_option
@actor_option
@json_option
def retry(case_id: str, workspace_dir: Path | None, actor_name: str, as_json: bool) -> None:
    """Send a failed case back to the step that failed; then run or purge goes on there.

    \b
    Example:
      lethe erase retry CASE --as max
    """
    from lineage import desk

    workspace = opened(workspace_dir)
    tell_case(desk.retry(workspace, case_id, actor=actor_of(workspace, actor_name), now=this_moment()), as_json)


@erase_group.command("sign")
@click.argument("case_id")
@click.option("--digest", required=True, help="SHA-256 of the half-signed certificate that was read.")
@passphrase_file_option
@workspace_option
@actor_option
def sign(case_id: str, digest: str, passphrase_file: Path | None, workspace_dir: Path | None, actor_name: str) -> None:
    """Countersign the certificate with the DPO's key, whose passphrase is asked for each time.

    Bound to the digest of what was read; `erase show` tells it.

    \b
    Example:
      lethe erase sign CASE --digest 41d8...07 --as dana
    """
    from lineage import signing

    workspace = opened(workspace_dir)
    actor = actor_of(workspace, actor_name)
    signing.require_ready(workspace, case_id, actor=actor)
    passphrase = passphrase_of(workspace, passphrase_file)
    path = signing.sign(
        workspace, case_id, digest=digest, actor=actor, now=this_moment(), passphrase=passphrase
    )  # fmt: skip
    say(f"Signed: {path}")


def _decision(name: str, help_text: str, act: Callable[..., object]) -> None:
    """A command that records one decision with a reason."""

    example = f"\b\nExample:\n  lethe erase {name} CASE --reason '...' --as dana"

    @erase_group.command(name, help=f"{help_text}\n\n{example}")
    @click.argument("case_id")
    @click.option("--reason", required=True, help="Why, in a sentence without personal data.")
    @workspace_option
    @actor_option
    def command(case_id: str, reason: str, workspace_dir: Path | None, actor_name: str) -> None:
        workspace = opened(workspace_dir)
        act(workspace, case_id, actor=actor_of(workspace, actor_name), reason=reason, now=this_moment())
        say(f"{case_id}: {name} recorded.")


def _refuse(workspace: Workspace, case_id: str, **decision: object) -> None:
    from lineage import desk

    desk.refuse(workspace, case_id, **decision)  # type: ignore[arg-type]


def _extend(workspace: Workspace, case_id: str, **decision: object) -> None:
    from lineage import desk

    desk.extend(workspace, case_id, **decision)  # type: ignore[arg-type]


_decision("refuse", "Refuse a request (Art. 17(3), Art. 12(5)).", _refuse)
_decision("extend", "Extend the time limit by two months, once, in the first month (Art. 12(3)).", _extend)
