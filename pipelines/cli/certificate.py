"""`lethe certificate`: a certificate for people to read, and the schema of what it holds."""

from __future__ import annotations

from dataclasses import asdict
from importlib import resources
from pathlib import Path

import click

from lineage.errors import Fault, WrongUsage
from pipelines.cli.options import json_option, say, show, why_unreadable, workspace_option
from pipelines.cli.proof import key_options, trusted_keys


@click.group("certificate")
def certificate_group() -> None:
    """Certificates of erasure for people; `lethe verify` checks one."""


@certificate_group.command("show")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--html", type=click.Path(path_type=Path), help="Write one HTML page here.")
@click.option("--pdf", type=click.Path(path_type=Path), help="Write a PDF here.")
@key_options
@workspace_option
@json_option
def show_(  # noqa: PLR0913 - one option per key and form
    file: Path, html: Path | None, pdf: Path | None, keys: Path | None, pipeline_key: Path | None, dpo_key: Path | None,
    workspace_dir: Path | None, as_json: bool,
) -> None:  # fmt: skip
    """Verify FILE and show it in plain words: what was erased, what was checked, what that does not prove.

    A certificate that does not verify is not shown (exit 1). One that waits for the DPO is, and says so.

    \b
    Examples:
      lethe certificate show certificate.json --keys keys/
      lethe certificate show certificate.json --html certificate.html --pdf certificate.pdf
    """
    from lineage.rendering import read_sheet
    from lineage.rendering_pages import to_html, to_text
    from lineage.rendering_pdf import to_pdf

    trusted = trusted_keys(keys, pipeline_key, dpo_key, workspace_dir=workspace_dir)
    try:
        raw = file.read_bytes()
    except OSError as error:
        raise WrongUsage(f"The certificate {why_unreadable(error)}.", hint="Check the path.") from None
    sheet = read_sheet(raw, trusted=trusted)
    for path, render in ((html, to_html), (pdf, to_pdf)):
        if path:
            _write(path, render(sheet))
            if not as_json:
                say(f"Written: {path}")
    if as_json or not (html or pdf):
        show(asdict(sheet), as_json=as_json, lines=lambda: say(to_text(sheet).rstrip()))


def _write(path: Path, content: bytes) -> None:
    from lineage.durable import write_whole

    try:
        write_whole(path, content)
    except OSError as error:
        raise Fault(
            f"{path.name} could not be written ({type(error).__name__}).", hint="Choose another place."
        ) from None


@certificate_group.command("schema")
def schema() -> None:
    """Print the JSON Schema of the statement that both keys sign.

    \b
    Example:
      lethe certificate schema > certificate.schema.json
    """
    say(resources.files("lineage").joinpath("certificate.schema.json").read_text(encoding="utf-8").rstrip())
