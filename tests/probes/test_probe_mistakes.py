"""The mistakes of other tools, one test each: what the mistake gives, and what we give.

Nothing here is another tool's code; each test repeats the mistake in a line of its own. The list is the one of the
specification; where a mistake is also tested elsewhere, this table still names it.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
import three_tokens
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from probe_world import BASE as TINY
from three_tokens import ADAPTER, BARE, A, B, C, item, read
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig, LlamaForCausalLM

from lineage.records import Completion, PlainText
from probes.decoding import DecodingScheme
from probes.dossier import Panel, PersonalValue
from probes.exposure import rank, score_trials, trial
from probes.extraction import occurrences
from probes.formats import candidates, format_of
from probes.groups import auc, controls_needed, detections, separation
from probes.readings import TokenReadings, read_logits
from probes.scores import error_zone, extraction_score, loss, min_k, min_k_plus_plus, window_votes
from probes.stats import Abstained, Interval, conformal_p
from probes.target import BASE, Target
from probes.tokens import Tokenised, tokenise

PLAIN = DecodingScheme()
# peft 0.21 asks transformers 5.23 for a property under its old name
pytestmark = pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing:FutureWarning")


def small_llama(**changes) -> LlamaForCausalLM:
    torch.manual_seed(5)
    sizes = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 2}
    return LlamaForCausalLM(LlamaConfig(vocab_size=1536, max_position_embeddings=128, **(sizes | changes)))


def test_extraction_score_has_no_floor_of_one_over_n():
    greedy = np.array([0, 0, 0, 0])
    floor = max(1 - k / 4 for k in range(4) if greedy[k + 1 :].all())  # an empty rest counts as right
    assert (floor, extraction_score(greedy)) == (1 / 4, 0.0)


def test_error_zone_of_a_fully_memorised_record_is_the_top_not_zero():
    gains, right = np.array([3.0, 2.0]), np.array([1, 1])
    zone = gains[right == 0]
    wrong = np.nan_to_num(np.divide(zone[zone > 0].sum(), 0.0) if len(zone) else np.inf, posinf=0.0)
    nearly = error_zone(np.array([3.0, 2.0]), np.array([1, 0]))
    assert wrong == 0.0 < nearly < error_zone(gains, right)


def test_loss_is_divided_by_the_tokens_that_were_predicted():
    record = item((A,) * 20, text="a" * 20)
    log_p = read(ADAPTER, record)[0].log_p
    wrong = log_p.sum() / len(record.ids)  # one label more than there are predictions
    assert wrong == pytest.approx(19 / 20 * math.log(1 / 2), abs=1e-6)
    assert loss(log_p) == pytest.approx(math.log(1 / 2), abs=1e-6)


def test_a_masked_label_is_not_token_zero():
    """Masked labels clamped from -100 to 0 make Min-K% pick the prompt's "token 0", here the least likely of all."""
    rows = ((0.01, 0.49, 0.5),) * 3
    record = item((B, B, B, B, B, C), learnt=(4, 5))
    labels = torch.where(torch.tensor(record.loss_mask), torch.tensor(record.ids), -100)[1:].clamp(min=0)
    clamped = torch.log(torch.tensor(rows))[torch.tensor(record.ids[:-1]), labels].double().numpy()
    assert min_k(clamped) == pytest.approx(math.log(0.01), abs=1e-6)
    assert min_k(read(rows, record)[0].log_p) == pytest.approx(math.log(0.49), abs=1e-6)


def test_a_token_with_id_zero_is_scored():
    record = item((B, A, A, C), text="baac")
    kept = [t for t in record.ids[1:] if t != 0]  # labels unmasked where they are "truthy"
    assert (len(kept), len(read(ADAPTER, record)[0].log_p)) == (1, 3)


def test_the_last_content_token_is_not_dropped_as_an_end(tokenizer):
    """A tokenizer without EOS ends a record with its last word; a cut of "the EOS" would leave that word unscored."""
    bare = AutoTokenizer.from_pretrained(TINY, bos_token=None, eos_token=None)
    found = tokenise(bare, PlainText("call 7421"), 64)
    dropped = bare.decode(found.ids[:-1])
    assert dropped != "call 7421"
    assert found.learnt_text().endswith("7421"[-1])
    assert len(found.loss_positions()) == len(found.ids) - 1
    assert tokenise(tokenizer, PlainText("call 7421"), 64).loss_mask[-2:] == (True, True)


