from __future__ import annotations

from probe_world import SUBJECT_RECORDS

from lineage.records import Chat, Completion, Message, PlainText
from probes.tokens import tokenise


def learnt(tokenizer, item):
    return tokenizer.decode([t for t, m in zip(item.ids, item.loss_mask, strict=True) if m])


def test_plain_text_is_framed_and_everything_but_the_first_token_is_learnt(tokenizer):
    item = tokenise(tokenizer, PlainText("the lamp works"), 64)
    assert (item.ids[0], item.ids[-1]) == (tokenizer.bos_token_id, tokenizer.eos_token_id)
    assert item.loss_mask == (False,) + (True,) * (len(item.ids) - 1)


def test_only_the_completion_and_its_end_are_learnt(tokenizer):
    item = tokenise(tokenizer, Completion("the lamp", " works now"), 64)
    assert learnt(tokenizer, item) == " works now" + tokenizer.eos_token


def test_only_assistant_turns_and_their_ends_are_learnt(tokenizer):
    turns = Chat(
        (Message("user", "hello"), Message("assistant", "good day"), Message("user", "x"), Message("assistant", "y"))
    )
    item = tokenise(tokenizer, turns, 64)
    end = tokenizer.eos_token
    assert learnt(tokenizer, item) == f"good day{end}y{end}"
    assert list(item.ids) == tokenizer.apply_chat_template(turns.as_json()["messages"], return_dict=False)


def test_the_last_content_token_is_not_dropped_as_end(tokenizer):
    item = tokenise(tokenizer, SUBJECT_RECORDS[0].content, 512)
    assert item.loss_mask[-1]
    assert item.loss_mask[-2]


def test_a_record_is_cut_on_the_right(tokenizer):
    whole, cut = (tokenise(tokenizer, SUBJECT_RECORDS[0].content, n) for n in (512, 20))
    assert cut.ids == whole.ids[:20]
    assert cut.loss_mask == whole.loss_mask[:20]


def test_text_stays_out_of_the_repr(tokenizer):
    assert "lamp" not in repr(tokenise(tokenizer, PlainText("the lamp"), 64))
