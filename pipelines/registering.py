"""A register file on its way into the register: checked and written batch by batch, in bounded memory.

A batch is one transaction, and what is registered already is recognised by its keyed digest; so a file that was
interrupted is simply given again. Nothing after the first bad line is written, but all of it is still checked: whoever
corrects the file learns of every bad line at once.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import BinaryIO

from lineage.access import Actor
from lineage.duties import Duty, require_duty
from lineage.errors import WrongUsage
from lineage.keyring import Keyring
from lineage.register_file import RegisterLine, read_register
from lineage.subjects import CheckedForm, check_entry, store_forms
from lineage.workspace import Workspace
from pipelines.ingest import utc_now
from pipelines.progress import bar

__all__ = ["Registered", "import_register"]

BATCH_LINES = 1000
TOLD_LINES = 10


@dataclass(frozen=True, slots=True)
class Registered:
    """What an import did: identifiers that were not known before, of those that the file gives."""

    new: int
    given: int


@dataclass(frozen=True, slots=True)
class _Checked:
    """A line that can be registered, or what is wrong with it."""

    number: int
    forms: tuple[CheckedForm, ...] = ()
    problem: str = ""


def import_register(
    workspace: Workspace, stream: BinaryIO, *, actor: Actor, total_lines: int | None = None
) -> Registered:
    """Register everybody in a file. Safe to repeat after any crash.

    Raises:
        RefusedByRule: the actor's role may not change the register.
        WrongUsage: the header is none, or a line is bad: the lines before it are in, none after it.
    """
    require_duty(Duty.REGISTER, actor)
    new = given = 0
    with bar("Registering", total_lines, unit="lines") as progress:
        lines = (_checked(line, workspace.keyring) for line in read_register(stream))
        for batch, bad in _batches(lines):
            forms = [form for line in batch for form in line.forms]
            new, given = new + _write(workspace, forms), given + len(forms)
            progress.advance(len(batch))
            if bad:
                raise _refusal(bad, [line.number for line in lines if line.problem], registered=given)
    return Registered(new, given)


def _write(workspace: Workspace, forms: Sequence[CheckedForm]) -> int:
    with workspace.database.transaction() as session:
        return store_forms(session, forms, keystore=workspace.keystore, now=utc_now())


def _checked(line: RegisterLine, keyring: Keyring) -> _Checked:
    if line.problem:
        return _Checked(line.number, problem=line.problem)
    try:
        return _Checked(line.number, tuple(check_entry(entry, keyring) for entry in line.entries))
    except WrongUsage as refusal:
        return _Checked(line.number, problem=str(refusal))


def _batches(lines: Iterator[_Checked]) -> Iterator[tuple[list[_Checked], _Checked | None]]:
    """Good lines in batches; with the last batch comes the first bad line, if there is one."""
    batch: list[_Checked] = []
    for line in lines:
        if line.problem:
            yield batch, line
            return
        batch.append(line)
        if len(batch) == BATCH_LINES:
            yield batch, None
            batch = []
    yield batch, None


def _refusal(first: _Checked, others: Sequence[int], *, registered: int) -> WrongUsage:
    told = ", ".join(str(number) for number in others[:TOLD_LINES])
    more = f" and {len(others) - TOLD_LINES} more" if len(others) > TOLD_LINES else ""
    also = f" Also bad: line{'s' if len(others) > 1 else ''} {told}{more}." if others else ""
    before = f"The {registered} identifiers before it are in." if registered else "Nothing was registered."
    return WrongUsage(
        f"Register line {first.number}: {first.problem}{also} {before}",
        hint="Correct the file and run the same command again; what is in already is recognised.",
    )
