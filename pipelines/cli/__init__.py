"""The command line: `lethe`. Commands load what they need when they run, so that looking something up starts fast.

Exit codes: 0 done; 1 the answer is no; 2 wrong usage or configuration; 3 refused by a rule; 4 a fault a retry may cure.
"""

from __future__ import annotations

import os
import sys
import traceback
import warnings
from importlib import import_module
from pathlib import Path

import click

from lineage.errors import LetheError

__all__ = ["main"]

# command -> (module, attribute, one line for `lethe --help`)
COMMANDS = {
    "demo": ("pipelines.cli.demo", "demo", "The whole road on a built-in synthetic corpus."),
    "init": ("pipelines.cli.workspace", "init", "Make a workspace: configuration, secrets, databases."),
    "doctor": ("pipelines.cli.workspace", "doctor", "What is installed, what is missing, what that means."),
    "staff": ("pipelines.cli.staff", "staff_group", "Members of staff: roles, links, passwords, tokens."),
    "keys": ("pipelines.cli.keys", "keys_group", "The DPO's signing key."),
    "ingest": ("pipelines.cli.ingest", "ingest", "Take a corpus through the gate into the vault."),
    "register": ("pipelines.cli.register", "register_group", "The identifiers of known data subjects."),
    "gate": ("pipelines.cli.gate", "gate_group", "The gate: policy, trial, rescan, what a scan found."),
    "review": ("pipelines.cli.review", "review_group", "The quarantine: list, show, release, block."),
    "plan": ("pipelines.cli.plan", "plan", "What an erasure will cost, before anything is trained."),
    "train": ("pipelines.cli.adapter", "train", "Build what is missing or stale, compose, release."),
    "probe": ("pipelines.cli.probe", "probe", "Look for a person in an adapter, outside a case."),
    "probe-files": ("pipelines.cli.probe_files", "probe_files", "Attack an adapter of your own, without a workspace."),
    "lineage": ("pipelines.cli.adapter", "lineage_group", "Who fed what: subject, record, adapter, release."),
    "erase": ("pipelines.cli.case", "erase_group", "Erasure cases: file, preview, approve, run, purge, sign."),
    "verify": ("pipelines.cli.proof", "verify", "Check a certificate offline."),
    "certificate": ("pipelines.cli.certificate", "certificate_group", "A certificate to read, and its schema."),
    "ledger": ("pipelines.cli.proof", "ledger_group", "The hash-chained ledger."),
    "store": ("pipelines.cli.store", "store_group", "The store of states and adapters: collect garbage, check."),
    "inventory": ("pipelines.cli.inventory", "inventory_group", "Backups, files made from adapters, who is told."),
    "notice": ("pipelines.cli.notice", "notice_group", "Who is told of an erasure: list, send, ack, retry, waive."),
    "export": (
        "pipelines.cli.export",
        "export_group",
        "Art. 15 answer, Art. 30 register, adapter card, ML-BOM, OpenLineage.",
    ),
    "replay": ("pipelines.cli.replay", "replay", "Carry out again what a restored backup has undone."),
    "up": ("pipelines.cli.workspace", "up", "Dagster UI, daemon and console, one process tree."),
}


class _Lazy(click.Group):
    """Loads a command's module when the command is used, not before."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        del ctx
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        del ctx
        if cmd_name not in COMMANDS:
            return None
        module, attribute, _ = COMMANDS[cmd_name]
        command: click.Command = getattr(import_module(module), attribute)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        del ctx
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, _, line) in COMMANDS.items()])


@click.group(cls=_Lazy, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="lethe", prog_name="lethe")
def cli() -> None:
    """Erase a person from a fine-tuned LoRA adapter, and prove it."""


def main() -> None:
    """Run a command; translate every error, once, into a sentence, a hint and an exit code."""
    if not os.environ.get("LETHE_DEBUG"):
        warnings.simplefilter("ignore")  # notes from libraries to their developers; tests turn them into errors
    try:
        code = cli.main(prog_name="lethe", standalone_mode=False)
    except LetheError as error:
        code = _tell(str(error), error.hint, error.exit_code)
    except click.exceptions.Abort:
        code = _tell("Interrupted; nothing was half done.", "Run the same command again; it goes on.", 4)
    except KeyboardInterrupt:
        code = _tell("Interrupted; nothing was half done.", "Run the same command again; it goes on.", 4)
    except click.ClickException as error:
        error.show()
        code = 2
    except BrokenPipeError:
        code = 0
    except Exception as error:  # noqa: BLE001 - its text may quote a record; only its type and place are told
        code = _tell(*_fault(error))
    sys.exit(code if isinstance(code, int) else 0)


def _fault(error: Exception) -> tuple[str, str, int]:
    """What is said of a fault in Lethe itself. LETHE_DEBUG=1 shows the traceback, which may quote records."""
    if os.environ.get("LETHE_DEBUG"):
        traceback.print_exception(error)
    frame = traceback.extract_tb(error.__traceback__)[-1]
    place = f"{Path(frame.filename).name}, line {frame.lineno}"
    return f"A fault in Lethe: {type(error).__name__} in {place}.", "Try again; if it stays, please report it.", 4


def _tell(sentence: str, hint: str, code: int) -> int:
    click.echo(f"lethe: {sentence}", err=True)
    if hint:
        click.echo(f"       {hint}", err=True)
    return code
