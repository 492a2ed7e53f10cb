"""A party that is told of erasures, as far as `pipelines.webhook.deliver` is concerned: it answers, and remembers to whom it said
yes. What it remembers lies beside the workspace, outside what Lethe keeps, so that a copied world has its own."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lineage.notices import Notice, refusal

__all__ = ["Party"]


@dataclass(frozen=True)
class Party:
    """The party of the workspace in a folder."""

    folder: Path

    @property
    def acknowledged(self) -> set[str]:
        """The ids of the notices it said yes to."""
        return set(json.loads(self._book.read_text())) if self._book.exists() else set()

    def answer(self, notice_id: str) -> tuple[int, bytes]:
        """Status and body; yes, however often it is told."""
        self._book.write_text(json.dumps(sorted({*self.acknowledged, notice_id})))
        return 200, json.dumps({"id": notice_id, "ok": True}).encode()

    def deliver(self, endpoint: object, notice: Notice, **how: Any) -> str:
        """What `pipelines.webhook.deliver` returns, without the wire."""
        return refusal(notice.id, *self.answer(notice.id))

    @property
    def _book(self) -> Path:
        return self.folder / "party.json"
