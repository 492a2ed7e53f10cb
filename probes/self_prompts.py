"""Self-prompting: the adapter in question writes texts of the kind it learnt, on which a reference can be trained.

The reference dataset of SPV-MIA (Fu et al. 2023, arXiv 2311.06062, Section 4.2): the first tokens of texts from the same
domain that are no members, continued by the target with sampling. There a text is one string. Here a record keeps what
was never learnt from such a record, a prompt or the user's turns, and everything that carries loss is written anew, turn
after turn; a plain text, in which everything carries loss, keeps its first 16 tokens, as in the authors' program.

Whoever prompts must not be scored: the reference has seen how their records begin, and would make them look unlearnt.
What comes out may hold what the adapter remembers of anybody: it is for memory only.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from hashlib import sha256
from itertools import cycle, islice, takewhile

from lineage.errors import WrongUsage
from lineage.records import Chat, Completion, Content, PlainText, canonical_bytes
from probes.group_attack import AT_ONCE, Brought
from probes.suspect import SUSPECT, Suspect, open_suspect, refuse_no_numbers
from probes.target import Target
from probes.tokens import tokenise

__all__ = ["set_aside", "write_texts"]

PROMPTING = 1 / 4  # share of the people among the controls who prompt
PLAIN_PROMPT = 16  # tokens of a plain text that stay; the authors' refer_data_generate.py cuts there too
ROOM = 2  # times the tokens of what is replaced: the authors stop at its length, in the middle of a sentence
SEED = 2311_06062
UNCUT = 2**31  # tokens; whether a gap lies within the length is asked when its beginning is known


@dataclass(frozen=True, slots=True)
class _Gap:
    """What stands before the words to be written, and how many tokens may be written there."""

    prompt: tuple[int, ...] = field(repr=False)
    room: int


def set_aside(controls: Sequence[Brought]) -> tuple[list[Brought], list[Brought]]:
    """Those controls that prompt, and those that are scored: whole people, a quarter of them, chosen by a digest.

    A record of nobody named counts as a person of its own. The order of the file changes nothing.

    Raises:
        WrongUsage: there is only one person.
    """
    people = sorted({_digest(record) for record in controls})
    if len(people) < 2:
        raise WrongUsage("Self-prompting needs controls of two people: one to begin texts, one to be scored.")
    chosen = set(people[: math.ceil(PROMPTING * len(people))])
    split: tuple[list[Brought], list[Brought]] = ([], [])
    for record in controls:
        split[_digest(record) not in chosen].append(record)
    return split


def write_texts(
    suspect: Suspect, prompts: Sequence[Brought], *, count: int, max_length: int, advance: Callable[[int], None]
) -> list[Content]:
    """`count` records of the prompts' kind in the adapter's own words; prompts take turns. A function of its arguments.

    Raises:
        WrongUsage: the models do not belong together, or the adapter gives values that are no numbers.
    """
    target = open_suspect(replace(suspect, outs=()))
    items = [tokenise(target.tokenizer, record.content, max_length) for record in prompts]
    refuse_no_numbers(SUSPECT, target.read(SUSPECT, items))  # nothing can be drawn from such a prediction
    starts = sorted(
        islice(cycle(record.content for record in prompts), count), key=lambda c: len("".join(c.segments()))
    )
    found: list[Content] = []
    for start in range(0, count, AT_ONCE):
        portion = starts[start : start + AT_ONCE]
        found += _in_own_words(target, portion, max_length=max_length, seed=SEED + start)
        advance(len(portion))
    return found


def _digest(record: Brought) -> bytes:
    return sha256(record.person.encode() if record.person else canonical_bytes(record.content)).digest()


def _in_own_words(target: Target, contents: Sequence[Content], *, max_length: int, seed: int) -> list[Content]:
    """Every learnt segment written anew, each behind what was written before it."""
    found = list(contents)
    for segment in range(max(len(content.segments()) for content in contents)):
        gaps = {i: _gap(target, content, segment, max_length) for i, content in enumerate(found)}
        asked = {i: gap for i, gap in gaps.items() if gap}
        if not asked:
            continue
        longest = max(len(gap.prompt) for gap in asked.values())
        most = min(max(gap.room for gap in asked.values()), max_length - longest)
        written = target.write(SUSPECT, [g.prompt for g in asked.values()], most_tokens=most, seed=seed + segment)
        for (i, gap), ids in zip(asked.items(), written, strict=True):
            found[i] = _filled(target, found[i], segment, gap, ids[: gap.room])
    return found


def _gap(target: Target, content: Content, segment: int, max_length: int) -> _Gap | None:
    """Where this segment's learnt words begin; None if nothing of it is learnt, or it lies behind `max_length`."""
    match content:
        case Chat(messages) if segment < len(messages) and messages[segment].role == "assistant":
            upto: Content = Chat(messages[: segment + 1])
        case Completion() if segment == 1:
            upto = content
        case PlainText() if segment == 0:
            upto = content
        case _:
            return None
    item = tokenise(target.tokenizer, upto, UNCUT)
    learnt = sum(1 for _ in takewhile(bool, reversed(item.loss_mask)))
    start = len(item.ids) - learnt
    if isinstance(content, PlainText):
        start += min(PLAIN_PROMPT, learnt // 2)
    room = min(ROOM * learnt, max_length - start)
    return _Gap(item.ids[:start], room) if start and room > 0 else None


def _filled(target: Target, content: Content, segment: int, gap: _Gap, ids: Sequence[int]) -> Content:
    """The content with these tokens as the segment's words. Decoded behind their prompt: some tokenizers drop the space
    that begins a text."""
    before, whole = (_decoded(target, tokens) for tokens in (gap.prompt, (*gap.prompt, *ids)))
    segments = list(content.segments())
    segments[segment] = whole if isinstance(content, PlainText) else whole[len(before) :]
    return content.with_segments(segments)


def _decoded(target: Target, ids: Sequence[int]) -> str:
    """The text of these tokens, without the BOS that tokenising would put before it again."""
    kept = ids[1:] if ids[0] == target.tokenizer.bos_token_id else ids
    return str(target.tokenizer.decode(kept, clean_up_tokenization_spaces=False))
