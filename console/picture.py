"""The lineage of a case as a picture: records -> slices -> shards -> adapter -> release, placed for an inline SVG.

Values in, coordinates out; the template draws. At most `MAX_ROWS` shards of an adapter are shown one by one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

__all__ = ["Box", "Edge", "Picture", "lineage_picture"]

WIDTH, HEIGHT, GAP_X, GAP_Y, HEAD = 148, 46, 44, 14, 28
COLUMNS = ("Records", "First stale slice", "Shards", "Adapters", "Release")
MAX_ROWS = 5


@dataclass(frozen=True)
class Box:
    """A node with its upper left corner, a title, a second line, and a kind that gives the colour."""

    x: float
    y: float
    title: str
    note: str
    kind: str


@dataclass(frozen=True)
class Edge:
    """An SVG path from the right side of one box to the left side of another."""

    path: str


@dataclass(frozen=True)
class Picture:
    """Everything the template draws, in user units."""

    width: int
    height: int
    heads: tuple[tuple[float, str], ...]
    boxes: tuple[Box, ...]
    edges: tuple[Edge, ...]
    summary: str


def lineage_picture(contract: Mapping[str, Any], forecast: Mapping[str, Any]) -> Picture | None:
    """The picture, or None when the forecast names no adapter."""
    adapters: Mapping[str, Mapping[str, Any]] = forecast.get("adapters") or {}
    if not adapters:
        return None
    rows = {name: _rows(body) for name, body in sorted(adapters.items())}
    height = sum(len(shards) for shards in rows.values()) * (HEIGHT + GAP_Y) - GAP_Y
    erased = sum(record.get("decision") == "erase" for record in contract.get("records", []))
    redacted = sum(record.get("decision") == "redact" for record in contract.get("records", []))
    note = f"{redacted} to redact" if redacted else "encrypted texts"
    records = Box(_x(0), HEAD + (height - HEIGHT) / 2, f"{erased} to erase", note, "record")
    boxes, edges, top = [records], [], float(HEAD)
    for name, shards in rows.items():
        adapter = Box(_x(3), top + _span(len(shards)) / 2 - HEIGHT / 2, name, _cost(adapters[name]), "adapter")
        release = Box(_x(4), adapter.y, "in service", "recomposed at once", "release")
        boxes += [adapter, release]
        edges.append(_edge(adapter, release))
        for index, (slice_title, shard_title, note) in enumerate(shards):
            y = top + index * (HEIGHT + GAP_Y)
            cut = Box(_x(1), y, slice_title, "trained again from here", "slice")
            shard = Box(_x(2), y, shard_title, note, "shard")
            boxes += [cut, shard]
            edges += [_edge(records, cut), _edge(cut, shard), _edge(shard, adapter)]
        top += _span(len(shards)) + GAP_Y
    heads = tuple((_x(i) + WIDTH / 2, title) for i, title in enumerate(COLUMNS))
    summary = f"{erased + redacted} records reach {len(adapters)} adapters through the shards shown."
    return Picture(int(_x(4) + WIDTH + 1), int(HEAD + height + 1), heads, tuple(boxes), tuple(edges), summary)


def _rows(body: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """(slice title, shard title, note) for each affected shard of an adapter; a touched trunk stands for all of them."""
    if body.get("trunk_hit"):
        return [("trunk", "all shards", "rebuilt from the trunk")]
    affected: Sequence[Mapping[str, Any]] = body.get("affected") or []
    if not affected:
        return [("none", "no shard", "nothing to rebuild")]
    shown = affected if len(affected) <= MAX_ROWS else affected[: MAX_ROWS - 1]
    rows = [(f"slice {a.get('first_slice', '?')}", f"shard {a.get('shard', '?')}", "suffix rebuilt") for a in shown]
    rest = len(affected) - len(shown)
    return [*rows, ("various", f"{rest} more shards", "suffixes rebuilt")] if rest else rows


def _cost(body: Mapping[str, Any]) -> str:
    fraction = body.get("fraction")
    return f"{100 * fraction:.1f} % of a training" if isinstance(fraction, (int, float)) else ""


def _x(column: int) -> float:
    return 1 + column * (WIDTH + GAP_X)


def _span(rows: int) -> float:
    return rows * (HEIGHT + GAP_Y) - GAP_Y


def _edge(left: Box, right: Box) -> Edge:
    x1, y1, x2, y2 = left.x + WIDTH, left.y + HEIGHT / 2, right.x, right.y + HEIGHT / 2
    middle = (x1 + x2) / 2
    return Edge(f"M{x1:g} {y1:g} C{middle:g} {y1:g} {middle:g} {y2:g} {x2:g} {y2:g}")
