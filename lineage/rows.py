"""One row of a corpus, from loose fields to a typed record, or to the reason why not.

The columns are those of overview.md, "Input formats". The reasons are a closed list of sentences; none holds a value.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from lineage.planted import is_reserved
from lineage.records import Chat, Completion, Content, Message, PlainText, RawRecord

__all__ = ["CONTENT_COLUMNS", "PLAIN_COLUMNS", "Reject", "RejectReason", "RowDefaults", "RowReader"]

CONTENT_COLUMNS = frozenset({"text", "prompt", "completion", "messages"})
PLAIN_COLUMNS = frozenset({"id", "source", "purpose", "lawful_basis", "language", "parents"})
MAX_FIELD_CHARS = 1_000
MAX_CONTENT_CHARS = 2_000_000


class RejectReason(StrEnum):
    """Why a row is refused."""

    NOT_UTF8 = "The row is not valid UTF-8."
    NOT_JSON = "The row is not valid JSON."
    NOT_AN_OBJECT = "The row is not a JSON object."
    NOT_CSV = "The row is not valid CSV."
    WRONG_COLUMN_COUNT = "The row has more or fewer columns than the header."
    UNKNOWN_COLUMN = "The row has a column that is not known."
    TOO_LARGE = "The row is too large."
    NO_CONTENT = "The row has neither text, nor prompt and completion, nor messages."
    SEVERAL_CONTENTS = "The row has more than one of text, prompt and completion, and messages."
    EMPTY_CONTENT = "The row's content is empty."
    CONTENT_TYPE = "The row's content has the wrong type."
    MESSAGE_FORM = "A message is not made of a role and a content string."
    UNKNOWN_ROLE = "A message has a role other than system, user or assistant."
    NO_ASSISTANT_TURN = "The messages have no assistant turn, so nothing would be learnt."
    NO_SUBJECTS = "The row does not say who its subjects are; an explicit empty list means nobody."
    SUBJECTS_TYPE = "The row's subjects are neither an identifier nor a list of identifiers."
    PARENTS_TYPE = "The row's parents are neither an id nor a list of ids."
    FIELD_TYPE = "The row's id, source, purpose, lawful basis or language has the wrong type."
    FIELD_TOO_LONG = "The row's id, subjects, source, purpose, lawful basis, language or parents are too long."
    OTHER_CONTENT = "The id was used before with another content; nothing was changed."
    UNKNOWN_RECORD = "No record of this source, id and first subject is held, so nothing was rectified."
    RESTRICTED = "The record is restricted by an erasure request and cannot be rectified."
    RESERVED_SOURCE = "The row's source is reserved for Lethe's own canaries."
    ERASED = "This record was erased on request and may not come back."
    NEAR_ERASED = "This record says nearly the same as one of its subject's that was erased on request."


class BadRow(Exception):
    """Carries the reason from where it is seen to where the row is read."""

    def __init__(self, reason: RejectReason) -> None:
        super().__init__(reason.name)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Reject:
    """A refused row: its line and the reason, and nothing of the row."""

    line: int
    reason: RejectReason


@dataclass(frozen=True, slots=True)
class RowDefaults:
    """What a row means when it does not say."""

    purpose: str
    lawful_basis: str
    language: str


@dataclass(frozen=True, slots=True)
class RowReader:
    """Turns the fields of one row into a record. A missing column, None and an empty string mean the same.

    `subjects_needed` False takes a row that does not say whose it is: for scoring records, never for holding them.
    """

    source: str
    defaults: RowDefaults
    subject_column: str = "subjects"
    subjects_needed: bool = True

    @property
    def known_columns(self) -> frozenset[str]:
        """The columns a row may have."""
        return CONTENT_COLUMNS | PLAIN_COLUMNS | {self.subject_column}

    def read(self, line: int, fields: Mapping[str, object]) -> RawRecord | Reject:
        """The record, or the first reason to refuse it."""
        try:
            return self._record(line, fields)
        except BadRow as bad:
            return Reject(line, bad.reason)

    def _record(self, line: int, fields: Mapping[str, object]) -> RawRecord:
        if not fields.keys() <= self.known_columns:
            raise BadRow(RejectReason.UNKNOWN_COLUMN)
        content = _content({key: value for key, value in fields.items() if value is not None})
        subjects = _identifiers(fields.get(self.subject_column), RejectReason.SUBJECTS_TYPE)
        if is_reserved(source := _plain(fields, "source") or self.source):
            raise BadRow(RejectReason.RESERVED_SOURCE)
        if subjects is None and self.subjects_needed:
            raise BadRow(RejectReason.NO_SUBJECTS)
        return RawRecord(
            line=line,
            content=content,
            given_id=_plain(fields, "id") or None,
            subjects=subjects or (),
            source=source,
            purpose=_plain(fields, "purpose") or self.defaults.purpose,
            lawful_basis=_plain(fields, "lawful_basis") or self.defaults.lawful_basis,
            language=_plain(fields, "language") or self.defaults.language,
            parents=_identifiers(fields.get("parents"), RejectReason.PARENTS_TYPE) or (),
        )


def _content(fields: Mapping[str, object]) -> Content:
    forms = [form for form in ("text", "messages") if form in fields]
    forms += ["completion"] if {"prompt", "completion"} & fields.keys() else []
    if len(forms) != 1:
        raise BadRow(RejectReason.SEVERAL_CONTENTS if forms else RejectReason.NO_CONTENT)
    match forms[0]:
        case "text":
            content: Content = PlainText(_text(fields["text"]))
        case "completion":
            if not {"prompt", "completion"} <= fields.keys():
                raise BadRow(RejectReason.NO_CONTENT)
            content = Completion(_text(fields["prompt"]), _text(fields["completion"]))
        case _:
            content = _chat(fields["messages"])
    if sum(map(len, content.segments())) > MAX_CONTENT_CHARS:
        raise BadRow(RejectReason.TOO_LARGE)
    return content


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise BadRow(RejectReason.CONTENT_TYPE)
    if not value.strip():
        raise BadRow(RejectReason.EMPTY_CONTENT)
    return _encodable(value)


def _chat(value: object) -> Chat:
    turns = _json_if_text(value, RejectReason.CONTENT_TYPE)
    if not isinstance(turns, list):
        raise BadRow(RejectReason.CONTENT_TYPE)
    if not turns:
        raise BadRow(RejectReason.EMPTY_CONTENT)
    messages = tuple(_message(turn) for turn in turns)
    learnt = [m.content for m in messages if m.role == "assistant"]
    if not learnt:
        raise BadRow(RejectReason.NO_ASSISTANT_TURN)
    if not any(content.strip() for content in learnt):
        raise BadRow(RejectReason.EMPTY_CONTENT)
    return Chat(messages)


def _message(turn: object) -> Message:
    # Tables pad structs with nulls; a field without a value is not there.
    present = {k: v for k, v in turn.items() if v is not None} if isinstance(turn, dict) else {}
    match present:
        case {"role": ("system" | "user" | "assistant") as role, "content": str(content), **rest} if not rest:
            return Message(role, _encodable(content))
        case {"role": str(), "content": str(), **rest} if not rest:
            raise BadRow(RejectReason.UNKNOWN_ROLE)
        case _:
            raise BadRow(RejectReason.MESSAGE_FORM)


def _identifiers(value: object, wrong_type: RejectReason) -> tuple[str, ...] | None:
    """A list of strings, a JSON list, or one string; integers are identifiers too. None: the row does not say."""
    if value is None or (isinstance(value, str) and not value.strip()):
        return None
    if isinstance(value, str) and value.lstrip().startswith("["):
        value = _json_if_text(value, wrong_type)
    items = value if isinstance(value, list) else [value]
    found = [str(item).strip() for item in items if isinstance(item, (str, int)) and not isinstance(item, bool)]
    if len(found) != len(items) or not all(found):
        raise BadRow(wrong_type)
    return tuple(dict.fromkeys(_short(item) for item in found))


def _plain(fields: Mapping[str, object], name: str) -> str:
    value = fields.get(name)
    if value is None:
        return ""
    if isinstance(value, bool) or not isinstance(value, (str, int)):
        raise BadRow(RejectReason.FIELD_TYPE)
    return _short(str(value).strip())


def _short(value: str) -> str:
    if len(value) > MAX_FIELD_CHARS:
        raise BadRow(RejectReason.FIELD_TOO_LONG)
    return _encodable(value)


def _encodable(value: str) -> str:
    """JSON can spell half a surrogate pair, and undecodable CSV bytes arrive as one; neither can be stored."""
    try:
        value.encode("utf-8")
    except UnicodeEncodeError:
        raise BadRow(RejectReason.NOT_UTF8) from None
    return value


def _json_if_text(value: object, wrong: RejectReason) -> object:
    if not isinstance(value, str):
        return value
    try:
        parsed: object = json.loads(value)
    except (ValueError, RecursionError):
        raise BadRow(wrong) from None
    return parsed
