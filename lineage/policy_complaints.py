"""What is wrong with a policy file or lethe.toml, for whoever wrote it: the key, its line, and what is allowed. Never the value."""

from __future__ import annotations

import re
import types
from collections.abc import Iterator, Sequence
from difflib import get_close_matches
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

__all__ = ["complaints", "line_of", "model_at"]

Path = Sequence[str | int]
MOST = 5


def complaints(error: ValidationError, text: str, model: type[BaseModel]) -> str:
    """The first few complaints in one line; `text` is the file, `model` what it should be."""
    return "; ".join(_complaint(problem, text, model) for problem in error.errors(include_input=False)[:MOST])


def _complaint(problem: Any, text: str, model: type[BaseModel]) -> str:
    path: Path = [part for part in problem["loc"] if part != "[key]"]
    line = line_of(text, path) or line_of(text, path[:-1])
    where = ".".join(str(part) for part in path) + (f" (line {line})" if line else "")
    if problem["type"] != "extra_forbidden":
        return f"{where}: {problem['msg']}"
    known = sorted(name for name, field in model_at(model, path[:-1]).model_fields.items() if not field.exclude)
    close = get_close_matches(str(path[-1]), known, n=1)
    return f"{where}: unknown key; " + (f"did you mean {close[0]}?" if close else f"known are {', '.join(known)}")


def model_at(model: type[BaseModel], path: Path) -> type[BaseModel]:
    """The model that the table at this path is read into; the names in a dict of models are passed over."""
    for part in path:
        found = model.model_fields.get(str(part))
        inner = next(_models_in(found.annotation), None) if found else None
        model = inner or model
    return model


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    """Every model named in a type: itself, the values of a dict, the members of a union."""
    if isinstance(annotation, type) and not isinstance(annotation, types.GenericAlias):
        if issubclass(annotation, BaseModel):
            yield annotation
        return
    for argument in get_args(annotation):
        yield from _models_in(argument)


def line_of(text: str, path: Path) -> int | None:
    """The line (from 1) of a key in a TOML file; None if it is not there, or written in a way that this does not read."""
    *table, key = [str(part) for part in path if isinstance(part, str)] or [""]
    here: list[str] = []
    for number, line in enumerate(text.splitlines(), start=1):
        if header := re.match(r"\s*\[+([^\]]+)\]+", line):
            here = [part.strip().strip("\"'") for part in header[1].split(".")]
            if here == [*table, key]:
                return number
        elif here == table and re.match(rf"\s*[\"']?{re.escape(key)}[\"']?\s*(=|\.)", line):
            return number
    return None
