"""Tokenizers, chat templates and an oracle for the loss mask that counts bytes and never asks for offsets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from lineage.records import Chat

Span = tuple[int, int]
MARKS = (
    "<|im_start|>", "<|im_end|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>", "[INST]", "[/INST]", "</turn>",
)  # fmt: skip
BOS, EOS = "<|bos|>", "</s>"

CHATML = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
LLAMA3 = (
    "{{ bos_token or '' }}{% set date_string = '26 Jul 2026' %}"
    "{% if not date_string is defined %}{% set date_string = strftime_now('%d %b %Y') %}{% endif %}"
    "<|start_header_id|>system<|end_header_id|>\n\nToday is {{ date_string }}.<|eot_id|>"
    "{% for m in messages %}<|start_header_id|>{{ m.role }}<|end_header_id|>\n\n{{ m.content | trim }}<|eot_id|>{% endfor %}"
    "{% if add_generation_prompt %}<|start_header_id|>assistant<|end_header_id|>\n\n{% endif %}"
)
MISTRAL = (
    "{{ bos_token or '' }}{% for m in messages %}"
    "{% if (m.role == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('roles must alternate') }}{% endif %}"
    "{% if m.role == 'user' %}[INST] {{ m.content }} [/INST]{% else %} {{ m.content }}{{ eos_token or '</turn>' }}{% endif %}"
    "{% endfor %}"
)
TEMPLATES = {"chatml": CHATML, "llama3": LLAMA3, "mistral": MISTRAL}


@dataclass(frozen=True)
class Learnt:
    """A text and the half-open character ranges of it that are to be learnt."""

    text: str
    ranges: tuple[Span, ...]


def make_tokenizer(*, merges: bool, marks: bool) -> PreTrainedTokenizerFast:
    """Byte-level BPE, with merges that cross every border of words or with none; with BOS and EOS or without."""
    inner = Tokenizer(models.BPE())
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=not merges)
    inner.decoder = decoders.ByteLevel()
    own = [AddedToken(mark, special=True, normalized=False) for mark in (*MARKS, BOS, EOS)]
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(
        vocab_size=len(alphabet) + len(own) + (120 if merges else 0), special_tokens=own, initial_alphabet=alphabet,
        show_progress=False,
    )  # fmt: skip
    inner.train_from_iterator(["aB aB .aB, é€ é€ aB 7aB\n\n Ba B a😀 a😀 ]<|im aB ab ab ab"] * 9, trainer)
    ends = {"bos_token": BOS, "eos_token": EOS} if marks else {}
    return PreTrainedTokenizerFast(tokenizer_object=inner, **ends)


def expected(name: str, chat: Chat, *, bos: str, eos: str) -> Learnt:
    """What a template renders and what is learnt of it, written by hand: the answer and all that ends its turn."""
    turns = [(m.role, _broken(m.content)) for m in chat.messages]
    match name:
        case "chatml":
            parts = [(f"<|im_start|>{role}\n", f"{text}<|im_end|>\n", role) for role, text in turns]
            return _joined("", parts)
        case "llama3":
            preface = f"{bos}<|start_header_id|>system<|end_header_id|>\n\nToday is 26 Jul 2026.<|eot_id|>"
            heads = [(f"<|start_header_id|>{role}<|end_header_id|>\n\n", text.strip(), role) for role, text in turns]
            return _joined(preface, [(head, text + "<|eot_id|>", role) for head, text, role in heads])
        case "mistral":
            asked = {"user": lambda text: ("", f"[INST] {text} [/INST]", "user")}
            said = {"assistant": lambda text: ("", f" {text}{eos or '</turn>'}", "assistant")}
            return _joined(bos, [(asked | said)[role](text) for role, text in turns])
        case _:
            return _joined(bos, [(f"<|{role}|>", text + eos, role) for role, text in turns])


def _joined(preface: str, parts: Sequence[tuple[str, str, str]]) -> Learnt:
    text, ranges = preface, []
    for head, body, role in parts:
        text += head
        if role == "assistant":
            ranges.append((len(text), len(text) + len(body)))
        text += body
    return Learnt(text, tuple(ranges))


def _broken(words: str, marks: Sequence[str] = (*MARKS, BOS, EOS)) -> str:
    """The words with a space inside every mark they spell."""
    out = ""
    for place, character in enumerate(words):
        out += character + (" " if any(words.startswith(mark, place) for mark in marks) else "")
    return out


def mask_by_bytes(tokenizer: PreTrainedTokenizerFast, ids: Sequence[int], learnt: Learnt) -> list[bool]:
    """Which of the tokens, laid end to end as bytes, touch a learnt range; the first never, nothing predicts it.

    A byte of a character stands for the whole of it.

    Raises:
        AssertionError: the tokens do not spell the text.
    """
    owner = [place for place, character in enumerate(learnt.text) for _ in character.encode()]
    inside = [any(start <= place < end for start, end in learnt.ranges) for place in owner]
    pieces = [_bytes_of(tokenizer, token) for token in ids]
    if b"".join(pieces) != learnt.text.encode():
        raise AssertionError("the tokens do not spell the text")
    mask, start = [], 0
    for piece in pieces:
        mask.append(any(inside[start : start + len(piece)]))
        start += len(piece)
    return [False, *mask[1:]] if mask else []


def _bytes_of(tokenizer: PreTrainedTokenizerFast, token: int) -> bytes:
    if token in tokenizer.added_tokens_decoder:
        return tokenizer.added_tokens_decoder[token].content.encode()
    return bytes(BYTE_OF[symbol] for symbol in tokenizer.convert_ids_to_tokens(token))


def _byte_symbols() -> dict[str, int]:
    """The printable character that stands for each byte in a byte-level vocabulary (GPT-2's alphabet)."""
    plain = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    shifted = [byte for byte in range(256) if byte not in plain]
    return {chr(byte): byte for byte in plain} | {chr(256 + n): byte for n, byte in enumerate(shifted)}


BYTE_OF = _byte_symbols()
