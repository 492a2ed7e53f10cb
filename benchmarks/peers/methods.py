"""The list of methods, and what each is compared with."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from peers import approximate, conventional, lethe, replay, s3t, sisa
from peers.setting import Adapter, Setting

__all__ = ["FAMILIES", "METHODS", "Erase", "Method"]

Erase = Callable[[Setting, Any, str], Adapter]
"""An adapter without a person, from a setting and what a training kept."""

FAMILIES: Mapping[str, Callable[[Setting], Any]] = {
    "lethe": lethe.train,
    "sisa": sisa.train,
    "s3t": s3t.train,
    "conventional": conventional.train,
}
"""The trainings before any erasure, by name."""


@dataclass(frozen=True)
class Method:
    """One row of the table.

    `never` gives the model of somebody who never met the person, by the same recipe; `oracle` what the authors would
    compare with, where that is something else. `stored` counts the bytes an erasure needs beside the adapter in service.
    """

    name: str
    family: str
    erase: Erase
    never: Erase
    stored: Callable[[Any], int]
    oracle: Erase | None = None


def _nothing(_kept: object) -> int:
    return 0


def _all(kept: Any) -> int:
    return kept.stored_bytes


def _approximate(name: str, recipe: approximate.Recipe) -> Method:
    return Method(name, "conventional", partial(approximate.erase, recipe=recipe), conventional.never, _nothing)


METHODS = (
    Method("never-ingested retrain", "lethe", lethe.never, lethe.never, _nothing),
    Method("Lethe", "lethe", lethe.erase, lethe.never, _all),
    Method("SISA", "sisa", sisa.erase, sisa.never, _all),
    Method("S3T, group off", "s3t", s3t.deactivate, s3t.never, _all, s3t.never_deactivated),
    Method("S3T, group retrained", "s3t", s3t.retrain, s3t.never, _all),
    Method("replay", "conventional", replay.erase, conventional.never, replay.stored_bytes, replay.oracle),
    _approximate("GradAscent", approximate.GRAD_ASCENT),
    _approximate("GradDiff", approximate.GRAD_DIFF),
    _approximate("NPO", approximate.NPO),
    _approximate("SimNPO", approximate.SIM_NPO),
)
