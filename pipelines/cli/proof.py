"""`lethe verify` and `lethe ledger`: what others can check."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from pipelines.cli.options import Command, json_option, opened, say, show, workspace_option

if TYPE_CHECKING:
    from lineage.trusted import TrustedKeys


def key_options(command: Command) -> Command:
    """The trusted public keys; see `trusted_keys`."""
    for name, told in (
        ("--dpo-key", "The DPO's public key."), ("--pipeline-key", "The pipeline's public key."),
        ("--keys", "Folder with pipeline.pub and dpo.pub."),
    ):  # fmt: skip
        command = click.option(name, type=click.Path(path_type=Path), help=told)(command)
    return command


def trusted_keys(
    keys: Path | None, pipeline_key: Path | None, dpo_key: Path | None, *, workspace_dir: Path | None
) -> TrustedKeys:
    """The keys that were given, or else those of the workspace."""
    from lineage.settings import find_workspace, load_settings
    from lineage.trusted import load_trusted_keys

    if keys is None and pipeline_key is None and dpo_key is None:
        keys = load_settings(find_workspace(workspace_dir)).home / "secrets"
    return load_trusted_keys(pipeline_key=pipeline_key, dpo_key=dpo_key, keys=keys)


@click.command()
@click.argument("certificate", type=click.Path(path_type=Path))
@key_options
@click.option("--adapter", type=click.Path(path_type=Path), help="Also check that this adapter is the certified one.")
@click.option(
    "--supplement", type=click.Path(path_type=Path), help="Also check this supplement: who acknowledged a notice."
)
@click.option("--expect-case", help="Refuse a certificate of another case.")
@workspace_option
@json_option
def verify(  # noqa: PLR0913 - one option per fact to check
    certificate: Path, keys: Path | None, pipeline_key: Path | None, dpo_key: Path | None, adapter: Path | None,
    supplement: Path | None, expect_case: str | None, workspace_dir: Path | None, as_json: bool,
) -> None:  # fmt: skip
    """Check CERTIFICATE offline. Keys are given, or those of the workspace; never taken from the certificate.

    \b
    Example:
      lethe verify certificate.json --keys keys/ --adapter adapter/
    """
    from lineage.__main__ import render
    from lineage.verify import verify_file

    trusted = trusted_keys(keys, pipeline_key, dpo_key, workspace_dir=workspace_dir)
    result = verify_file(certificate, trusted=trusted, adapter=adapter, expect_case=expect_case, supplement=supplement)
    say(json.dumps(result.as_json(), indent=2) if as_json else render(result))
    sys.exit(result.exit_code)


@click.group("ledger")
def ledger_group() -> None:
    """The append-only, hash-chained record of what happened."""


@ledger_group.command("verify")
@workspace_option
@json_option
def ledger_verify(workspace_dir: Path | None, as_json: bool) -> None:
    """Recompute the chain from its first event. Exit 1 if a link is broken.

    \b
    Example:
      lethe ledger verify
    """
    from lineage import ledger
    from lineage.chain import Broken

    workspace = opened(workspace_dir, even_restored=True)
    with workspace.database.reader() as session:
        result = ledger.verify(session)
    if isinstance(result, Broken):
        show({"intact": False, "seq": result.seq, "reason": result.reason}, as_json=as_json,
             lines=lambda: say(f"BROKEN at event {result.seq}: {result.reason}"))  # fmt: skip
        sys.exit(1)
    show({"intact": True, "events": result.length, "head": result.head}, as_json=as_json,
         lines=lambda: say(f"Intact: {result.length} events, head {result.head[:16]}."))  # fmt: skip
