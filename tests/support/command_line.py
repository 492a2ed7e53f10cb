"""The `lethe` command, in a fresh process or in this one; and processes that are killed when something has happened."""

from __future__ import annotations

import contextlib
import io
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from unittest.mock import patch

import click

QUIET = {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
PASSPHRASE = "seven ferries cross the slow river"
OPERATOR = "max"
"""Who acts where a test does not say who: the ML operator of `road.STAFF`."""


@dataclass(frozen=True)
class Said:
    """What a command answered."""

    code: int
    out: str
    err: str

    def json(self) -> dict:
        return json.loads(self.out)


def lethe(*arguments: object, workspace: Path | None = None, given: str = "", code: int | None = 0) -> Said:
    """Run a command in a fresh process. `code` is the exit code it must have (None: any)."""
    result = subprocess.run(
        _command(arguments), input=given, capture_output=True, text=True, check=False, env=_environment(workspace), timeout=300,
    )  # fmt: skip
    return _checked(Said(result.returncode, result.stdout, result.stderr), arguments, code)


def lethe_here(*arguments: object, workspace: Path | None = None, given: str = "", code: int | None = 0) -> Said:
    """Run a command through the same `main` in this process, which saves its imports."""
    from pipelines.cli import main

    out, err = io.StringIO(), io.StringIO()
    argv = ["lethe", *map(str, arguments)]
    with (
        patch.object(sys, "argv", argv), patch.object(sys, "stdin", io.StringIO(given)),
        patch.dict(os.environ, _environment(workspace), clear=True),
        contextlib.redirect_stdout(out), contextlib.redirect_stderr(err),
    ):  # fmt: skip
        try:
            main()
        except SystemExit as end:
            answer = int(end.code or 0)
    return _checked(Said(answer, out.getvalue(), err.getvalue()), arguments, code)


class Running:
    """A command in a process of its own that can be watched and stopped."""

    def __init__(self, *arguments: object, workspace: Path) -> None:
        self.process = subprocess.Popen(
            _command(arguments), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            env=_environment(workspace), start_new_session=True,
        )  # fmt: skip

    def kill_when(self, happened: Callable[[], bool]) -> None:
        """kill -9 as soon as it happened, and wait for the end; it may not end by itself before."""
        if not self.stop_when(happened, signal.SIGKILL):
            raise AssertionError(f"it ended before it could be killed: {self.end()}")
        self.end()

    def stop_when(self, happened: Callable[[], bool], sign: signal.Signals, *, within_s: float = 120) -> bool:
        """Send the signal to the process and its children as soon as it happened; False if the command ended before."""
        end = time.monotonic() + within_s
        while self.process.poll() is None:
            if happened():
                if sign == signal.SIGKILL:
                    os.killpg(self.process.pid, sign)
                else:
                    self.process.send_signal(sign)
                return True
            if time.monotonic() > end:
                os.killpg(self.process.pid, signal.SIGKILL)
                raise AssertionError("it never happened")
            time.sleep(0.002)
        return False

    def end(self) -> Said:
        out, err = self.process.communicate(timeout=300)
        return Said(self.process.returncode, out, err)


def one_sentence(said: Said, code: int, *words: str) -> None:
    """The law of errors: the documented exit code, one sentence and at most one hint, no traceback."""
    assert said.code == code, said.err
    lines = said.err.strip().splitlines()
    assert lines, "nothing was said"
    assert lines[0].startswith("lethe: "), said.err
    assert len(lines) <= 2, said.err
    assert "Traceback" not in said.err
    for word in words:
        assert word in said.err, said.err


def command_tree() -> Iterator[tuple[str, click.Command]]:
    """Every leaf of the command tree, by its words."""
    from pipelines.cli import cli

    def walk(command: click.Command, words: tuple[str, ...]) -> Iterator[tuple[str, click.Command]]:
        if not isinstance(command, click.Group):
            yield " ".join(words), command
            return
        context = click.Context(command)
        for name in command.list_commands(context):
            child = command.get_command(context, name)
            assert child is not None
            yield from walk(child, (*words, name))

    return walk(cli, ("lethe",))


def people_of_tests() -> dict[str, str]:
    """Who acts, and where the DPO's passphrase is read from, as an operator's shell would say it."""
    return {"LETHE_USER": OPERATOR, "LETHE_PASSPHRASE_FILE": str(Path(_folder().name) / "passphrase")}


@cache
def _folder() -> TemporaryDirectory[str]:
    folder = TemporaryDirectory(prefix="lethe-passphrase-")
    file = Path(folder.name) / "passphrase"
    file.touch(mode=0o600)
    file.write_text(PASSPHRASE + "\n")
    return folder


def _command(arguments: Sequence[object]) -> list[str]:
    return [str(Path(sys.executable).with_name("lethe")), *map(str, arguments)]


def _environment(workspace: Path | None) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("LETHE_", "DAGSTER_"))}
    return {**kept, **QUIET, **people_of_tests(), **({"LETHE_WORKSPACE": str(workspace)} if workspace else {})}


def _checked(said: Said, arguments: Sequence[object], code: int | None) -> Said:
    if code is not None and said.code != code:
        raise AssertionError(f"lethe {' '.join(map(str, arguments))} ended with {said.code}: {said.err}")
    return said
