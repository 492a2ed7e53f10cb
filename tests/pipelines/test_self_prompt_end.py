"""A process that is told to end leaves nothing of the self-prompted reference, which may recite people."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pipelines.self_prompt import _folder_for_a_while

ATTACK = """
import signal, sys
from types import SimpleNamespace

ends = (signal.SIGTERM, signal.SIGHUP)  # as in a fresh process, whatever the one that runs the tests has inherited
signal.pthread_sigmask(signal.SIG_UNBLOCK, ends)
for number in ends:
    signal.signal(number, signal.SIG_DFL)

sys.modules["probes.self_prompts"] = SimpleNamespace(write_texts=lambda *_, **__: ["a text"])
sys.modules["probes.suspect"] = SimpleNamespace(SelfPrompted=lambda *_: None)
from pipelines import self_prompt

def train(suspect, written, folder, **_):
    (folder / "adapter_model.safetensors").write_bytes(b"what it recites")
    print(folder, flush=True)
    sys.stdin.read()  # for ever

self_prompt._train = train
with self_prompt.self_prompted(None, [], texts=1, max_length=8, rate=1e-3):
    pass
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_takes_the_reference_along(tmp_path: Path, number: int) -> None:
    environment = os.environ | {"TMPDIR": str(tmp_path)}
    command = [sys.executable, "-c", ATTACK]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, env=environment, stdin=pipe, stdout=pipe, stderr=pipe, text=True) as process:
        assert process.stdout is not None
        folder = Path(process.stdout.readline().strip())
        assert (folder / "adapter_model.safetensors").is_file()
        process.send_signal(number)
        assert process.wait(timeout=60) == 128 + number
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def usual() -> Iterator[None]:
    """SIGTERM as in a fresh process, and SIGHUP as under nohup."""
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)}
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.usefixtures("usual")
def test_what_was_set_before_is_set_again_and_what_is_ignored_stays_so() -> None:
    with _folder_for_a_while() as folder:
        assert folder.is_dir()
        assert callable(signal.getsignal(signal.SIGTERM))
        assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
    assert not folder.exists()


@pytest.mark.usefixtures("usual")
def test_a_signal_while_the_directory_is_removed_does_not_break_that_off(monkeypatch: pytest.MonkeyPatch) -> None:
    remove = shutil.rmtree

    def interrupted(*arguments: Any, **named: Any) -> None:
        signal.raise_signal(signal.SIGTERM)
        remove(*arguments, **named)

    with pytest.raises(SystemExit), _folder_for_a_while() as folder:
        monkeypatch.setattr(shutil, "rmtree", interrupted)
    assert not folder.exists()
