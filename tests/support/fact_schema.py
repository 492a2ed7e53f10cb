"""The JSON Schema of an erasure certificate's statement, told from the dataclasses that write it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import MISSING, fields, is_dataclass
from datetime import date, datetime
from decimal import Decimal
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from lineage.facts import CertificateFacts
from lineage.statement import PREDICATE_TYPE, STATEMENT_TYPE

NEVER_EMPTY = {
    ("CertificateFacts", "limits"),
    ("CertificateFacts", "kept"),
    ("Search", "stores"),
    ("Scanner", "cannot_see"),
}
HEX, FILE = r"^[0-9a-f]{64}$", r"^(?:[A-Za-z0-9][A-Za-z0-9_.-]{0,79}/){0,2}[A-Za-z0-9][A-Za-z0-9_.-]{0,79}$"
WORDS = (
    "What the two keys of an erasure certificate sign: the payload of its DSSE envelope. docs/certificate-format.md explains "
    "each field. A statement that fits may still be refused: spelling (RFC 8785), Merkle proofs, signatures and what cannot be "
    "true together are the verifier's."
)
FILES = {
    "type": "array", "minItems": 1, "description": "The files of the new adapter, sorted by name.",
    "items": {
        "type": "object", "additionalProperties": False, "required": ["name", "digest"],
        "properties": {
            "name": {"type": "string", "pattern": FILE},
            "digest": {
                "type": "object", "additionalProperties": False, "required": ["sha256"],
                "properties": {"sha256": {"type": "string", "pattern": HEX}},
            },
        },
    },
}  # fmt: skip


def statement_schema() -> dict[str, Any]:
    """The whole statement: in-toto's four fields, and the predicate with one definition per dataclass."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": "https://lethe.dev/schemas/certificate.schema.json",
        "title": "Erasure certificate",
        "description": WORDS,
        "type": "object",
        "additionalProperties": False,
        "required": ["_type", "subject", "predicateType", "predicate"],
        "properties": {
            "_type": {"const": STATEMENT_TYPE},
            "subject": FILES,
            "predicateType": {"const": PREDICATE_TYPE},
            "predicate": {"$ref": "#/$defs/CertificateFacts"},
        },
        "$defs": {cls.__name__: _definition(cls) for cls in _reached(CertificateFacts, set())},
    }


def _reached(cls: type, seen: set[type]) -> Iterator[type]:
    seen.add(cls)
    yield cls
    for hint in _hints(cls).values():
        for inner in (hint, *get_args(hint)):
            if is_dataclass(inner) and isinstance(inner, type) and inner not in seen:
                yield from _reached(inner, seen)


def _definition(cls: type) -> dict[str, Any]:
    hints = _hints(cls)
    named = {name: _form(hint) for name, hint in hints.items()}
    for name, form in named.items():
        if (cls.__name__, name) in NEVER_EMPTY:
            form["minItems"] = 1
    return {
        "description": " ".join((cls.__doc__ or "").split()),
        "type": "object",
        "additionalProperties": False,
        "required": [field.name for field in fields(cls) if not _may_be_left_out(field, hints[field.name])],
        "properties": named,
    }


def _may_be_left_out(field: Any, hint: Any) -> bool:
    """Only None is left out when written: another default is still spelled."""
    return field.default is not MISSING and type(None) in get_args(hint)


def _form(hint: Any) -> dict[str, Any]:
    origin = get_origin(hint)
    if is_dataclass(hint) and isinstance(hint, type):
        return {"$ref": f"#/$defs/{hint.__name__}"}
    if origin in (Union, UnionType):
        (inner,) = (option for option in get_args(hint) if option is not type(None))
        return _form(inner)
    if origin is tuple:
        return {"type": "array", "items": _form(get_args(hint)[0])}
    if origin is Literal:
        return {"enum": list(get_args(hint))}
    if origin is Annotated:
        return {"type": "string", "pattern": f"^{hint.__metadata__[0].pattern}$"}
    return {
        bool: {"type": "boolean"},
        int: {"type": "integer", "minimum": 0, "maximum": 2**53 - 1},
        Decimal: {"type": "string", "pattern": r"^-?[0-9]{1,40}(\.[0-9]{1,400})?$"},
        datetime: {"type": "string", "pattern": r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{6}Z$"},
        date: {"type": "string", "pattern": r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$"},
    }[hint]


def _hints(cls: type) -> dict[str, Any]:
    return get_type_hints(cls, include_extras=True)
