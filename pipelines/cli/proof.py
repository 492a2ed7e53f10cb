"""`lethe verify` and `lethe ledger`: what others can check."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click

from pipelines.cli.options import json_option, opened, say, show, workspace_option


@click.command()
@click.argument("certificate", type=click.Path(path_type=Path))
@click.option("--keys", type=click.Path(path_type=Path), help="Folder with pipeline.pub and dpo.pub.")
@click.option("--pipeline-key", type=click.Path(path_type=Path), help="The pipeline's public key.")
@click.option("--dpo-key", type=click.Path(path_type=Path), help="The DPO's public key.")
@click.option("--adapter", type=click.Path(path_type=Path), help="Also check that this adapter is the certified one.")
@click.option("--expect-case", help="Refuse a certificate of another case.")
@workspace_option
@json_option
def verify(  # noqa: PLR0913 - one option per fact to check
    certificate: Path, keys: Path | None, pipeline_key: Path | None, dpo_key: Path | None, adapter: Path | None,
    expect_case: str | None, workspace_dir: Path | None, as_json: bool,
) -> None:  # fmt: skip
    """Check CERTIFICATE offline. Keys are given, or those of the workspace; never taken from the certificate.

    \b
    Example:
      lethe verify certificate.json --keys keys/ --adapter adapter/
    """
    from lineage.__main__ import render
    from lineage.settings import find_workspace, load_settings
    from lineage.verify import load_trusted_keys, verify_file

    if keys is None and pipeline_key is None and dpo_key is None:
        keys = load_settings(find_workspace(workspace_dir)).home / "secrets"
    trusted = load_trusted_keys(pipeline_key=pipeline_key, dpo_key=dpo_key, keys=keys)
    result = verify_file(certificate, trusted=trusted, adapter=adapter, expect_case=expect_case)
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
