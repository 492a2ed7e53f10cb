"""The values that travel between rooms: what a training example says, and what was found in it.

A *content* is one of three forms: plain text, prompt and completion, or chat messages. Contents are made of *segments*
(one string for a plain text, two for a completion, one per chat message); findings and redactions address a segment by
its index and a half-open span inside it. The text never appears in a repr.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

import rfc8785

from lineage.errors import NotAcceptable

__all__ = ["Chat", "Completion", "Content", "Message", "PlainText", "RawRecord", "TrainingRecord", "content_from_json"]

Role: TypeAlias = Literal["system", "user", "assistant"]


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of a conversation. Only assistant turns carry training loss."""

    role: Role
    content: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class PlainText:
    """A text learnt as a whole: every token carries loss."""

    text: str = field(repr=False)

    def segments(self) -> tuple[str, ...]:
        """The strings of this content, in order."""
        return (self.text,)

    def labels(self) -> tuple[str, ...]:
        """What the segments are, for people; one each."""
        return ("text",)

    def with_segments(self, segments: Sequence[str]) -> PlainText:
        """The same form around other strings; `c.with_segments(c.segments()) == c`."""
        (text,) = segments
        return PlainText(text)

    def as_json(self) -> dict[str, object]:
        """The form the vault stores and `content_from_json` reads."""
        return {"text": self.text}


@dataclass(frozen=True, slots=True)
class Completion:
    """A prompt and its completion: only the completion carries loss."""

    prompt: str = field(repr=False)
    completion: str = field(repr=False)

    def segments(self) -> tuple[str, ...]:
        """Prompt, then completion."""
        return (self.prompt, self.completion)

    def labels(self) -> tuple[str, ...]:
        """What the segments are."""
        return ("prompt", "completion")

    def with_segments(self, segments: Sequence[str]) -> Completion:
        """The same form around other strings."""
        prompt, completion = segments
        return Completion(prompt, completion)

    def as_json(self) -> dict[str, object]:
        """The form the vault stores."""
        return {"prompt": self.prompt, "completion": self.completion}


@dataclass(frozen=True, slots=True)
class Chat:
    """A conversation: only assistant turns carry loss."""

    messages: tuple[Message, ...]

    def segments(self) -> tuple[str, ...]:
        """The text of every turn, in order."""
        return tuple(message.content for message in self.messages)

    def labels(self) -> tuple[str, ...]:
        """Whose turn each segment is."""
        return tuple(message.role for message in self.messages)

    def with_segments(self, segments: Sequence[str]) -> Chat:
        """The same roles around other strings."""
        return Chat(tuple(Message(m.role, s) for m, s in zip(self.messages, segments, strict=True)))

    def as_json(self) -> dict[str, object]:
        """The form the vault stores."""
        return {"messages": [{"role": m.role, "content": m.content} for m in self.messages]}


Content: TypeAlias = PlainText | Completion | Chat


_JSON = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), sort_keys=True, check_circular=False)


def canonical_bytes(content: Content) -> bytes:
    """RFC 8785 JSON of a content: the bytes the vault encrypts and the content HMAC covers.

    Raises:
        rfc8785.CanonicalizationError: a string holds half a surrogate pair.
    """
    try:
        # The same bytes, of a chat in a fifth of the time. Numbers and keys beyond ASCII would differ; a content has neither.
        if isinstance(content, PlainText):
            return f'{{"text":{_JSON.encode(content.text)}}}'.encode()
        return _JSON.encode(content.as_json()).encode()
    except UnicodeEncodeError:
        return rfc8785.dumps(content.as_json())  # type: ignore[arg-type]  # which says why not


def content_from_json(fields: dict[str, object]) -> Content:
    """Read back what `as_json` wrote.

    Raises:
        NotAcceptable: the fields are none of the three forms. The message holds no value.
    """
    match fields:
        case {"text": str(text)}:
            return PlainText(text)
        case {"prompt": str(prompt), "completion": str(completion)}:
            return Completion(prompt, completion)
        case {"messages": list(messages)} if messages:
            return Chat(tuple(_message(m) for m in messages))
        case _:
            raise NotAcceptable("A record is neither a text, nor prompt and completion, nor messages.")


def _message(fields: object) -> Message:
    match fields:
        case {"role": ("system" | "user" | "assistant") as role, "content": str(content), **rest} if not rest:
            return Message(role, content)
        case _:
            raise NotAcceptable("A message needs a role (system, user or assistant) and a content string.")


@dataclass(frozen=True, slots=True)
class RawRecord:
    """One row of a corpus as it was read, before the gate. `subjects` are identifiers, the first is the primary one."""

    line: int
    content: Content = field(repr=False)
    given_id: str | None = field(repr=False)
    subjects: tuple[str, ...] = field(repr=False)
    source: str
    purpose: str
    lawful_basis: str
    language: str
    parents: tuple[str, ...] = field(repr=False, default=())


@dataclass(frozen=True, slots=True)
class TrainingRecord:
    """One admitted record as training and probes see it: an opaque id and the (redacted) content."""

    record_id: str
    content: Content = field(repr=False)
