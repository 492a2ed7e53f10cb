"""How a record becomes tokens, and which of them carried training loss: written a second time, on purpose.

The judge shares no code with the judged. A golden test holds this module and the trainer's together; if the trainer
scored other tokens than it says, this copy would show it.

Rules: a plain text is BOS + text + EOS, every token but the first carries loss. A completion is prompt + completion
tokenised as one string, BOS and EOS around it, loss on the completion and its EOS. A chat is rendered once by the
tokenizer's chat template and tokenised once; loss on assistant turns including their end-of-turn mark. Special tokens
that a turn spells out are broken by a space behind their first character.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import takewhile
from typing import TYPE_CHECKING

from lineage.errors import WrongUsage
from lineage.records import Chat, Completion, Content, Message, PlainText

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

__all__ = ["Tokenised", "tokenise"]

Span = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Tokenised:
    """Token ids (n), which of them carried loss (n), their half-open character spans (n) in `text`.

    The first token never carries loss: nothing predicts it. Added BOS and EOS have empty spans.
    """

    ids: tuple[int, ...] = field(repr=False)
    loss_mask: tuple[bool, ...] = field(repr=False)
    offsets: tuple[Span, ...] = field(repr=False)
    text: str = field(repr=False)

    def overlapping(self, start: int, end_exclusive: int) -> tuple[int, ...]:
        """Positions of the tokens whose characters overlap text[start:end_exclusive]."""
        return tuple(i for i, (a, b) in enumerate(self.offsets) if a < end_exclusive and b > start)

    def learnt_text(self) -> str:
        """The characters of the loss-carrying tokens: what a score speaks about. Tokens may share a character."""
        spans = sorted(span for span, carries in zip(self.offsets, self.loss_mask, strict=True) if carries)
        found, reached = [], 0
        for start, end in spans:
            found.append(self.text[max(start, reached) : end])
            reached = max(reached, end)
        return "".join(found)

    def loss_positions(self) -> tuple[int, ...]:
        """Positions of the tokens that carried loss."""
        return tuple(i for i, carries in enumerate(self.loss_mask) if carries)


def tokenise(tokenizer: PreTrainedTokenizerBase, content: Content, max_length: int) -> Tokenised:
    """Tokens and loss mask of one record, cut on the right after `max_length` tokens.

    Raises:
        WrongUsage: the tokenizer has no offsets, or its chat template rewrites earlier turns.
    """
    match content:
        case PlainText(text):
            return _framed(tokenizer, text, spans=((0, len(text)),), max_length=max_length)
        case Completion(prompt, completion):
            whole = prompt + completion
            return _framed(tokenizer, whole, spans=((len(prompt), len(whole)),), max_length=max_length)
        case Chat():
            if not tokenizer.chat_template:
                raise WrongUsage(
                    "The base model's tokenizer has no chat template, so messages cannot be read.",
                    hint="Put the chat template of the training into the base's folder, as chat_template.jinja.",
                )
            chat = content.with_segments([_unmarked(tokenizer, turn) for turn in content.segments()])
            text = _render(tokenizer, chat, upto=len(chat.messages), reply=False)
            spans = tuple(_assistant_spans(tokenizer, chat, text))
            return _trained(_masked(tokenizer, text, spans=spans), max_length)


def _framed(tokenizer: PreTrainedTokenizerBase, text: str, *, spans: tuple[Span, ...], max_length: int) -> Tokenised:
    """BOS and EOS (where the tokenizer has them) around a text; EOS carries loss, BOS does not."""
    inner = _masked(tokenizer, text, spans=spans)
    head = () if tokenizer.bos_token_id is None else (tokenizer.bos_token_id,)
    tail = () if tokenizer.eos_token_id is None else (tokenizer.eos_token_id,)
    ids = (*head, *inner.ids, *tail)
    mask = (*(False for _ in head), *inner.loss_mask, *(True for _ in tail))
    offsets = (*((0, 0) for _ in head), *inner.offsets, *((len(text), len(text)) for _ in tail))
    return _trained(Tokenised(ids, mask, offsets, text), max_length)


def _masked(tokenizer: PreTrainedTokenizerBase, text: str, *, spans: tuple[Span, ...]) -> Tokenised:
    """The whole string tokenised once; a token carries loss if its characters overlap one of the spans."""
    if not tokenizer.is_fast:
        raise WrongUsage("The base model's tokenizer gives no character offsets.", hint="Use a fast tokenizer.")
    encoded = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True, verbose=False)
    offsets = tuple((int(a), int(b)) for a, b in encoded["offset_mapping"])
    mask = tuple(any(a < end and b > start for start, end in spans) for a, b in offsets)
    return Tokenised(tuple(encoded["input_ids"]), mask, offsets, text)


def _trained(item: Tokenised, max_length: int) -> Tokenised:
    """The item as training saw it: cut on the right, and without loss on the first token, which nothing predicts."""
    n = max_length
    mask = tuple(carries and i > 0 for i, carries in enumerate(item.loss_mask[:n]))
    return Tokenised(item.ids[:n], mask, item.offsets[:n], item.text)


def _unmarked(tokenizer: PreTrainedTokenizerBase, words: str) -> str:
    """A turn in which no special token begins anywhere: behind each place where one would, a space is put in."""
    marks = tuple(t.content for t in tokenizer.added_tokens_decoder.values() if t.special and t.content)
    if not any(mark in words for mark in marks):
        return words
    return "".join(c + " " * words.startswith(marks, i) for i, c in enumerate(words))


def _assistant_spans(tokenizer: PreTrainedTokenizerBase, chat: Chat, text: str) -> Iterator[Span]:
    """Where each assistant turn stands: from the end of its generation prompt to the end of its own rendering."""
    for i, message in enumerate(chat.messages):
        if message.role != "assistant":
            continue
        before = _render(tokenizer, chat, upto=i, reply=True) if i else _first_words_of_all(tokenizer, chat)
        after = _render(tokenizer, chat, upto=i + 1, reply=False)
        if not (text.startswith(after) and after.startswith(before)):
            raise WrongUsage(
                "The chat template rewrites earlier turns, so the learnt tokens cannot be told apart.",
                hint="Use a template that renders a conversation's beginning as the beginning of its rendering.",
            )
        yield len(before), len(after)


def _first_words_of_all(tokenizer: PreTrainedTokenizerBase, chat: Chat) -> str:
    """What stands before an assistant who speaks first. An empty conversation has no rendering in transformers, so the
    first turn is rendered as it is and as another: what both begin with stands before the words."""
    first = chat.messages[0]
    other = Message(first.role, "b" if first.content.lstrip().startswith("a") else "a")
    as_it_is, as_another = (
        _render(tokenizer, chat, upto=1, reply=False),
        _render(tokenizer, Chat((other,)), upto=1, reply=False),
    )
    return as_it_is[
        : sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(as_it_is, as_another, strict=False)))
    ]


def _render(tokenizer: PreTrainedTokenizerBase, chat: Chat, *, upto: int, reply: bool) -> str:
    messages = [{"role": m.role, "content": m.content} for m in chat.messages[:upto]]
    return str(tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=reply))
