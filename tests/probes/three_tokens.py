"""A language model with three tokens whose every probability is written down, so that scores can be computed by hand."""

from __future__ import annotations

from types import SimpleNamespace

import torch

from probes.decoding import DecodingScheme
from probes.target import BASE, Target
from probes.tokens import Tokenised

A, B, C = 0, 1, 2
ADAPTER = ((1 / 2, 1 / 4, 1 / 4), (1 / 4, 1 / 2, 1 / 4), (1 / 8, 1 / 8, 3 / 4))  # row: what came before
BARE = ((3 / 8, 1 / 8, 1 / 2), (1 / 4, 1 / 4, 1 / 2), (1 / 2, 1 / 4, 1 / 4))
IDS = (A, B, B, C, A, C, C)
TEXT = "abbcacc"


class Table(torch.nn.Module):
    """What comes next depends on the last token alone, as the table says."""

    def __init__(self, rows) -> None:
        super().__init__()
        self.logits = torch.nn.Embedding.from_pretrained(torch.log(torch.tensor(rows)))

    def get_input_embeddings(self) -> torch.nn.Embedding:
        return self.logits

    def forward(self, input_ids, **_unused):
        return SimpleNamespace(logits=self.logits(input_ids))


def item(ids=IDS, *, learnt=None, text=TEXT) -> Tokenised:
    """A record of one character a token, with loss on all but the first, or on the `learnt` positions."""
    positions = range(1, len(ids)) if learnt is None else learnt
    mask = tuple(i in positions for i in range(len(ids)))
    return Tokenised(tuple(ids), mask, tuple((i, i + 1) for i in range(len(ids))), text)


def read(rows, *items: Tokenised, **how):
    """The readings of records under one table, through the doorway that real models go through."""
    side = how.pop("padding", "right")
    return Target(Table(rows), None, scheme=DecodingScheme(), padding=side).read(BASE, items, **how)
