"""Every membership score on two groups of records, for people who bring their own model and no workspace.

Members are records the adapter is said to have learnt, controls records of the same kind that it never saw. What comes
out are group metrics: they speak about the two groups, never about one record or one person (`groups`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from lineage.errors import WrongUsage
from lineage.records import Content
from probes.blind import BlindCheck, Sample, blind_check, shift_seen
from probes.calibration import lira_offline, log_ratio, rmia, self_prompt_gain
from probes.companions import mean_log_p, record_scores
from probes.groups import Separation, detections, separation
from probes.readings import TokenReadings
from probes.scores import gain_mean
from probes.stats import Abstained, Interval
from probes.suspect import REFERENCE, SUSPECT, SelfPrompted, Suspect, context_length, open_suspect, refuse_no_numbers
from probes.target import BASE, Target
from probes.tokens import Tokenised, tokenise

__all__ = ["PRIMARY", "RATES", "Attacked", "Brought", "GroupCounts", "ScoreRow", "attack_groups", "length_limit"]

PRIMARY = "gain_mean"  # fixed before any record is read; the verdict's own score, per token instead of per person
RATES = (0.05, 0.01, 0.001)
USUAL_LENGTH = 1024
AT_ONCE = 32  # records between two steps of a progress bar
Advance = Callable[[int], None]
Columns = dict[str, list[float] | Abstained]


@dataclass(frozen=True, slots=True)
class Brought:
    """A record to be scored, and its first subject (empty: the file does not say)."""

    content: Content = field(repr=False)
    person: str = field(repr=False, default="")


@dataclass(frozen=True, slots=True)
class GroupCounts:
    """A group: records scored, records without a learnt token within the length, records cut, people.

    `people` is None where a record does not say whose it is.
    """

    records: int
    silent: int
    cut: int
    people: int | None


@dataclass(frozen=True, slots=True)
class ScoreRow:
    """One score: how it separates the groups, and the share of members found at each rate of false alarms."""

    name: str
    separation: Separation | Abstained
    detections: tuple[Interval | Abstained, ...]


@dataclass(frozen=True, slots=True)
class Calibrated:
    """A self-prompted reference: what it was trained on, and the mean gain over the base that it and the adapter show on
    the controls, in nats per learnt token. Whatever both gain there is no memory of a record."""

    texts: int
    prompts: int
    reference_gain: float
    adapter_gain: float


@dataclass(frozen=True, slots=True)
class Attacked:
    """The result: numbers and reasons, no text, no values, no paths. `rows` begin with the primary score.

    `member_scores` and `control_scores` are the primary score's, sorted, so that none can be led back to its record.
    """

    members: GroupCounts
    controls: GroupCounts
    out_adapters: int
    max_length: int
    blind: BlindCheck
    rows: tuple[ScoreRow, ...]
    member_scores: tuple[float, ...]
    control_scores: tuple[float, ...]
    calibrated: Calibrated | None = None

    @property
    def shifted(self) -> bool:
        """Whether words alone tell the groups apart, so that no score here shows memory by itself."""
        return shift_seen(self.blind)

    @property
    def primary(self) -> ScoreRow:
        """The score that was fixed beforehand."""
        return self.rows[0]


def length_limit(suspect: Suspect, wanted: int | None) -> int:
    """Tokens of a record that are read: what is wanted, else 1,024 or what the base takes.

    Raises:
        WrongUsage: the base takes fewer tokens than are wanted, or its config cannot be read.
    """
    longest = context_length(suspect.base)
    if wanted is not None and longest is not None and wanted > longest:
        raise WrongUsage(f"The base reads {longest} tokens at most.", hint="Give a smaller --max-length.")
    return wanted or min(USUAL_LENGTH, longest or USUAL_LENGTH)


def attack_groups(
    suspect: Suspect, *, members: Sequence[Brought], controls: Sequence[Brought], max_length: int, advance: Advance
) -> Attacked:
    """One pass of the adapter and one of the base over all records, one more for each model to compare; then all scores.

    `advance` is told the readings done; there are `suspect.models` of each record.

    Raises:
        WrongUsage: the models do not belong together, one of them gives values that are no numbers, or a group has no
            record with a learnt token.
    """
    target = open_suspect(suspect)
    items = [tokenise(target.tokenizer, record.content, max_length) for record in (*members, *controls)]
    outs = suspect.panel().out_names()
    readings = {name: _read(target, name, items, advance) for name in (BASE, *suspect.panel().adapters())}
    spoke = np.array([len(reading.log_p) > 0 for reading in readings[BASE]])
    first = int(spoke[: len(members)].sum())
    if not 0 < first < spoke.sum():
        group = "controls" if first else "members"
        raise WrongUsage(f"No record of the {group} has a learnt token within {max_length} tokens.")
    kept = {name: [r for r, says in zip(found, spoke, strict=True) if says] for name, found in readings.items()}
    texts = [item.learnt_text() for item, says in zip(items, spoke, strict=True) if says]
    rows = _rows(_columns(kept, texts, outs, first=first), first)
    gains = _finite([gain_mean(own.log_p, base.log_p) for own, base in zip(kept[SUSPECT], kept[BASE], strict=True)])
    blind = blind_check(*([_sample(record) for record in group] for group in (members, controls)))
    counts = [
        _counts(group, items[start : start + len(group)], spoke[start : start + len(group)], max_length)
        for group, start in ((members, 0), (controls, len(members)))
    ]
    return Attacked(
        *counts, len(outs), max_length, blind, rows, *(tuple(sorted(g)) for g in (gains[:first], gains[first:])),
        calibrated=_calibration(suspect.reference, kept, first),
    )  # fmt: skip


def _read(target: Target, name: str, items: Sequence[Tokenised], advance: Advance) -> list[TokenReadings]:
    """In portions of like length, so that a bar moves; a reading does not depend on its neighbours."""
    order = sorted(range(len(items)), key=lambda i: len(items[i].ids))
    found: dict[int, TokenReadings] = {}
    for start in range(0, len(order), AT_ONCE):
        portion = order[start : start + AT_ONCE]
        readings = target.read(name, [items[i] for i in portion])
        refuse_no_numbers(name, readings)
        found |= zip(portion, readings, strict=True)
        advance(len(portion))
    return [found[i] for i in range(len(items))]


def _columns(
    readings: dict[str, list[TokenReadings]], texts: Sequence[str], outs: Sequence[str], *, first: int
) -> Columns:
    """Every score by name, a number for each record (the `first` of them members), or why there is none."""
    own, base = readings[SUSPECT], readings[BASE]
    scored = [record_scores(*record) for record in zip(own, base, texts, strict=True)]
    names = sorted(scored[0], key=lambda name: name != PRIMARY)
    columns: Columns = {name: _finite([record[name] for record in scored]) for name in names}
    if outs:
        others = np.array([mean_log_p(readings[out]) for out in outs])
        columns |= _calibrated(mean_log_p(own), others, first)
    if REFERENCE in readings:
        reference = mean_log_p(readings[REFERENCE])
        columns["self_prompt"] = _finite(self_prompt_gain(mean_log_p(own), reference).tolist())
        recited = reference - mean_log_p(base)  # it knows members only by what the suspect wrote
        columns["recited"] = _finite(recited.tolist())
    return columns


def _calibration(
    trained: SelfPrompted | None, readings: dict[str, list[TokenReadings]], first: int
) -> Calibrated | None:
    """How much of what the adapter learnt in general its self-prompted reference has learnt too."""
    if trained is None:
        return None
    base = mean_log_p(readings[BASE][first:])
    gains = ((mean_log_p(readings[name][first:]) - base).tolist() for name in (REFERENCE, SUSPECT))
    return Calibrated(trained.texts, trained.prompts, *(float(np.mean(_finite(gain))) for gain in gains))


def _calibrated(own: np.ndarray, others: np.ndarray, first: int) -> Columns:
    """RMIA against the control records, of which a control is compared with the others only; and offline LiRA."""
    ratios = log_ratio(own, others)
    population = [ratios[first:] if i < first else np.delete(ratios[first:], i - first) for i in range(len(own))]
    return {
        "rmia": _whole([rmia(float(ratio), z) for ratio, z in zip(ratios, population, strict=True)]),
        "lira": _whole([lira_offline(float(score), list(others[:, i])) for i, score in enumerate(own)]),
    }


def _whole(values: Sequence[float | Abstained]) -> list[float] | Abstained:
    """All the numbers, or the first reason why one is missing: a score that skips records would flatter itself."""
    silent = next((value for value in values if isinstance(value, Abstained)), None)
    return silent or _finite([value for value in values if not isinstance(value, Abstained)])


def _finite(values: Sequence[float]) -> list[float]:
    """The same ranks without infinities: a record without a wrong token tops EZ, and two of them tie.

    Raises:
        WrongUsage: a value is no number, so it has no rank: two models rule out the same token.
    """
    if any(math.isnan(value) for value in values):
        raise WrongUsage("The models rule out the same token of a record, so their gain on it is no number.")
    numbers = [value for value in values if math.isfinite(value)]
    top, bottom = max(numbers, default=0.0) + 1.0, min(numbers, default=0.0) - 1.0
    return [value if math.isfinite(value) else top if value > 0 else bottom for value in values]


def _rows(columns: Columns, first: int) -> tuple[ScoreRow, ...]:
    rows = []
    for name, column in columns.items():
        if isinstance(column, Abstained):
            rows.append(ScoreRow(name, column, (column,) * len(RATES)))
            continue
        members, controls = column[:first], column[first:]
        found = tuple(detections(members, controls, false_alarms=rate) for rate in RATES)
        rows.append(ScoreRow(name, separation(members, controls), found))
    return tuple(rows)


def _sample(record: Brought) -> Sample:
    return Sample(" ".join(record.content.segments()), record.person)


def _counts(group: Sequence[Brought], items: Sequence[Tokenised], spoke: np.ndarray, max_length: int) -> GroupCounts:
    people = {record.person for record in group}
    cut = sum(len(item.ids) >= max_length for item in items)
    return GroupCounts(int(spoke.sum()), int((~spoke).sum()), cut, None if "" in people else len(people))
