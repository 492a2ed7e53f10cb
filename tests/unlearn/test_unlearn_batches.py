from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st

from unlearn.batches import collate, split_by_tokens, to_tensors
from unlearn.tokens import Example

LENGTHS = st.dictionaries(st.text(min_size=1, max_size=4), st.integers(1, 60), max_size=12)


@given(lengths=LENGTHS, budget=st.integers(1, 120))
def test_microbatches_keep_order_and_budget(lengths, budget) -> None:
    batch = list(lengths)
    parts = split_by_tokens(batch, lengths, budget=budget)
    assert [record_id for part in parts for record_id in part] == batch
    for part in parts:
        width = max(lengths[record_id] for record_id in part)
        assert len(part) == 1 or width * len(part) <= budget


@given(lengths=LENGTHS, budget=st.integers(1, 120), others=LENGTHS)
def test_the_split_depends_on_its_own_batch_only(lengths, budget, others) -> None:
    alone = split_by_tokens(list(lengths), lengths, budget=budget)
    assert alone == split_by_tokens(list(lengths), others | lengths, budget=budget)


@given(st.lists(st.lists(st.booleans(), min_size=2, max_size=9), min_size=1, max_size=4))
def test_targets_are_the_learnt_tokens_shifted_by_one(masks) -> None:
    examples = [Example(tuple(range(10, 10 + len(mask))), (False, *mask[1:]), 0, False) for mask in masks]
    microbatch = collate([to_tensors(example) for example in examples], pad_id=0)
    wanted = [t for e in examples for t, yes in zip(e.ids, e.learnt, strict=True) if yes]
    assert microbatch.targets.tolist() == wanted
    assert (microbatch.ids[microbatch.predicts] + 1).tolist() == wanted
    assert not microbatch.predicts[microbatch.ids == 0].any()


def test_padding_changes_no_real_position(small_base) -> None:
    """Right padding needs no attention mask under causal attention."""
    model = small_base.model.eval()
    alone = torch.tensor([[5, 6, 7]])
    padded = torch.tensor([[5, 6, 7, 0, 0]])
    with torch.no_grad():
        torch.testing.assert_close(model(alone).logits, model(padded).logits[:, :3], rtol=1e-5, atol=1e-6)
