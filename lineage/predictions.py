"""What a transformers model predicts, fitted to whole words, so that Presidio need not leave any of it out.

Presidio widens a prediction to spaCy's tokens and skips the next one if it then overlaps: of two names in one token the
second is lost, with a warning, and a warning fails the scan. Here predictions that share a token become one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

__all__ = ["Prediction", "fitted", "fitting"]

Prediction: TypeAlias = Mapping[str, Any]
Interval: TypeAlias = tuple[int, int]


def fitting(
    predict: Callable[[str], Sequence[Prediction]], tokens: Callable[[str], Sequence[Interval]], persons: frozenset[str]
) -> Callable[[str], list[Prediction]]:
    """A pipeline like `predict` whose predictions are `fitted`. `persons` are the labels that mean a person."""

    def predict_fitted(text: str) -> list[Prediction]:
        return fitted(predict(text), tokens(text), persons)

    return predict_fitted


def fitted(predictions: Sequence[Prediction], tokens: Sequence[Interval], persons: frozenset[str]) -> list[Prediction]:
    """Predictions that cover whole tokens and do not overlap. None is lost: those that touch one token are joined.

    A joined one has the label of a person if any of them had, else that of the highest score; and the highest score of
    those with its label. What lies outside every token (white space) is no prediction.
    """
    joined: list[dict[str, Any]] = []
    for prediction in sorted(predictions, key=lambda p: (p["start"], p["end"])):
        touched = [token for token in tokens if token[0] < prediction["end"] and prediction["start"] < token[1]]
        if not touched:
            continue
        label = prediction.get("entity_group") or prediction.get("entity")
        found = {
            "entity_group": label, "score": float(prediction["score"]), "start": touched[0][0], "end": touched[-1][1]
        }  # fmt: skip
        if joined and found["start"] < joined[-1]["end"]:
            joined[-1] = _join(joined[-1], found, persons)
        else:
            joined.append(found)
    return list(joined)


def _join(first: dict[str, Any], second: dict[str, Any], persons: frozenset[str]) -> dict[str, Any]:
    best = max((first, second), key=lambda p: (p["entity_group"] in persons, p["score"]))
    return {**best, "start": first["start"], "end": max(first["end"], second["end"])}
