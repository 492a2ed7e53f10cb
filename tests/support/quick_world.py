"""A workspace over a base that trains in milliseconds, for laws that walk the road many times in one process."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from road import hire
from small_base import write_small_base
from small_world import write_secret

from lineage.scan import Scanner, Span
from lineage.workspace import create_workspace
from unlearn.plan import CorpusShape, TrainSettings, propose_plan

PLANS = [
    propose_plan(
        TrainSettings(
            shards=shards, slices=slices, controls=controls, epochs=1, trunk="on", trunk_epochs=1, batch=8 * shards, lora_r=2,
            lora_alpha=4, lora_dropout=0.1, target_modules=("q_proj",), max_length=64, optimizer=optimizer,
        ),
        CorpusShape(records=16 * shards * slices, characters=10_000, subjects=20, trunk_records=16), nonce="00ff",
    )
    for shards, slices, controls, optimizer in ((2, 2, 0.0, "carry"), (3, 1, 0.2, "reset"))
]  # fmt: skip


class OnceProven(Scanner):
    """The real scanner, which proves itself once and remembers what it found in a text: it holds no other state."""

    seen: ClassVar[dict[str, tuple[Span, ...]]] = {}

    def scan(self, text: str) -> tuple[Span, ...]:
        if text not in self.seen:
            self.seen[text] = super().scan(text)
        return self.seen[text]

    def self_test(self) -> None:
        _ = self._proven


def make_template(root: Path) -> Path:
    create_workspace(root / "template", controller="Test GmbH", workspace_secret=write_secret(root))
    settings_file = root / "template" / "lethe.toml"
    settings_file.write_text(settings_file.read_text().replace('"tiny"', f'"{write_small_base(root / "base")}"'))
    hire(root / "template")
    return root / "template"