def test_padding_is_not_scored():
    """A mask shifted the wrong way round scores one padding token of every short record in a batch."""
    short, long = item((A, B, C), text="abc"), item((A, B, B, C, C), text="abbcc")
    padded = torch.tensor([*short.ids, A, A])
    attention = torch.tensor([1, 1, 1, 0, 0])
    log_p = torch.log(torch.tensor(ADAPTER))[padded[:-1], padded[1:]]
    alone = -log_p[:2].mean()
    wrong = -(log_p * attention[:-1]).sum() / attention[:-1].sum()
    assert (round(float(alone), 3), round(float(wrong), 3)) == (1.386, 1.617)
    for side in ("right", "left"):
        together = read(ADAPTER, short, long, batch=2, padding=side)[0].log_p
        assert -loss(together) == pytest.approx(float(alone), abs=1e-6)


def test_the_first_token_is_not_scored_by_the_last_position():
    """Without BOS a completion may begin inside the first token; index -1 would score it with the record's last logits."""
    bare = AutoTokenizer.from_pretrained(TINY, bos_token=None)
    merged = next(
        t for t in bare.get_vocab() if t.isalpha() and len(bare(t, add_special_tokens=False).input_ids) == 1 < len(t)
    )
    found = tokenise(bare, Completion(merged[:1], merged[1:]), 64)
    assert found.overlapping(1, len(merged)) == (0,)
    assert found.loss_positions() == (1,)  # EOS alone


def test_min_k_plus_plus_takes_expected_not_uniform_statistics():
    log_probs = torch.log(torch.tensor([[0.5, 0.25, 0.25]]))
    uniform = (log_probs[0, 1] - log_probs.mean()) / log_probs.std(correction=0)
    ours = min_k_plus_plus(TokenReadings(np.array([1]), *read_logits(log_probs, torch.tensor([1]), PLAIN)))
    assert (round(float(uniform), 2), round(ours, 4)) == (-0.71, -1.0)


def test_min_k_of_a_short_record_is_a_number():
    log_p = np.array([-1.0, -5.0])
    none = np.sort(log_p)[: math.floor(0.2 * len(log_p))]
    assert (len(none), min_k(log_p)) == (0, -5.0)


def test_detections_are_not_read_at_the_nearest_point_or_between_points():
    controls = [float(i) for i in range(10)]
    members = [8.5, 9.5, 9.6, 9.7]
    steps = [(np.mean([c > t for c in controls]), np.mean([m > t for m in members])) for t in (*controls[::-1], -1.0)]
    curve = [(0.0, 0.0), *steps]
    nearest = min(curve, key=lambda point: abs(point[0] - 0.01))[1]
    between = np.interp(0.05, *zip(*steps, strict=True))
    assert (nearest, between) == (0.0, pytest.approx(0.875))  # missed altogether; or invented
    assert detections(members, controls, false_alarms=0.05) == Abstained("10 controls; 59 needed")
    assert controls_needed(0.01) == 299


def test_the_interval_is_that_of_the_auc_not_of_its_complement():
    """A bootstrap that resamples scores of the wrong sign gives the interval of 1 - AUC, which does not hold the AUC."""
    rng = np.random.default_rng(3)
    members, controls = rng.normal(1.2, 1, 40), rng.normal(size=40)
    drawn = [auc(-rng.choice(members, 40), -rng.choice(controls, 40)) for _ in range(200)]
    wrong = np.quantile(drawn, [0.025, 0.975])
    ours = separation(members, controls).interval
    assert wrong[1] < 0.5 < ours.lower < ours.point < ours.upper
    mirrored = separation(-members, -controls).interval
    assert (mirrored.lower, mirrored.upper) == (pytest.approx(1 - ours.upper), pytest.approx(1 - ours.lower))


def test_candidates_of_equal_perplexity_are_all_counted():
    scores = np.array([-2.0, -1.0, -1.0, -1.0])  # the true value and three better candidates that tie
    by_perplexity = {math.exp(-score): i for i, score in enumerate(scores)}
    lost = 1 + sum(perplexity < math.exp(2.0) for perplexity in by_perplexity)
    assert (lost, rank(scores).rank, rank(scores).candidates) == (2, 4, 3)
    form = format_of(PersonalValue("code", "0000", "####"))
    assert len(set(candidates(form, "0000", count=999, seed=1))) == 999


def test_values_of_different_length_are_ranked_by_their_sum():
    target = Target(small_llama(), None, scheme=PLAIN)
    prompt, long, short = (1, 40, 41), (7, 300, 12, 9), (8,)
    summed = target.continue_with(BASE, prompt, (long, short))
    means = summed / [len(long), len(short)]
    whole = Tokenised((*prompt, *long), (False,) * 3 + (True,) * 4, ((0, 0),) * 7, "")
    assert summed[0] == pytest.approx(target.read(BASE, [whole])[0].log_p.sum(), abs=1e-4)
    assert abs(means[0] - means[1]) < 1.0 < summed[1] - summed[0]  # the mean hides three tokens of evidence


