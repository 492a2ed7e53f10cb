from __future__ import annotations

import copy

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lineage.errors import WrongUsage
from lineage.records import Chat, Completion, Message, PlainText
from unlearn.tokens import tokenise

WORDS = st.text(alphabet="aB .,?7é€\n +-", min_size=1, max_size=30)
TURNS = st.lists(st.tuples(st.sampled_from(["system", "user", "assistant"]), WORDS), min_size=1, max_size=5)


def learnt_text(tokenizer, example) -> str:
    return tokenizer.decode([t for t, yes in zip(example.ids, example.learnt, strict=True) if yes])


@given(text=WORDS)
def test_a_text_is_learnt_whole(tokenizer, text) -> None:
    example = tokenise(tokenizer, PlainText(text), max_length=512)
    assert example.ids[0] == tokenizer.bos_token_id
    assert example.learnt == (False, *(True for _ in example.ids[1:]))
    assert learnt_text(tokenizer, example) == text + tokenizer.eos_token


@given(prompt=WORDS, completion=WORDS)
def test_a_completion_is_learnt_without_its_prompt(tokenizer, prompt, completion) -> None:
    example = tokenise(tokenizer, Completion(prompt, completion), max_length=512)
    whole = tokenizer(prompt + completion, add_special_tokens=False)["input_ids"]
    assert list(example.ids) == [tokenizer.bos_token_id, *whole, tokenizer.eos_token_id]
    learnt = learnt_text(tokenizer, example)
    assert learnt.endswith(completion + tokenizer.eos_token)
    # A token may stand across the border; then it is learnt, and no other token of the prompt is.
    border = len(learnt) - len(completion + tokenizer.eos_token)
    assert (prompt + completion + tokenizer.eos_token).endswith(learnt)
    assert border == 0 or example.learnt.index(True) == len(example.ids) - sum(example.learnt)


@given(turns=TURNS)
def test_a_chat_is_learnt_where_the_assistant_speaks(tokenizer, turns) -> None:
    chat = Chat(tuple(Message(role, text) for role, text in turns))
    example = tokenise(tokenizer, chat, max_length=512)
    messages = [{"role": role, "content": text} for role, text in turns]
    rendered = tokenizer.apply_chat_template(messages, tokenize=False)
    assert tokenizer.decode(example.ids) == rendered
    wanted = "".join(text + tokenizer.eos_token for role, text in turns if role == "assistant")
    assert learnt_text(tokenizer, example) == wanted


def test_truncation_is_counted(tokenizer) -> None:
    whole = tokenise(tokenizer, PlainText("one two three four five six"), max_length=512)
    short = tokenise(tokenizer, PlainText("one two three four five six"), max_length=4)
    assert short.ids == whole.ids[:4]
    assert (whole.cut_tokens, short.cut_tokens) == (0, len(whole.ids) - 4)


@pytest.mark.parametrize(
    ("template", "words"),
    [
        ("{{ strftime_now('%d %b') }}{% for m in messages %}{{ m.content }}{% endfor %}", "clock"),
        ("{% for m in messages | reverse %}{{ m.content }}{% endfor %}", "earlier turns"),
        (None, "no chat template"),
    ],
)
def test_templates_that_cannot_be_trained_on(tokenizer, template, words) -> None:
    odd = copy.deepcopy(tokenizer)
    odd.chat_template = template
    with pytest.raises(WrongUsage, match=words) as refusal:
        tokenise(odd, Chat((Message("user", "Anna Secret"), Message("assistant", "yes"))), max_length=64)
    assert "Secret" not in str(refusal.value)
    assert refusal.value.hint


def test_a_template_with_a_pinned_date_is_fine(tokenizer) -> None:
    pinned = copy.deepcopy(tokenizer)
    pinned.chat_template = (
        "{% set date_string = '1 May 2026' %}{% if not date_string is defined %}{{ strftime_now('%d') }}{% endif %}"
        "{{ date_string }}{% for m in messages %}{{ '<|' + m.role + '|>' + m.content + eos_token }}{% endfor %}"
        "{% if add_generation_prompt %}<|assistant|>{% endif %}"
    )
    example = tokenise(pinned, Chat((Message("user", "hi"), Message("assistant", "yes"))), max_length=64)
    assert learnt_text(pinned, example) == "yes" + pinned.eos_token


def test_a_tokenizer_without_marks(tokenizer) -> None:
    bare = copy.deepcopy(tokenizer)
    bare.bos_token = None
    bare.eos_token = None
    example = tokenise(bare, PlainText("hello there"), max_length=64)
    assert example.learnt == (False, *(True for _ in example.ids[1:]))
