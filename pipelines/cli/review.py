"""`lethe review`: what a human must look at."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from datetime import timedelta
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import click

from lineage.errors import NotAcceptable, WrongUsage
from pipelines.cli.options import Command, acting, actor_option, json_option, opened, say, show, workspace_option

if TYPE_CHECKING:
    from lineage.review import Shown, Waiting, Which
    from lineage.rulings import Verb
    from lineage.workspace import Workspace

SHOWN_ROWS = 50
DONE = {"release": "released", "block": "blocked"}
AGES = {"h": "hours", "d": "days", "w": "weeks"}


class Age(click.ParamType):
    """A time span such as 14d; hours, days or weeks."""

    name = "AGE"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> timedelta:
        """Read one."""
        number, unit = value[:-1], value[-1:]
        if not (number.isascii() and number.isdigit() and len(number) < 6 and unit in AGES):
            self.fail("Write an age as 12h, 14d or 8w.", param, ctx)
        return timedelta(**{AGES[unit]: int(number)})


def which_options(command: Command) -> Command:
    """The filters that every command about many records shares."""
    for option in (
        click.option("--older-than", "age", type=Age(), help="In quarantine for at least that long, such as 14d."),
        click.option("--source", default="", help="Only of this source."),
        click.option("--reason", default="", help="Only with this reason, such as ambiguous_name (docs/policy.md)."),
    ):
        command = option(command)
    return command


def ruling_options(command: Command) -> Command:
    """What release and block are given: records or filters, a reason, and who rules."""
    for option in (
        json_option,
        actor_option,
        workspace_option,
        click.option("--yes", is_flag=True, help="Do not ask when records are meant by a filter."),
        click.option(
            "--because", required=True, metavar="CODE",
            help="Why: a code, never a sentence; --help of the group lists them.",
        ),
        which_options,
        click.argument("records", nargs=-1),
    ):  # fmt: skip
        command = option(command)
    return command


@click.group("review")
def review_group() -> None:
    """The quarantine: records a human must look at before they may be learnt.

    \b
    --because CODE, for release:  harmless, misread, person-clear, lawful
    --because CODE, for block:    personal, special-category, unclear, not-needed, bad-source
    """


@review_group.command("list")
@which_options
@click.option("--status", type=click.Choice(["quarantined", "blocked"]), default=None, help="Only of this status.")
@workspace_option
@json_option
def review_list(
    reason: str, source: str, age: timedelta | None, status: str | None, workspace_dir: Path | None, as_json: bool
) -> None:
    """Count quarantined and blocked records by reason, then list them, oldest first.

    \b
    Example:
      lethe review list --reason ambiguous_name --older-than 14d
    """
    from lineage.review import counted, queue

    workspace, which = opened(workspace_dir), _which(reason, source, age, status or "")
    with workspace.database.reader() as session:
        items = queue(session, which, keep_days=_keep_days(workspace))
    body = {"counts": counted(items), "records": [asdict(item) for item in items]}
    none = "Nothing matches the filter." if which.narrowed or status else "Nothing waits for review."
    show(body, as_json=as_json, lines=lambda: _list(items, counted(items)) if items else say(none))


@review_group.command("show")
@click.argument("record")
@workspace_option
@actor_option
@json_option
def review_show(record: str, workspace_dir: Path | None, actor_name: str, as_json: bool) -> None:
    """Show a record with its findings masked. RECORD is an id or the beginning of one. The look is logged.

    \b
    Example:
      lethe review show 5df8b2e9 --as dana
    """
    from lineage.review import look_at
    from pipelines.ingest import utc_now

    workspace = opened(workspace_dir)
    with workspace.database.reader() as session:
        actor = acting(session, actor_name)
    found = look_at(workspace, record, actor=actor, now=utc_now())
    show(asdict(found), as_json=as_json, lines=lambda: _show(found))


@review_group.command("release")
@ruling_options
def review_release(records: tuple[str, ...], **options: Any) -> None:
    """Admit quarantined records as they are kept: those named, or all that the filters mean, together or not at all.

    \b
    Example:
      lethe review release 5df8b2e9 --because harmless --as dana
      lethe review release --reason ambiguous_name --source tickets --older-than 30d --because person-clear --as dana
    """
    _rule("release", records, **options)


@review_group.command("block")
@ruling_options
def review_block(records: tuple[str, ...], **options: Any) -> None:
    """Refuse quarantined records for good; their text is shredded. Those named, or all that the filters mean.

    \b
    Example:
      lethe review block 5df8b2e9 --because unclear --as dana
      lethe review block --reason scan_failed --older-than 8w --because bad-source --as dana
    """
    _rule("block", records, **options)


@review_group.command("expire")
@workspace_option
@json_option
def review_expire(workspace_dir: Path | None, as_json: bool) -> None:
    """Block what nobody reviewed within [gate] quarantine_days. `lethe up` does this every night.

    \b
    Example:
      lethe review expire
    """
    from pipelines.launch import expire_quarantine

    workspace = opened(workspace_dir)
    expired, days = expire_quarantine(workspace), _keep_days(workspace)
    limit = f"after {days} days" if days else "never: [gate] quarantine_days is 0"
    show({"expired": expired, "days": days}, as_json=as_json, lines=lambda: say(f"{expired} expired ({limit})."))


def _rule(verb: Verb, records: tuple[str, ...], **options: Any) -> None:
    """The body of release and block; `options` are those of the decorators, by click's names."""
    from lineage.rulings import Ruling, rule
    from pipelines.ingest import utc_now

    workspace = opened(options["workspace_dir"])
    with workspace.database.reader() as session:
        actor = acting(session, options["actor_name"])
    ruling = Ruling(actor, options["because"], utc_now())
    ruling.check(verb)
    which = _which(options["reason"], options["source"], options["age"])
    meant = _meant(workspace, verb, records, which, yes=options["yes"])
    count = rule(workspace, verb, meant, ruling) if meant else 0
    end = "Train to learn from them: lethe train" if verb == "release" else "Their text is gone."
    body = {"records": count, "verb": verb, "because": ruling.because}
    say_it = f"{count} {DONE[verb]}." + (f" {end}" if count else "")
    show(body, as_json=options["as_json"], lines=lambda: say(say_it))


