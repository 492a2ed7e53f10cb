"""The self-prompted reference of SPV-MIA for somebody's own adapter: written by the probes, trained by the trainer.

The judge shares no code with the judged, so they meet here. What the adapter writes may be what it remembers of people,
and the reference learns it: texts stay in memory, the reference in a temporary directory that is gone when the block ends, also
when it ends because the process is told to.
"""

from __future__ import annotations

import json
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory
from types import FrameType
from typing import TYPE_CHECKING

from lineage.records import Content, TrainingRecord
from pipelines.progress import bar

if TYPE_CHECKING:
    from probes.group_attack import Brought
    from probes.suspect import Suspect
    from unlearn.plan import TrainSettings

__all__ = ["self_prompted", "texts_for"]

LEAST_TEXTS, TEXTS_A_MEMBER = 200, 3
"""The authors take 10,000 for 10,000; of few members a text is more easily a recital."""
EPOCHS, BATCH = 4, 8
END_SIGNALS = (signal.SIGTERM, signal.SIGHUP)
KEY = sha256(b"lethe/self-prompt").digest()  # of every draw: the same files and models give the same reference


def texts_for(members: int) -> int:
    """How many texts the adapter writes where so many members are said to have trained it."""
    return max(LEAST_TEXTS, TEXTS_A_MEMBER * members)


@contextmanager
def self_prompted(
    suspect: Suspect, prompts: Sequence[Brought], *, texts: int, max_length: int, rate: float
) -> Iterator[Suspect]:
    """The suspect beside a reference that was trained at this learning rate on so many texts of the suspect's own.

    Raises:
        WrongUsage: the models do not belong together, the base cannot be trained on, or the training diverged.
    """
    from probes.self_prompts import write_texts
    from probes.suspect import SelfPrompted

    with bar("Writing texts", texts, unit="texts") as progress:
        written = write_texts(suspect, prompts, count=texts, max_length=max_length, advance=progress.advance)
    with _folder_for_a_while() as folder:
        _train(suspect, written, folder, max_length=max_length, rate=rate)
        yield replace(suspect, reference=SelfPrompted(folder, len(written), len(prompts)))


@contextmanager
def _folder_for_a_while() -> Iterator[Path]:
    """A temporary directory, gone after the block, also where SIGTERM or SIGHUP would end the process on the spot.

    Only the main thread can see to that. Who has a signal ignored, as nohup has, keeps that. A signal while the directory
    is being removed ends the process after that.
    """
    late: list[int] = []

    def leave(number: int, frame: FrameType | None) -> None:
        del frame
        _on(fatal, remember)
        raise SystemExit(128 + number)

    def remember(number: int, frame: FrameType | None) -> None:
        del frame
        late.append(number)

    main = threading.current_thread() is threading.main_thread()
    fatal = [number for number in END_SIGNALS if main and signal.getsignal(number) == signal.SIG_DFL]
    _on(fatal, leave)
    try:
        with TemporaryDirectory(prefix="lethe-") as folder:
            try:
                yield Path(folder)
            finally:
                _on(fatal, remember)
    finally:
        _on(fatal, signal.SIG_DFL)
        if late:
            raise SystemExit(128 + late[0])


def _on(signals: Sequence[signal.Signals], act: Callable[[int, FrameType | None], None] | signal.Handlers) -> None:
    for number in signals:
        signal.signal(number, act)


def _train(suspect: Suspect, texts: Sequence[Content], folder: Path, *, max_length: int, rate: float) -> None:
    """An adapter on the same base by Lethe's own trainer, as a PEFT directory."""
    from unlearn.adapters import adapter_files, write_adapter
    from unlearn.base import base_spec, load_base
    from unlearn.plan import CorpusShape, propose_plan
    from unlearn.train import initial_state, train_slice

    characters = sum(len(segment) for content in texts for segment in content.segments())
    shape = CorpusShape(records=len(texts), characters=characters, subjects=0, trunk_records=0)
    plan = propose_plan(_settings(suspect, max_length=max_length, rate=rate), shape, nonce="", adapter="reference")
    base = load_base(base_spec(plan, str(suspect.base)))
    records = [TrainingRecord(f"{number:06d}", content) for number, content in enumerate(texts)]
    parent = initial_state(base, plan, KEY, shard=0)
    with bar("Training the reference", plan.steps(0), unit="steps") as progress:
        state = train_slice(
            base, plan, KEY, shard=0, slice=0, records=records, parent=parent, progress=lambda _: progress.advance()
        )
    write_adapter(folder, adapter_files(state.weights, plan, base_name=suspect.base.name))


def _settings(suspect: Suspect, *, max_length: int, rate: float) -> TrainSettings:
    """One shard and one slice; rank and scale of the suspect's LoRA, but on every linear layer of the decoder."""
    import torch

    from unlearn.plan import TrainSettings

    told = json.loads((suspect.adapter / "adapter_config.json").read_text(encoding="utf-8"))
    own = {name: int(told[key]) for name, key in (("lora_r", "r"), ("lora_alpha", "lora_alpha")) if told.get(key)}
    return TrainSettings(
        shards=1, slices=1, controls=0.0, trunk="off", epochs=EPOCHS, batch=BATCH, lr_peak=rate, max_length=max_length,
        threads=torch.get_num_threads(), **own,
    )  # fmt: skip
