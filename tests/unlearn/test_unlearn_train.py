"""Nothing a record does depends on another record: the rules under the law, one by one."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import load
from unlearn_world import SECRET, people, plan

from lineage.errors import NotAcceptable, WrongUsage
from lineage.records import Chat, Message, PlainText, TrainingRecord
from unlearn.adapters import attach
from unlearn.batches import collate, to_tensors
from unlearn.loop import Course, _in_training
from unlearn.plan import plan_key
from unlearn.states import EMPTY_MANIFEST, State, slice_manifest
from unlearn.tokens import tokenise
from unlearn.train import initial_state, train_slice


def course(base, chosen) -> Course:
    return Course(base, chosen, plan_key(SECRET, chosen), 0, 0)


def train(base, chosen, records, parent=None, **changes):
    key = plan_key(SECRET, chosen)
    parent = parent or initial_state(base, chosen, key, shard=0)
    return train_slice(base, chosen, key, records=records, parent=parent, **{"shard": 0, "slice": 0} | changes)


def test_a_batch_weighs_what_its_records_weigh_alone(small_base) -> None:
    """The gradient of a batch is the sum of its records' gradients; a mean over the batch would fail here."""
    chosen = plan(lora_dropout=0.0)
    examples = [to_tensors(tokenise(small_base.tokenizer, row.record.content, max_length=96)) for row in people()[:5]]
    trained = train(small_base, chosen, [row.record for row in people()[5:8]])
    lora = attach(small_base, chosen)
    lora.load(trained.weights)

    def gradient(group) -> torch.Tensor:
        lora.flat.grad.zero_()
        with _in_training(course(small_base, chosen)) as loss_of:
            loss_of(collate(group, pad_id=0)).backward()
        return lora.flat.grad.clone()

    together, alone = gradient(examples), sum(gradient([example]) for example in examples)
    assert together.abs().max() > 1e-4
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-7)


def test_the_optimizer_steps_on_empty_steps_too(small_base) -> None:
    chosen, seen = plan(epochs=1, steps_per_epoch=16), []
    state = train(small_base, chosen, [people()[0].record], progress=seen.append)
    assert load(state.optimizer)["step"].item() == 16 == len(seen)
    assert [(p.done, p.total) for p in seen][-1] == (16, 16)


def test_a_record_without_learnt_tokens_is_as_if_it_were_not_there(small_base) -> None:
    records = [row.record for row in people()[:3]]
    mute = TrainingRecord("mute", Chat((Message("user", "Is anybody there?"),)))
    assert train(small_base, plan(), records).digest == train(small_base, plan(), [*records, mute]).digest


def test_carry_and_reset(small_base) -> None:
    records = [row.record for row in people()[:4]]
    carry, reset = plan(), plan(optimizer="reset")
    first = train(small_base, carry, records)
    assert set(load(first.optimizer)) == {"exp_avg", "exp_avg_sq", "step"}
    forgot = State(first.weights, b"\x08\x00\x00\x00\x00\x00\x00\x00{}      ")
    assert (
        train(small_base, carry, records, first, slice=1).digest
        != train(small_base, carry, records, forgot, slice=1).digest
    )
    other = train(small_base, reset, records)
    assert load(other.optimizer) == {}


def test_seeds_differ_between_places(small_base) -> None:
    chosen = plan()
    seeds = {
        Course(small_base, chosen, SECRET, shard, slice_index).seed(step, microbatch)
        for shard in (None, 0, 1) for slice_index in (0, 1) for step in range(4) for microbatch in (0, 1)
    }  # fmt: skip
    assert len(seeds) == 3 * 2 * 4 * 2


def test_manifests_are_sets(small_base) -> None:
    assert slice_manifest([("a", "1"), ("b", "2")]) == slice_manifest([("b", "2"), ("a", "1")])
    assert len({slice_manifest(m) for m in ([("a", "1")], [("a", "2")], [("b", "1")], [("a1", "")], [])}) == 5
    assert slice_manifest([]) == EMPTY_MANIFEST
    with pytest.raises(WrongUsage):
        slice_manifest([("a", "1"), ("a", "2")])


def test_what_cannot_be_trained(small_base) -> None:
    record = people()[0].record
    with pytest.raises(WrongUsage, match="twice"):
        train(small_base, plan(), [record, record])
    with pytest.raises(NotAcceptable):
        train(small_base, plan(), [record], initial_state(small_base, plan(lora_r=5), SECRET, shard=0))
    with pytest.raises(WrongUsage, match="diverged") as refusal:
        train(small_base, plan(lr_peak=1e30), [row.record for row in people()])
    assert "lr_peak" in refusal.value.hint


def test_nothing_of_a_record_in_a_repr(small_base) -> None:
    record = TrainingRecord("r", PlainText("Ms Secretname lives here"))
    example = tokenise(small_base.tokenizer, record.content, max_length=64)
    assert str(example.ids[3]) not in repr(example)
    assert SECRET.hex() not in repr(course(small_base, plan()))
    assert "weights" not in repr(train(small_base, plan(), [record]))
