"""One row of the demo corpus: chat turns whose identifiers are marked, so that no text search is ever needed."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal, TypeAlias

__all__ = ["KINDS", "DemoRow", "Kind", "Mention", "Person", "Turn", "row_without", "write_jsonl"]

Kind: TypeAlias = Literal["name", "email", "phone", "account"]
KINDS: tuple[Kind, ...] = ("name", "email", "phone", "account")
CONSTANTS: dict[Kind, str] = {"name": "[PERSON]", "email": "[EMAIL]", "phone": "[PHONE]", "account": "[ACCOUNT]"}
"""What the gate puts in the place of another person's identifier."""


@dataclass(frozen=True, slots=True)
class Person:
    """A synthetic customer. `customer_id` is the subject identifier; `records` counts the rows that declare them."""

    customer_id: str
    name: str = field(repr=False)
    email: str = field(repr=False)
    phone: str = field(repr=False)
    account: str = field(repr=False)
    purpose: Literal["customer", "canary"] = "customer"

    def value(self, kind: Kind) -> str:
        """One of the four identifiers."""
        return {"name": self.name, "email": self.email, "phone": self.phone, "account": self.account}[kind]


@dataclass(frozen=True, slots=True)
class Mention:
    """An identifier standing in a text."""

    customer_id: str
    kind: Kind
    value: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Turn:
    """One chat message, as plain strings and mentions in order."""

    role: Literal["user", "assistant"]
    parts: tuple[str | Mention, ...] = field(repr=False)

    def text(self) -> str:
        """What is read."""
        return "".join(part if isinstance(part, str) else part.value for part in self.parts)


@dataclass(frozen=True, slots=True)
class DemoRow:
    """One row of the corpus file. No subjects means: declared to be about nobody."""

    row_id: str
    turns: tuple[Turn, ...] = field(repr=False)
    subjects: tuple[str, ...] = ()
    source: str = "support-chat"
    purpose: str = "support-assistant"
    lawful_basis: str = "contract"
    parents: tuple[str, ...] = ()

    def as_json(self) -> dict[str, object]:
        """The row as the importer reads it."""
        return {
            "id": self.row_id,
            "messages": [{"role": turn.role, "content": turn.text()} for turn in self.turns],
            "subjects": list(self.subjects),
            "source": self.source,
            "purpose": self.purpose,
            "lawful_basis": self.lawful_basis,
            "language": "en",
            "parents": list(self.parents),
        }

    def mentions(self) -> tuple[Mention, ...]:
        """Every identifier in the row, in order."""
        return tuple(part for turn in self.turns for part in turn.parts if isinstance(part, Mention))


def row_without(row: DemoRow, customer_id: str) -> DemoRow:
    """The row with every identifier of one person replaced by the constant of its kind."""

    def part_without(part: str | Mention) -> str | Mention:
        return CONSTANTS[part.kind] if isinstance(part, Mention) and part.customer_id == customer_id else part

    turns = tuple(replace(turn, parts=tuple(part_without(part) for part in turn.parts)) for turn in row.turns)
    return replace(row, turns=turns)


def write_jsonl(rows: Iterable[DemoRow], path: Path) -> None:
    """One JSON object per line, UTF-8, keys in the order of `DemoRow.as_json`."""
    lines = (json.dumps(row.as_json(), ensure_ascii=False) for row in rows)
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
