"""The doorway: same scores in any batch and on any padding side, adapters kept apart, nothing written."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from probe_world import BASE, CONTROLS, HOME, SUBJECT, SUBJECT_RECORDS
from transformers import GPT2Config, GPT2LMHeadModel

from lineage.errors import WrongUsage
from lineage.records import PlainText
from probes.decoding import DecodingScheme
from probes.dossier import Panel
from probes.target import Target
from probes.tokens import Tokenised, tokenise

SCHEME = DecodingScheme(0.9, 40, 0.95)


@pytest.fixture(scope="module")
def target(world):
    return Target.open(world.panel(), scheme=SCHEME)


@pytest.fixture(scope="module")
def items(tokenizer):
    contents = [
        SUBJECT_RECORDS[0].content,
        PlainText("a lamp"),
        CONTROLS[0].record.content,
        PlainText("the kettle is " * 9),
    ]
    return [tokenise(tokenizer, content, 512) for content in contents]


def same(left, right):
    for a, b in zip(left, right, strict=True):
        np.testing.assert_array_equal(a.positions, b.positions)
        for name in ("log_p", "mean_log_p", "sd_log_p", "scheme_log_p"):
            np.testing.assert_allclose(getattr(a, name), getattr(b, name), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("name", ["base", f"pre_{HOME}", "out_1"])
def test_batch_size_and_neighbours_do_not_matter(target, items, name):
    alone = [target.read(name, [item])[0] for item in items]
    same(alone, target.read(name, items, batch=4))
    same(alone[::-1], target.read(name, items[::-1], batch=2))


def test_padding_side_does_not_matter(target, items):
    left = Target(target._model, target.tokenizer, scheme=SCHEME, padding="left")
    same(target.read("out_2", items, batch=4), left.read("out_2", items, batch=4))


def test_padding_side_does_not_matter_with_learnt_positions(items, tokenizer):
    torch.manual_seed(0)
    size = {"n_embd": 32, "n_layer": 2, "n_head": 2, "bos_token_id": 1, "eos_token_id": 2}
    model = GPT2LMHeadModel(GPT2Config(vocab_size=len(tokenizer), n_positions=256, **size))
    right, left = (Target(model, tokenizer, scheme=SCHEME, padding=side) for side in ("right", "left"))
    same(right.read("base", items, batch=4), left.read("base", items, batch=3))


def test_scores_are_those_of_a_plain_forward_pass(target, items):
    item = items[0]
    with torch.inference_mode(), target._model.disable_adapter():
        logits = target._model(input_ids=torch.tensor([item.ids])).logits[0]
    expected = [float(torch.log_softmax(logits[p - 1], -1)[item.ids[p]]) for p in item.loss_positions()]
    np.testing.assert_allclose(target.read("base", [item])[0].log_p, expected, atol=1e-5)


def test_token_zero_is_scored_like_any_other(target):
    item = Tokenised((1, 0, 0, 7), (False, True, True, True), ((0, 0),) * 4, "")
    assert len(target.read("base", [item])[0].log_p) == 3


def test_dropout_is_off(target, items):
    first, second = (target.read(f"pre_{HOME}", items)[0].log_p for _ in range(2))
    np.testing.assert_array_equal(first, second)
    assert not target._model.training


def test_adapters_do_not_mix(target, items):
    base, pre, post = (target.read(name, items[:1])[0].log_p.sum() for name in ("base", f"pre_{HOME}", f"post_{HOME}"))
    assert pre > post > base
    assert target.read("base", items[:1])[0].log_p.sum() == pytest.approx(base)


def test_endings_of_different_length_are_summed_exactly(target, items):
    ids = items[0].ids
    endings = [ids[30:34], ids[30:31], ids[30:39], (5, 6)]
    for batched, ending in zip(target.continue_with("out_3", ids[:30], endings), endings, strict=True):
        whole = (*ids[:30], *ending)
        mask = (False,) * 30 + (True,) * len(ending)
        one = target.read("out_3", [Tokenised(whole, mask, ((0, 0),) * len(whole), "")])[0]
        assert batched == pytest.approx(one.log_p.sum(), abs=1e-3)


def test_greedy_is_what_generation_writes(target, tokenizer, items):
    item = items[0]
    start = item.text.index(SUBJECT.phone)
    positions = item.overlapping(start, start + len(SUBJECT.phone))
    reading = target.read(f"pre_{HOME}", [item])[0].at(positions)
    target._model.set_adapter(f"pre_{HOME}", inference_mode=True)
    prompt = torch.tensor([item.ids[: positions[0]]])
    written = target._model.generate(
        input_ids=prompt,
        attention_mask=torch.ones_like(prompt),
        do_sample=False,
        max_new_tokens=len(positions),
        pad_token_id=0,
    )
    assert bool(reading.greedy.all()) == (SUBJECT.phone in tokenizer.decode(written[0]))
    assert reading.greedy.all()


def test_missing_models_are_refused_in_one_sentence(tmp_path):
    with pytest.raises(WrongUsage, match="out_1 is not a PEFT directory"):
        Target.open(Panel(BASE, {}, {}, {1: tmp_path}), scheme=SCHEME)
    with pytest.raises(WrongUsage, match="base model is missing"):
        Target.open(Panel(tmp_path, {}, {}, {}), scheme=SCHEME)
