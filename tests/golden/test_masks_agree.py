"""Trainer and judge write their tokenisation twice, on purpose; here they must say the same, token by token.

The golden numbers pin both to the embedded base: a change of either, or of the base's tokenizer, shows here.
"""

from __future__ import annotations

import hashlib
from functools import partial

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from transformers import AutoTokenizer

from lineage.records import Chat, Completion, Content, Message, PlainText
from probes.tokens import tokenise as judged
from unlearn.tiny_base import TINY_BASE
from unlearn.tokens import tokenise as trained

TOKENIZER = AutoTokenizer.from_pretrained(TINY_BASE)
LONG = 4096
WORDS = (
    st.text(alphabet="aB .,?7é€ß\u0301漢😀\u200b\n\t<|>", max_size=24)
    | st.text(max_size=12)
    | st.lists(st.sampled_from(["<|end|>", "<|assistant|>", "<|", "|>", "<|user|>a", " "]), max_size=5).map("".join)
)
ROLES = st.sampled_from(["system", "user", "assistant"])
CONTENTS = st.one_of(
    st.builds(PlainText, WORDS),
    st.builds(Completion, WORDS, WORDS),
    st.builds(Chat, st.lists(st.builds(Message, ROLES, WORDS), min_size=1, max_size=6).map(tuple)),
)

U, A, S = (partial(Message, role) for role in ("user", "assistant", "system"))
EXAMPLES: dict[str, Content] = {
    "text": PlainText("The lamp does not work, and Zoë's naïve fix (€7) did not help."),
    "completion": Completion("The lamp", " works now."),
    "completion after nothing": Completion("", "It works."),
    "chat": Chat((U("Hello"), A("Good day. How can I help?"))),
    "chat with a system turn": Chat((S("Be brief."), U("Hello"), A("Good day."))),
    "chat of several answers": Chat((U("One"), A("two"), U("three"), A("four"), A("five"))),
    "chat that the assistant begins": Chat((A("Welcome."), U("Hello"), A("Good day."))),
    "chat of an assistant alone": Chat((A("Welcome."),)),
    "chat that nobody learns from": Chat((S("Be brief."), U("Hello"))),
    "unicode": Chat((U("e\u0301 漢字 😀\u200d🔥"), A("ﬁne — ½ 𝔘"))),
}
# SHA-256 over (token ids, learnt positions), first sixteen digits.
GOLDEN: dict[str, str] = {
    "text": "43f579d98231c108",
    "completion": "03391feeda6e2d86",
    "completion after nothing": "95b66521b0c984c8",
    "chat": "c5ed8b555c7a8df6",
    "chat with a system turn": "c6620db8ca236ceb",
    "chat of several answers": "8ac268f7d10d6bed",
    "chat that the assistant begins": "c9ce17ea9b6c6e64",
    "chat of an assistant alone": "42a681c35394190d",
    "chat that nobody learns from": "77ae87a8891011df",
    "unicode": "32e163ca956dd728",
}


def said_by_trainer(content: Content, max_length: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
    item = trained(TOKENIZER, content, max_length=max_length)
    return tuple(item.ids), tuple(i for i, learnt in enumerate(item.learnt) if learnt)


def said_by_judge(content: Content, max_length: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
    item = judged(TOKENIZER, content, max_length)
    return tuple(item.ids), item.loss_positions()


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_golden_examples(name: str) -> None:
    content = EXAMPLES[name]
    ids, learnt = said_by_trainer(content, LONG)
    assert said_by_judge(content, LONG) == (ids, learnt)
    assert hashlib.sha256(repr((ids, learnt)).encode()).hexdigest()[:16] == GOLDEN[name]


@settings(max_examples=250, deadline=None)
@given(content=CONTENTS, max_length=st.one_of(st.integers(1, 40), st.just(LONG)))
@example(content=Chat((A(""), A(""))), max_length=LONG)
@example(content=PlainText(""), max_length=1)
def test_both_give_the_same_tokens_and_learn_the_same_ones(content: Content, max_length: int) -> None:
    assert said_by_judge(content, max_length) == said_by_trainer(content, max_length)


@given(content=CONTENTS)
@settings(max_examples=60, deadline=None)
def test_only_and_all_of_the_answers_are_learnt(content: Content) -> None:
    """What both agree on is also right: the learnt tokens spell the answers. (Text and completion: see the rooms' tests.)"""
    if not isinstance(content, Chat):
        return
    ids, learnt = said_by_judge(content, LONG)
    answers = "".join(m.content + TOKENIZER.eos_token for m in content.messages if m.role == "assistant")
    special_inside = any("<|" in m.content for m in content.messages)  # such marks are broken by a space
    if not special_inside:
        assert TOKENIZER.decode([ids[i] for i in learnt]) == answers


def test_nothing_predicts_the_first_token() -> None:
    for content in EXAMPLES.values():
        for max_length in (1, 2, LONG):
            assert 0 not in said_by_judge(content, max_length)[1]
