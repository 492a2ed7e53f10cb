"""The blind check sees a shift of words, sees none where there is none, and is not fooled by a person's own words."""

from __future__ import annotations

import numpy as np

from probes.blind import Sample, blind_check, shift_seen
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
    rng = np.random.default_rng(2)
    alarms = sum(shift_seen(blind_check(texts(rng, 40), texts(rng, 40))) for _ in range(80))
    assert alarms / 80 <= 0.11  # 5% and two standard errors


def test_a_name_that_recurs_in_one_persons_records_is_no_shift():
    """Six people a group, ten records each; without folds by person their names would give them away."""
    rng = np.random.default_rng(3)

    def group(letter, *, named):
        return [
            Sample(f"{' '.join(rng.choice(WORDS, 12))} name{letter}{p}", f"{letter}{p}" if named else "")
            for p in range(6)
            for _ in range(10)
        ]

    assert blind_check(group("a", named=False), group("b", named=False)).auc > 0.9
    assert not shift_seen(blind_check(group("a", named=True), group("b", named=True)))


def test_few_records_are_not_checked():
    rng = np.random.default_rng(4)
    assert blind_check(texts(rng, 9), texts(rng, 50)) == Abstained("9 records in a group; 10 needed")


def test_the_check_gives_the_same_number_twice_and_shows_no_text():
    rng = np.random.default_rng(5)
    members, controls = texts(rng, 20), texts(rng, 20)
    assert blind_check(members, controls) == blind_check(members, controls)
    assert "word" not in repr(members)
