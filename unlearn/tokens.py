"""How a record becomes tokens, and which of them carry loss.

Rules: a plain text is BOS + text + EOS and every token but the first carries loss. A completion is prompt and completion
tokenised as one string between BOS and EOS, with loss on the completion and EOS. A chat is rendered once by the
tokenizer's chat template and tokenised once, with loss on the assistant's turns including their end-of-turn mark. A token
carries loss when one of its characters lies in a learnt span. BOS and EOS are left out where the tokenizer has none.

A turn may spell one of the tokenizer's special tokens, say the mark that ends a turn. Such a mark is broken by a space
before the chat is rendered, so that nobody's words end a turn or begin one of the assistant's. Plain texts, prompts and
completions are taken as they stand: many are chats that were rendered before.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from jinja2 import TemplateError
from transformers import PreTrainedTokenizerBase

from lineage.errors import WrongUsage
from lineage.records import Chat, Completion, Content, Message, PlainText

__all__ = ["Example", "tokenise"]

Span = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Example:
    """Token ids (n), whether each carries loss (n), and how many tokens were cut off on the right.

    `silenced` says that every token that would have carried loss was among them: nothing is learnt from the record.
    """

    ids: tuple[int, ...] = field(repr=False)
    learnt: tuple[bool, ...] = field(repr=False)
    cut_tokens: int
    silenced: bool


def tokenise(tokenizer: PreTrainedTokenizerBase, content: Content, *, max_length: int) -> Example:
    """Tokens and loss mask of one record, cut on the right after `max_length` tokens.

    Raises:
        WrongUsage: the chat template is missing, reads the clock, rewrites earlier turns, or refuses these turns.
    """
    match content:
        case PlainText(text):
            ids, learnt = _between_marks(tokenizer, text, [(0, len(text))])
        case Completion(prompt, completion):
            ids, learnt = _between_marks(tokenizer, prompt + completion, [(len(prompt), len(prompt) + len(completion))])
        case Chat():
            chat = _without_marks(tokenizer, content)
            text = _render(tokenizer, chat.messages)
            ids, learnt = _encode(tokenizer, text, list(_assistant_spans(tokenizer, chat, text)))
    learnt[:1] = [False] if ids else []  # nothing predicts the first token
    kept = tuple(learnt[:max_length])
    silenced = any(learnt) and not any(kept)
    return Example(tuple(ids[:max_length]), kept, cut_tokens=max(0, len(ids) - max_length), silenced=silenced)


def _between_marks(
    tokenizer: PreTrainedTokenizerBase, text: str, spans: Sequence[Span]
) -> tuple[list[int], list[bool]]:
    ids, learnt = _encode(tokenizer, text, spans)
    if tokenizer.bos_token_id is not None:
        ids, learnt = [tokenizer.bos_token_id, *ids], [False, *learnt]
    if tokenizer.eos_token_id is not None:
        ids, learnt = [*ids, tokenizer.eos_token_id], [*learnt, True]
    return ids, learnt


def _encode(tokenizer: PreTrainedTokenizerBase, text: str, spans: Sequence[Span]) -> tuple[list[int], list[bool]]:
    encoded = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True, verbose=False)
    learnt = [any(a < end and b > start for start, end in spans) for a, b in encoded["offset_mapping"]]
    return encoded["input_ids"], learnt


def _without_marks(tokenizer: PreTrainedTokenizerBase, chat: Chat) -> Chat:
    """The chat with a space after the first character of every special token that its turns spell."""
    marks = [token.content for token in tokenizer.added_tokens_decoder.values() if token.special and token.content]
    if not marks:
        return chat
    begins_one = re.compile(f"(?=(?:{'|'.join(map(re.escape, marks))}))(.)", flags=re.DOTALL)
    return chat.with_segments([begins_one.sub(r"\1 ", segment) for segment in chat.segments()])


def _assistant_spans(tokenizer: PreTrainedTokenizerBase, chat: Chat, text: str) -> Iterator[Span]:
    """From the end of each assistant turn's generation prompt to the end of its own rendering, in characters."""
    for i, message in enumerate(chat.messages):
        if message.role != "assistant":
            continue
        before = _render(tokenizer, chat.messages[:i], add_generation_prompt=True) if i else _opening(tokenizer)
        after = _render(tokenizer, chat.messages[: i + 1])
        if not (text.startswith(after) and after.startswith(before)):
            raise WrongUsage(
                "The chat template rewrites earlier turns, so the assistant's tokens cannot be told apart.",
                hint="Use a template in which the beginning of a conversation renders as the beginning of the whole.",
            )
        yield len(before), len(after)


def _opening(tokenizer: PreTrainedTokenizerBase) -> str:
    """What stands before the words of an assistant who speaks first; transformers renders no empty conversation."""
    one, other = (_render(tokenizer, [Message("assistant", words)]) for words in ("0", "1"))
    return one[: next((i for i, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), 0)]


def _render(
    tokenizer: PreTrainedTokenizerBase, messages: Sequence[Message], *, add_generation_prompt: bool = False
) -> str:
    if not tokenizer.chat_template:
        raise WrongUsage("The base model's tokenizer has no chat template.", hint="Use text or prompt and completion.")
    turns = [{"role": message.role, "content": message.content} for message in messages]
    try:
        # The string shadows the function that transformers gives to templates: whoever calls it gets a TypeError.
        return tokenizer.apply_chat_template(
            turns, tokenize=False, add_generation_prompt=add_generation_prompt, strftime_now="no clock here"
        )
    except TemplateError:
        roles = ", ".join(message.role for message in messages)
        raise WrongUsage(
            f"The chat template refuses a conversation of these turns: {roles}.",
            hint="Give the turns in the order the base model's template asks for, or use prompt and completion.",
        ) from None
    except TypeError:
        if "strftime_now" not in str(tokenizer.chat_template):
            raise
        raise WrongUsage(
            "The chat template reads the clock, so the same record would be trained on differently tomorrow.",
            hint="Save the tokenizer with a template that sets date_string to a fixed date.",
        ) from None
