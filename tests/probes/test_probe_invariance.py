"""No score depends on how it was computed: batch size, neighbours, order, padding side, architecture, special tokens.

The models, records and ways are those of the benchmark, on few records; `benchmarks/probe_scores.py` does it on many.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import torch

sys.path.append(str(Path(__file__).parents[2] / "benchmarks"))

import probe_scores
import three_tokens
from probe_scores import ALONE, BAR, WAYS, random_model, table_of, tokenizer_of

from lineage.records import Chat, Completion, Message, PlainText
from probes.readings import read_logits
from probes.target import BASE, Target
from probes.tokens import tokenise

SCORES = {
    "loss", "gain_mean", "zlib", "min_k", "min_k_plus_plus", "error_zone", "window_votes", "exact_match",
    "extraction_score", "rmia", "lira",
}  # fmt: skip
FEW = (WAYS[0], WAYS[4], WAYS[6], WAYS[7])  # batch of 3, other neighbours, left padding twice


@pytest.fixture(scope="module")
def models():
    return {name: random_model(name) for name in probe_scores.ARCHITECTURES}


@pytest.mark.parametrize("variant", probe_scores.TOKENIZERS)
@pytest.mark.parametrize("architecture", probe_scores.ARCHITECTURES)
def test_no_score_depends_on_batch_neighbours_or_padding(models, architecture, variant):
    tokenizer = tokenizer_of(variant)
    items = [tokenise(tokenizer, content, 256) for content in probe_scores.contents(11)]
    alone = table_of(models[architecture], items, ALONE)
    for way in FEW:
        for one, other in zip(alone, table_of(models[architecture], items, way), strict=True):
            assert set(one) == set(other) == SCORES
            for name, value in one.items():
                assert value == pytest.approx(other[name], abs=BAR), (way.name, name)


def test_the_scores_tell_the_records_apart(models):
    """An invariance of constants would mean nothing."""
    tokenizer = tokenizer_of("BOS and EOS")
    items = [tokenise(tokenizer, content, 256) for content in probe_scores.contents(11)]
    rows = table_of(models["Llama"], items, ALONE)
    spread = {name: np.ptp([row[name] for row in rows]) for name in SCORES - {"exact_match", "extraction_score"}}
    assert min(spread, key=spread.get) == "zlib"
    assert spread["zlib"] > 1e-3


@pytest.mark.parametrize("architecture", probe_scores.ARCHITECTURES)
def test_masks_decide_what_is_scored_not_what_is_read(models, architecture):
    """The same tokens as a plain text and as a completion: the completion's readings are the text's at its positions."""
    tokenizer = tokenizer_of("BOS and EOS")
    prompt, answer = "the kettle does not", " work at all"
    whole, part = (tokenise(tokenizer, c, 64) for c in (PlainText(prompt + answer), Completion(prompt, answer)))
    target = Target(models[architecture], None, scheme=probe_scores.SCHEME)
    assert whole.ids == part.ids
    read_whole, read_part = target.read("pre", [whole, part], batch=2)
    assert set(part.loss_positions()) < set(whole.loss_positions())
    np.testing.assert_allclose(read_whole.at(part.loss_positions()).log_p, read_part.log_p, atol=BAR)


@pytest.mark.parametrize("variant", probe_scores.TOKENIZERS)
def test_a_chat_is_scored_on_assistant_turns_alone(variant):
    tokenizer = tokenizer_of(variant)
    turns = (Message("user", "where is it"), Message("assistant", "on its way"), Message("user", "thanks"))
    item = tokenise(tokenizer, Chat(turns), 64)
    assert item.learnt_text() == "on its way<|end|>"
    assert 0 not in item.loss_positions()


@pytest.mark.parametrize("content", [PlainText("lamp"), Completion("", "lamp"), Chat((Message("assistant", "lamp"),))])
@pytest.mark.parametrize("variant", probe_scores.TOKENIZERS)
def test_nothing_predicts_the_first_token(variant, content):
    item = tokenise(tokenizer_of(variant), content, 64)
    assert 0 not in item.loss_positions()
    assert not item.loss_mask[0]


def test_more_logits_than_fit_are_read_in_parts(monkeypatch):
    torch.manual_seed(0)
    logits, targets = torch.randn(50, 30) * 4, torch.randint(30, (50,))
    whole = read_logits(logits, targets, probe_scores.SCHEME)
    monkeypatch.setattr("probes.readings.LOGITS_AT_ONCE", 200)
    np.testing.assert_array_equal(whole, read_logits(logits, targets, probe_scores.SCHEME))


def test_a_token_the_model_rules_out_leaves_the_statistics_finite():
    logits = torch.tensor([[0.0, 0.0, -torch.inf]])
    mean, sd = read_logits(logits, torch.tensor([0]), three_tokens.DecodingScheme())[1:3, 0]
    assert (mean, sd) == (pytest.approx(-np.log(2)), pytest.approx(1e-3))


def test_a_record_without_a_scored_token_is_read_as_empty(models):
    target = Target(models["Llama"], None, scheme=probe_scores.SCHEME)
    (found,) = target.read(BASE, [three_tokens.item((5, 6, 7), learnt=())])
    assert (len(found.log_p), len(found.positions)) == (0, 0)
