"""An in-toto Statement v1 around frozen facts, as canonical JSON, and back: what certificates and supplements have in common.

JSON keys are the field names; an optional field that is None is left out. Numbers are integers from 0; a measured quantity is
a decimal string, because two programs that print a fraction differently would break a signature. RFC 8785 gives every value
one spelling, and reading demands that spelling.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass
from datetime import date, datetime
from decimal import Decimal
from functools import lru_cache
from types import UnionType
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

import rfc8785

from lineage.chain import timestamp
from lineage.errors import NotAcceptable, WrongUsage

__all__ = ["STATEMENT_TYPE", "read", "write"]

STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
_SUBJECT_NAME = re.compile(r"(?:[A-Za-z0-9][A-Za-z0-9_.-]{0,79}/){0,2}[A-Za-z0-9][A-Za-z0-9_.-]{0,79}")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_DECIMAL = re.compile(r"-?[0-9]{1,40}(\.[0-9]{1,400})?")
Facts = TypeVar("Facts")


def write(predicate_type: str, facts: object, subject_files: Mapping[str, str]) -> bytes:
    """The canonical bytes. `subject_files` maps file names to the SHA-256 of their bytes, lower-case hex.

    Raises:
        WrongUsage: a fact holds a value that canonical JSON cannot carry.
    """
    statement = {
        "_type": STATEMENT_TYPE,
        "subject": [{"name": name, "digest": {"sha256": sha}} for name, sha in sorted(subject_files.items())],
        "predicateType": predicate_type,
        "predicate": _to_json(facts),
    }
    try:
        return rfc8785.dumps(statement)
    except rfc8785.CanonicalizationError:
        raise WrongUsage("A fact holds a value that canonical JSON cannot carry.") from None


def read(statement: bytes, predicate_type: str, kind: type[Facts]) -> tuple[Facts, dict[str, str]]:
    """The facts and subject files of a statement; the inverse of `write`.

    Raises:
        NotAcceptable: not canonical, or not an in-toto Statement v1 of this type that holds these facts.
    """
    try:
        content = json.loads(statement)
        canonical = rfc8785.dumps(content)
    except (ValueError, RecursionError):
        raise NotAcceptable("The statement is not JSON.") from None
    if canonical != statement:
        raise NotAcceptable("The statement is not in canonical form (RFC 8785).")
    if not isinstance(content, dict) or set(content) != {"_type", "subject", "predicateType", "predicate"}:
        raise NotAcceptable("The statement lacks a field of in-toto Statement v1, or has one too many.")
    if (content["_type"], content["predicateType"]) != (STATEMENT_TYPE, predicate_type):
        raise NotAcceptable(f"The statement is not of type {predicate_type}.")
    files = _subject_files(content["subject"])
    _validate_as_in_toto(files, content["predicate"], predicate_type)
    facts: Facts = _from_json(kind, content["predicate"], "predicate")
    if _to_json(facts) != content["predicate"]:
        raise NotAcceptable("A date, time, number or default in the predicate is not spelled in the one allowed way.")
    return facts, files


def _subject_files(subjects: object) -> dict[str, str]:
    if not isinstance(subjects, list) or not subjects:
        raise NotAcceptable("The statement needs at least one subject file with its SHA-256.")
    files: dict[str, str] = {}
    for subject in subjects:
        match subject:
            case {"name": str(name), "digest": {"sha256": str(sha), **others}, **rest} if not rest and not others:
                files[name] = sha
            case _:
                raise NotAcceptable("A subject has exactly a name and a SHA-256.")
        if not _SUBJECT_NAME.fullmatch(name) or not _SHA256.fullmatch(sha):
            raise NotAcceptable(
                "A subject is a plain file name, at most two folders deep, with a SHA-256 in lower case."
            )
    if list(files) != sorted(files) or len(files) != len(subjects):
        raise NotAcceptable("The subject files are not sorted by name, or one is named twice.")
    return files


def _validate_as_in_toto(files: Mapping[str, str], predicate: object, predicate_type: str) -> None:
    """Ask the reference library too. Its protobuf Struct turns integers into doubles, so the signed bytes stay ours."""
    from in_toto_attestation.v1.resource_descriptor import ResourceDescriptor
    from in_toto_attestation.v1.statement import Statement

    if not isinstance(predicate, dict):
        raise NotAcceptable("The predicate is not an object.")
    try:
        subjects = [ResourceDescriptor(name=name, digest={"sha256": sha}).pb for name, sha in files.items()]
        Statement(subjects, predicate_type, predicate).validate()
    except (ValueError, TypeError):
        raise NotAcceptable("The in-toto library refuses the statement.") from None


def _to_json(value: object) -> Any:
    match value:
        case datetime():
            return timestamp(value)
        case date():
            return value.isoformat()
        case Decimal():
            text = format(value, "f")
            return text.rstrip("0").rstrip(".") if "." in text else text
        case tuple():
            return [_to_json(item) for item in value]
        case _ if is_dataclass(value):
            named = ((field.name, getattr(value, field.name)) for field in fields(value))
            return {name: _to_json(item) for name, item in named if item is not None}
        case _:
            return value


def _from_json(hint: Any, value: object, where: str) -> Any:
    """Read one value as its declared type; `where` is the path for the error, made of field names only."""
    origin = get_origin(hint)
    if is_dataclass(hint):
        return _record_from_json(hint, value, where)
    if origin in (Union, UnionType):
        (inner,) = (option for option in get_args(hint) if option is not type(None))
        return _from_json(inner, value, where)
    if origin is tuple and isinstance(value, list):
        return tuple(_from_json(get_args(hint)[0], item, f"{where}[{i}]") for i, item in enumerate(value))
    if isinstance(value, str):
        return _scalar_from_text(hint, value, where)
    if isinstance(value, int) and hint is type(value) and value >= 0:
        return value
    raise NotAcceptable(f"{where} is malformed.")


def _scalar_from_text(hint: Any, text: str, where: str) -> str | date | Decimal:
    origin = get_origin(hint)
    if origin is Annotated and hint.__metadata__[0].fullmatch(text):
        return text
    if origin is Literal and text in get_args(hint):
        return text
    try:
        if hint is Decimal and _DECIMAL.fullmatch(text):
            return Decimal(text)
        if hint is datetime:
            return datetime.fromisoformat(text)
        if hint is date:
            return date.fromisoformat(text)
    except ValueError:
        pass
    raise NotAcceptable(f"{where} is malformed.")


def _record_from_json(cls: Any, value: object, where: str) -> Any:
    hints = _hints(cls)
    required = {field.name for field in fields(cls) if field.default is MISSING}
    if not isinstance(value, dict) or not required <= set(value) <= set(hints):
        raise NotAcceptable(f"{where} lacks a field, or has one that certificates do not know.")
    return cls(**{name: _from_json(hints[name], item, f"{where}.{name}") for name, item in value.items()})


@lru_cache(maxsize=64)
def _hints(cls: type) -> dict[str, Any]:
    return get_type_hints(cls, include_extras=True)
