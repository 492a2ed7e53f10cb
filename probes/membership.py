"""The subject statistic: how much more the adapter likes this person's records than models that never saw them.

SUM-LLR = sum of d_t = l_t - b_t over all loss-carrying tokens of the subject's records, minus the same adapter's mean
gain per token on control records times the token count. An adapter trained on a larger shard fits everything better;
without the correction it would look guilty.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from probes.readings import TokenReadings
from probes.scores import gain_sum
from probes.stats import Abstained, Interval, Prediction, RatioInput, fieller, holm, prediction_test

__all__ = ["Gain", "Membership", "corrected", "gains", "membership_p", "residual_ratio", "total"]


@dataclass(frozen=True, slots=True)
class Gain:
    """Sum of d_t in nats over `tokens` loss-carrying tokens."""

    nats: float
    tokens: int

    @property
    def per_token(self) -> float:
        """Mean gain per token; 0 for no token."""
        return self.nats / self.tokens if self.tokens else 0.0


@dataclass(frozen=True, slots=True)
class Membership:
    """One closure shard: corrected scores of the old and new adapter, of every out-adapter, and their tests."""

    shard: int
    records: int
    tokens: int
    pre_score: float
    post_score: float
    out_scores: tuple[float, ...]
    pre: Prediction | Abstained
    post: Prediction | Abstained


def gains(readings: Sequence[TokenReadings], base: Sequence[TokenReadings]) -> list[Gain]:
    """Gain of each record."""
    return [Gain(gain_sum(r.log_p, b.log_p), len(r.log_p)) for r, b in zip(readings, base, strict=True)]


def total(parts: Sequence[Gain]) -> Gain:
    """Gain of several records together."""
    return Gain(sum(part.nats for part in parts), sum(part.tokens for part in parts))


def corrected(subject: Gain, control: Gain) -> float:
    """SUM-LLR with the control-record correction, in nats."""
    return subject.nats - control.per_token * subject.tokens


def shard_membership(
    shard: int, subject: Mapping[str, Sequence[Gain]], control: Mapping[str, Gain], *, outs: Sequence[str]
) -> Membership:
    """Test the old and the new adapter of one shard on the shard's own records; keys are model names."""
    score = {name: corrected(total(subject[name]), control[name]) for name in (f"pre_{shard}", f"post_{shard}", *outs)}
    nulls = tuple(score[name] for name in outs)
    pre, post = score[f"pre_{shard}"], score[f"post_{shard}"]
    any_model = subject[f"pre_{shard}"]
    return Membership(
        shard=shard,
        records=len(any_model),
        tokens=total(any_model).tokens,
        pre_score=pre,
        post_score=post,
        out_scores=nulls,
        pre=prediction_test(pre, nulls),
        post=prediction_test(post, nulls),
    )


def membership_p(shards: Sequence[Membership], side: str) -> float | Abstained:
    """Smallest Holm-adjusted p over the closure's shards; `side` is "pre" or "post"."""
    tests = {str(m.shard): m.pre if side == "pre" else m.post for m in shards}
    silent = [test for test in tests.values() if isinstance(test, Abstained)]
    if silent or not tests:
        return silent[0] if silent else Abstained("no shard with records of the subject")
    return min(holm({shard: test.p for shard, test in tests.items()}).values())


def ratio_input(shards: Sequence[Membership]) -> RatioInput | Abstained:
    """Residual and original signal over all closure shards together, with their variances.

    Every shard's adapter brings its own variance; the out-adapters' mean is one and the same.
    """
    if not shards or any(isinstance(m.post, Abstained) for m in shards):
        return Abstained("the null models gave no variance")
    pooled = [sum(scores) for scores in zip(*(m.out_scores for m in shards), strict=True)]
    everything = prediction_test(0.0, pooled)
    if isinstance(everything, Abstained):
        return everything
    own = sum(m.post.sd**2 for m in shards if isinstance(m.post, Prediction))
    return RatioInput(
        numerator=sum(m.post_score for m in shards) - everything.mean,
        denominator=sum(m.pre_score for m in shards) - everything.mean,
        own_var=own,
        mean_var=everything.sd**2 / everything.k,
        df=everything.k - 1,
    )


def residual_ratio(shards: Sequence[Membership]) -> Interval | Abstained:
    """rho = (S_post - mean S_O)/(S_pre - mean S_O) with Fieller's 95% interval."""
    ratio = ratio_input(shards)
    return ratio if isinstance(ratio, Abstained) else fieller(ratio)