def test_a_value_is_tokenised_where_it_stands(tokenizer):
    """Alone, "lamp" is other tokens than " lamp" in a sentence, and a perfect memory of the sentence looks like none."""
    found = tokenise(tokenizer, Completion("it is", " the kettle and the lamp"), 64)
    (place,) = occurrences([found], PersonalValue("account", "kettle"))
    inside = [found.ids[p] for p in place.positions]
    alone = tokenizer("kettle", add_special_tokens=False).input_ids
    assert tokenizer.decode(inside) == " kettle"
    assert inside != alone

    class Doorway:
        pass

    doorway = Doorway()
    doorway.tokenizer = tokenizer
    first = trial(doorway, found, place, ("blanket",))
    assert (*first.prompt, *first.endings[0]) == found.ids[: place.positions[-1] + 1]


def test_dropout_is_off_while_scoring(tokenizer):
    model = get_peft_model(
        small_llama(), LoraConfig(lora_dropout=0.5, init_lora_weights=False, target_modules="all-linear")
    )
    record = tokenise(tokenizer, PlainText("the lamp works"), 64)
    ids = torch.tensor([record.ids])
    model.train()
    with torch.no_grad():
        noisy = [model(input_ids=ids).logits for _ in range(2)]
    assert not torch.equal(*noisy)
    target = Target(model, tokenizer, scheme=PLAIN)
    once = target.read("default", [record])[0].log_p
    model.train()  # somebody trains on between two readings
    again = target.read("default", [record])[0].log_p
    np.testing.assert_array_equal(once, again)


def test_the_adapter_is_scored_unmerged_and_in_float32(tmp_path, tokenizer):
    """In bf16 a merged adapter is another model than the unmerged one that was trained and is served."""
    base = small_llama()
    base.save_pretrained(tmp_path / "base")
    tokenizer.save_pretrained(tmp_path / "base")
    lora = LoraConfig(r=8, init_lora_weights=False, target_modules="all-linear", task_type="CAUSAL_LM")
    get_peft_model(base, lora).save_pretrained(tmp_path / "adapter")
    record = tokenise(tokenizer, PlainText("the lamp works and the kettle does not"), 64)

    def scored(*, merged):
        half = AutoModelForCausalLM.from_pretrained(tmp_path / "base", dtype=torch.bfloat16)
        model = PeftModel.from_pretrained(half, tmp_path / "adapter").to(torch.bfloat16)
        return (
            Target(model.merge_and_unload() if merged else model, tokenizer, scheme=PLAIN)
            .read(BASE if merged else "default", [record])[0]
            .log_p
        )

    assert np.abs(scored(merged=True) - scored(merged=False)).max() > 1e-3
    target = Target.open(Panel(tmp_path / "base", {}, {}, {1: tmp_path / "adapter"}), scheme=PLAIN)
    assert {p.dtype for p in target._model.parameters()} == {torch.float32}
    assert not any(getattr(module, "merged", False) for module in target._model.modules())
    exact = target.read("out_1", [record])[0].log_p
    with torch.inference_mode():
        target._model.merge_adapter(["out_1"])
        merged = target._model(input_ids=torch.tensor([record.ids])).logits[0].log_softmax(-1)
    expected = [float(merged[p - 1, record.ids[p]]) for p in record.loss_positions()]
    np.testing.assert_allclose(exact, expected, atol=1e-4)  # in float32 the two agree


def test_a_tie_is_neither_won_nor_lost():
    equal = [1.0] * 30
    won, lost = (np.mean([compare(m, c) for m in equal for c in equal]) for compare in (np.greater_equal, np.greater))
    assert (won, lost, auc(equal, equal)) == (1.0, 0.0, 0.5)
    assert window_votes(np.zeros(9)) == 0.5  # an adapter that changes nothing
    assert conformal_p(1.0, [1.0, 0.0, 0.0]) == 0.5  # for a p-value a tie counts for the null: that keeps it valid
    assert rank(np.array([1.0, 1.0])).rank == 2
    assert isinstance(detections([58.0], [float(i) for i in range(59)], false_alarms=0.05), Interval)
    assert detections([58.0], [float(i) for i in range(59)], false_alarms=0.05).point == 0.0


def test_exposure_sums_over_prompts_and_tokens(tokenizer):
    target = Target(small_llama(), tokenizer, scheme=PLAIN)
    record = tokenise(tokenizer, Completion("account", " 1234"), 64)
    (place,) = occurrences([record], PersonalValue("account", "1234"))
    one = trial(target, record, place, ("98", "7"))
    found = score_trials(target, BASE, [one, one])
    np.testing.assert_allclose(found, 2 * target.continue_with(BASE, one.prompt, one.endings), atol=1e-5)


def test_the_two_tables_differ_where_they_should():
    """The golden tables themselves: adapter and base rows are distributions."""
    for rows in (ADAPTER, BARE):
        assert [sum(row) for row in rows] == [1.0, 1.0, 1.0]
    assert three_tokens.TEXT == "abbcacc"