def _meant(workspace: Workspace, verb: Verb, records: Sequence[str], which: Which, *, yes: bool) -> list[str]:
    """The records that are named, or those of the filter after the count was shown and confirmed."""
    from lineage.review import queue
    from lineage.rulings import allowed

    if bool(records) == which.narrowed:
        raise WrongUsage("Name records, or say which by a filter; not both.", hint="See lethe review release --help.")
    if records:
        return list(records)
    with workspace.database.reader() as session:
        found = queue(session, which)
    items = allowed(found, verb)
    _told(verb, items, [i for i in found if i not in items and i.status == "quarantined"])
    if items and not yes and not _confirmed(f"{verb.capitalize()} these {len(items)}?"):
        raise NotAcceptable("You said no; nothing was changed.")
    return [item.record_id for item in items]


def _confirmed(question: str) -> bool:
    try:
        return click.confirm(question, err=True)
    except click.Abort:
        if sys.stdin.isatty():
            raise
        raise WrongUsage("Nobody is there to say yes; nothing was changed.", hint="Say it with: --yes") from None


def _told(verb: Verb, items: Sequence[Waiting], left: Sequence[Waiting]) -> None:
    """What a filter means, on standard error, so that --json stays JSON."""
    click.echo(f"{len(items)} records to {verb}: {_reasons(items)}", err=True)
    if left:
        why = Counter("in an open erasure case" if i.in_case else i.reason for i in left)
        told = ", ".join(f"{count} {reason}" for reason, count in why.most_common())
        click.echo(f"{len(left)} more match and are left: {told}", err=True)


def _reasons(items: Sequence[Waiting]) -> str:
    return ", ".join(f"{n} {reason}" for reason, n in Counter(i.reason for i in items).most_common()) or "none"


def _which(reason: str, source: str, age: timedelta | None, status: str = "quarantined") -> Which:
    from lineage.admit import Reason
    from lineage.review import Which
    from lineage.rulings import EXPIRED
    from pipelines.ingest import utc_now

    if reason and reason not in (known := (*get_args(Reason), EXPIRED)):
        close = get_close_matches(reason, known, n=1)
        hint = f"Did you mean {close[0]}?" if close else f"Reasons: {', '.join(sorted(known))}."
        raise WrongUsage("There is no such reason.", hint=hint)
    return Which(reason=reason, source=source, status=status, before=None if age is None else utc_now() - age)


def _keep_days(workspace: Workspace) -> int:
    return workspace.settings.gate.quarantine_days


def _list(items: Sequence[Waiting], counts: dict[str, Counter[str]]) -> None:
    for status, reasons in sorted(counts.items(), reverse=True):
        say(f"{sum(reasons.values())} {status}: " + ", ".join(f"{n} {reason}" for reason, n in reasons.most_common()))
    for item in items[:SHOWN_ROWS]:
        say(f"{item.record_id[:16]}  {item.status:11}  {item.reason:22}  {item.source}  "
            f"since {item.since:%Y-%m-%d %H:%M}  {_fate(item)}".rstrip())  # fmt: skip
    if len(items) > SHOWN_ROWS:
        say(f"and {len(items) - SHOWN_ROWS} more; narrow it, or --json")


def _fate(item: Waiting) -> str:
    if item.in_case:
        return "in an open erasure case"
    if item.expires:
        return f"expires {item.expires:%Y-%m-%d}"
    by = f" by {item.reviewer}" if item.reviewer else ""
    return f"{item.because}{by}" if item.because else ""


def _show(found: Shown) -> None:
    item = found.waiting
    say(f"record {item.record_id[:16]}  {item.source}  {item.reason}  since {item.since:%Y-%m-%d %H:%M}  {_fate(item)}")
    for seen in found.findings:
        say(f"  {seen.entity_type} (score {seen.score:.2f}, {seen.recognizer}) -> {seen.action}")
    for label, text in found.segments:
        say(f"  [{label}] {text}")
