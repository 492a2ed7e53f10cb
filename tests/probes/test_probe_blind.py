"""The blind check sees a shift of words, sees none where there is none, and is not fooled by a person's own words."""

from __future__ import annotations

import numpy as np

from probes.blind import Sample, _held_out_scores, _kernel, blind_check, shift_seen
from probes.groups import separation
from probes.stats import Abstained

WORDS = [f"word{i}" for i in range(300)]


def texts(rng, count, *, extra="", chance=0.0):
    made = []
    for _ in range(count):
        words = list(rng.choice(WORDS, 30))
        if rng.random() < chance:
            words.append(extra)
        made.append(Sample(" ".join(words)))
    return made


def test_a_word_that_only_members_use_is_a_shift():
    rng = np.random.default_rng(1)
    found = blind_check(texts(rng, 60, extra="2024", chance=0.9), texts(rng, 60))
    assert found.auc > 0.8
    assert shift_seen(found)


def test_groups_of_one_kind_raise_a_false_alarm_no_more_often_than_the_level():
    """Also where all records share most of their words, as chats of one template do."""
    for shared in ("", " ".join(WORDS[:25])):
        rng = np.random.default_rng(2)
        alarms = sum(
            shift_seen(blind_check(texts(rng, 30, extra=shared, chance=1), texts(rng, 30, extra=shared, chance=1)))
            for _ in range(60)
        )
        assert alarms / 60 <= 0.12  # 5% and two and a half standard errors


def test_dealing_beats_the_rank_test_that_cross_validation_misleads():
    """Why there are deals: the rank test on the same held-out scores raises too many alarms."""
    rng, alarms = np.random.default_rng(6), 0
    for _ in range(100):
        kernel = _kernel([sample.text for sample in texts(rng, 60)])
        labels = (np.arange(60) < 30).astype(float)[:, None]
        scores = _held_out_scores(kernel, labels, rng.permutation(60) % 5)[:, 0]
        alarms += separation(scores[:30].tolist(), scores[30:].tolist()).p <= 0.05
    assert alarms / 100 > 0.08


def test_a_name_that_recurs_in_one_persons_records_is_no_shift():
    """Twelve people a group, five records each; record by record their names would give them away."""
    rng = np.random.default_rng(3)

    def group(letter, *, named):
        return [
            Sample(f"{' '.join(rng.choice(WORDS, 12))} name{letter}{p}", f"{letter}{p}" if named else "")
            for p in range(12)
            for _ in range(5)
        ]

    assert shift_seen(blind_check(group("a", named=False), group("b", named=False)))
    assert not shift_seen(blind_check(group("a", named=True), group("b", named=True)))


def test_few_records_are_not_checked():
    rng = np.random.default_rng(4)
    assert blind_check(texts(rng, 9), texts(rng, 50)) == Abstained(
        "9 people, or records of nobody named, in a group; 10 needed"
    )


def test_the_check_gives_the_same_number_twice_and_shows_no_text():
    rng = np.random.default_rng(5)
    members, controls = texts(rng, 20), texts(rng, 20)
    assert blind_check(members, controls) == blind_check(members, controls)
    assert "word" not in repr(members)
