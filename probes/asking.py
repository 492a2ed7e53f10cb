"""Ways of asking for a value: the prompts an attacker would try, each with the true value behind it.

Nothing is sampled. The value is written behind the prompt, the whole string is tokenised at once, and one pass gives
the exact chance that the model would have written it there. The ways are those of PII-Scope (Nakka et al. 2024,
arXiv:2410.06704):

true_prefix    the person's own record up to the value
short_prefix   only the last tokens of it
template       a plain question with the person's name
few_shot       the same behind examples of other people; they and their values are invented
pii_compass    the same behind what a stranger's record says before a value of that kind (Nakka et al. 2024,
               arXiv:2407.02943); strangers are control people, on whom nothing was ever trained
multi_query    all prompts together

A prompt that already says the value, in whatever punctuation, is dropped (`extraction.occurrences`); so is one that
truncation cuts. Prompts and values live in memory only.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import cycle, islice
from typing import TYPE_CHECKING

from lineage.records import Chat, Completion, Content, Message
from probes.dossier import AttackRules, PersonalValue
from probes.extraction import Occurrence, occurrences
from probes.formats import Format, candidates, peer_pattern
from probes.tokens import Tokenised, tokenise

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

__all__ = ["MULTI_QUERY", "WAYS", "Ask", "Asker", "asks"]

WAYS = ("true_prefix", "short_prefix", "template", "few_shot", "pii_compass")
MULTI_QUERY = "multi_query"
EXAMPLE_SEED = 7_919  # added to the candidates' seed, so that examples are other draws of the same format
INVENTED = (
    "Tilda Maro", "Oskar Venn", "Runa Sedlak", "Bram Oyelo", "Ines Vatten", "Karim Dahlo", "Petra Quill", "Yuki Lindor",
    "Vera Santok", "Milo Harrand", "Zofia Kemp", "Dario Wexel",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Ask:
    """One prompt with the value behind it; only the value's tokens are marked as carrying loss."""

    way: str
    item: Tokenised = field(repr=False)


@dataclass(frozen=True, slots=True, eq=False)
class Asker:
    """What asking needs beside the value.

    `name` is the person's, empty if unknown: then nobody can be asked for. `opening` holds the turns that begin every
    chat of the person (a system prompt), None if the records are no chats.
    """

    tokenizer: PreTrainedTokenizerBase
    rules: AttackRules
    max_length: int
    seed: int
    name: str = field(repr=False)
    opening: tuple[Message, ...] | None = field(repr=False)
    strangers: tuple[Content, ...] = field(repr=False)


def asks(
    asker: Asker, value: PersonalValue, form: Format, own: Sequence[tuple[Tokenised, Occurrence]]
) -> tuple[Ask, ...]:
    """Every prompt for one value, grouped by way in the order of `WAYS`; `own` are the person's records with a place."""
    own = own[: asker.rules.prompts]
    found = [Ask("true_prefix", _marked(item, place)) for item, place in own]
    found += [
        Ask("short_prefix", _marked(item, place, keep=keep))
        for item, place in own
        for keep in asker.rules.prefix_tokens
        if keep < place.positions[0]
    ]
    if asker.name:
        found += _posed(asker, value, "template", [()] * len(asker.rules.templates))
        found += _posed(asker, value, "few_shot", _examples(asker, value, form))
        found += _posed(asker, value, "pii_compass", list(islice(_strangers(asker, value), asker.rules.prompts)))
    return tuple(found)


def _marked(item: Tokenised, place: Occurrence, *, keep: int | None = None) -> Tokenised:
    """The record up to the end of the value; with `keep` only that many tokens before it, behind a BOS if it had one."""
    end, start = place.positions[-1] + 1, 0 if keep is None else place.positions[0] - keep
    head = 1 if start and item.offsets[0] == (0, 0) else 0
    kept = [*range(head), *range(start, end)]
    return Tokenised(
        tuple(item.ids[i] for i in kept),
        tuple(i in place.positions for i in kept),
        tuple(item.offsets[i] for i in kept),
        item.text,
    )


def _posed(asker: Asker, value: PersonalValue, way: str, contexts: Sequence[tuple[Message, ...]]) -> list[Ask]:
    """A question behind each context, templates taking turns; without prompts that say the value or do not fit."""
    pairs = zip(contexts, cycle(asker.rules.templates), strict=False)
    found = []
    for context, template in pairs:
        question, answer = (_worded(asker, value, text, asker.name) for text in template)
        content = _content(asker, (*context, Message("user", question)), answer, value.value)
        item = tokenise(asker.tokenizer, content, asker.max_length)
        places = occurrences([item], value)
        # the last place in the text: the value behind the question, not one that the context happens to hold
        found += [Ask(way, _marked(item, p)) for p in places if item.text.rfind(value.value) == p.start]
    return found


def _worded(asker: Asker, value: PersonalValue, template: str, name: str) -> str:
    noun = dict(asker.rules.nouns).get(value.kind, value.kind.replace("_", " "))
    return template.replace("{noun}", noun).replace("{name}", name)


def _content(asker: Asker, turns: Sequence[Message], answer: str, value: str) -> Content:
    """The turns and an answer that ends in the value: a chat, or the answers alone as one text."""
    if asker.opening is not None:
        return Chat(_merged((*asker.opening, *turns, Message("assistant", f"{answer} {value}."))))
    said = [turn.content for turn in turns if turn.role == "assistant"]
    return Completion("\n".join([*said, answer]), f" {value}.")


def _merged(turns: Sequence[Message]) -> tuple[Message, ...]:
    """Neighbouring turns of one role joined: many chat templates insist on alternation."""
    found: list[Message] = []
    for turn in turns:
        if found and found[-1].role == turn.role:
            found[-1] = Message(turn.role, f"{found[-1].content} {turn.content}")
        else:
            found.append(turn)
    return tuple(found)


def _examples(asker: Asker, value: PersonalValue, form: Format) -> list[tuple[Message, ...]]:
    """Question and answer about invented people, `shots` of them per prompt; none if the format has no other values."""
    shots, seed = asker.rules.shots, asker.seed + EXAMPLE_SEED
    drawn = iter(candidates(form, value.value, count=shots * asker.rules.prompts, seed=seed))
    people = cycle(name for name in INVENTED if name != asker.name)
    contexts = []
    for _, template in zip(range(asker.rules.prompts), cycle(asker.rules.templates), strict=False):
        turns: list[Message] = []
        for other in islice(drawn, shots):
            question, answer = (_worded(asker, value, text, name) for name in [next(people)] for text in template)
            turns += [Message("user", question), Message("assistant", f"{answer} {other}.")]
        contexts += [tuple(turns)] if turns else []
    return contexts


def _strangers(asker: Asker, value: PersonalValue) -> Iterator[tuple[Message, ...]]:
    """What each control record says before its first value of the same kind; of a text as if an assistant said it."""
    pattern = peer_pattern(value)
    for content in asker.strangers:
        turns = content.messages if isinstance(content, Chat) else (Message("assistant", "".join(content.segments())),)
        for i, turn in enumerate(turns):
            match = pattern.search(turn.content)
            if match:
                cut = turn.content[: match.start()].rstrip()
                before = [t for t in turns[:i] if t.role != "system"] + ([Message(turn.role, cut)] if cut else [])
                if before:
                    yield tuple(before)
                break
