"""`lethe review`: what a human must look at."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click

from pipelines.cli.options import acting, actor_option, json_option, opened, say, show, workspace_option


@click.group("review")
def review_group() -> None:
    """The quarantine: records a human must look at before they may be learnt."""


@review_group.command("list")
@workspace_option
@json_option
def review_list(workspace_dir: Path | None, as_json: bool) -> None:
    """List quarantined and blocked records by reason and age."""
    from lineage.review import queue

    workspace = opened(workspace_dir)
    with workspace.database.reader() as session:
        items = queue(session)
    if as_json:
        show([asdict(item) for item in items], as_json=True, lines=lambda: None)
        return
    for item in items:
        say(
            f"{item.record_id[:16]}  {item.status:11}  {item.reason:22}  {item.source}  since {item.since:%Y-%m-%d %H:%M}"
        )
    say(f"{len(items)} records." if items else "Nothing waits for review.")


@review_group.command("show")
@click.argument("record")
@workspace_option
@actor_option
def review_show(record: str, workspace_dir: Path | None, actor_name: str) -> None:
    """Show a record with its findings masked. RECORD is an id or the beginning of one."""
    from lineage.review import masked

    workspace = opened(workspace_dir)
    with workspace.database.reader() as session:
        acting(session, actor_name)
        for line in masked(session, record, keystore=workspace.keystore):
            say(line)


@review_group.command("release")
@click.argument("records", nargs=-1, required=True)
@workspace_option
@actor_option
def review_release(records: tuple[str, ...], workspace_dir: Path | None, actor_name: str) -> None:
    """Admit quarantined records as they are kept (redactable findings are constants in them already)."""
    from lineage.review import release
    from pipelines.ingest import load_gate_policy, utc_now

    workspace = opened(workspace_dir)
    policy = load_gate_policy(workspace.settings)
    with workspace.database.transaction() as session:
        actor = acting(session, actor_name)
        for record in records:
            release(session, record, actor=actor, policy_digest=policy.digest, now=utc_now())
    say(f"{len(records)} released. Train to learn from them: lethe train")


@review_group.command("block")
@click.argument("records", nargs=-1, required=True)
@workspace_option
@actor_option
def review_block(records: tuple[str, ...], workspace_dir: Path | None, actor_name: str) -> None:
    """Refuse quarantined records for good; their text is shredded."""
    from lineage.review import block
    from pipelines.ingest import utc_now

    workspace = opened(workspace_dir)
    with workspace.database.transaction() as session:
        actor = acting(session, actor_name)
        doomed = [block(session, record, actor=actor, now=utc_now()) for record in records]
    workspace.keystore.shred([f"record:{record_id}" for record_id in doomed])
    say(f"{len(records)} blocked; their text is gone.")
