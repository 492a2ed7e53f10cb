"""The shard map of a case, of a person outside a case, or of many people at once, from the readings of the bench.

The map *before* has the closure's old shards, the map *after* its new ones; all other shards are the same in both. Every
shard is asked about all records of the person, since a copy may lie anywhere.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from lineage.records import TrainingRecord
from probes.bench import Bench, Progress, read_everything
from probes.dossier import ControlRecord, Dossier, Panel, PlacedRecord, Protocol
from probes.membership import Gain, corrected, total
from probes.shard_map import ShardMap, draw_map
from probes.stats import Abstained
from probes.verdict import probability, shards_named

__all__ = ["Whereabouts", "find_whereabouts", "lit", "survey"]

Drawn = ShardMap | Abstained


@dataclass(frozen=True, slots=True)
class Whereabouts:
    """Where a person is: the maps before and after, and `known`, the shards in which lineage has records of theirs.

    `sentence` says it for people; `missed` are shards that light up (afterwards) without lineage knowing why.
    """

    known: tuple[int, ...]
    before: Drawn
    after: Drawn

    @property
    def missed(self) -> tuple[int, ...]:
        """Shards that light up afterwards and hold no record that lineage knows: a copy it missed."""
        return tuple(shard for shard in lit(self.after) if shard not in self.known)

    @property
    def sentences(self) -> tuple[str, ...]:
        """What the maps show, one sentence each, then how the person ranks among the control people."""
        if isinstance(self.after, Abstained):
            return (f"No shard map could be drawn: {self.after.reason}.",)
        now = (_told("Now", self.after, self.known), *_compared(self.after))
        if self.before == self.after:
            return now
        blind = (
            () if lit(self.before) else ("It did not see the person before either, so its silence now says little.",)
        )
        return (_told("Before the erasure", self.before, self.known), *now, *(() if lit(self.after) else blind))


def lit(drawn: Drawn) -> tuple[int, ...]:
    """The shards that light up; none on a map that could not be drawn."""
    return drawn.lit if isinstance(drawn, ShardMap) else ()


def _told(moment: str, drawn: Drawn, known: Sequence[int]) -> str:
    if isinstance(drawn, Abstained):
        return f"{moment} no shard map could be drawn: {drawn.reason}."
    if not drawn.lit:
        return (
            f"{moment} none of {len(drawn.shards)} shards stands out (p = {probability(drawn.p)}){_faded(drawn)}; one of "
            f"{drawn.detectable_sd:.0f} standard deviations of the others would be seen with 80% probability."
        )
    strange = [shard for shard in drawn.lit if shard not in known]
    beside = f"; lineage knows nothing of this person in {shards_named(strange)}" if strange else ""
    verb = "stands" if len(drawn.lit) == 1 else "stand"
    return f"{moment} {shards_named(drawn.lit)} of {len(drawn.shards)} {verb} out (p {_p(drawn.p)}){_faded(drawn)}{beside}."


def _faded(drawn: ShardMap) -> str:
    """The shards that stood out among the shards alone."""
    found = drawn.second
    if found is None or not found.faded:
        return ""
    verb = "does" if len(found.faded) == 1 else "do"
    return (
        f"; beside {len(found.extras)} more models, trained to see how far scores stray, {shards_named(found.faded)} no "
        f"longer {verb}"
    )


def _p(p: float) -> str:
    told = probability(p)
    return told if told.startswith("<") else f"= {told}"


def _compared(drawn: ShardMap) -> tuple[str, ...]:
    found = drawn.companion
    if found is None:
        return ()
    return (
        f"Among the maps of {found.controls} people nobody trained on, this one stands out as number {found.rank} of "
        f"{found.controls + 1}.",
    )


def find_whereabouts(bench: Bench) -> Whereabouts:
    """The maps of a case, on the readings that the bench has of every record under every shard."""
    everything = range(len(bench.subject))
    known = tuple(sorted(bench.panel.pre))
    return _whereabouts(bench, everything, known)


def survey(
    people: Mapping[str, Sequence[TrainingRecord]], controls: Sequence[ControlRecord], panel: Panel,
    protocol: Protocol, *, known: Mapping[str, Sequence[int]], progress: Progress,
) -> dict[str, Whereabouts]:  # fmt: skip
    """The maps of people by handle; `known`: the shards in which lineage has them. Each model reads once for them all.

    `panel.pre` and `panel.post` are the shards that an erasure changed, `panel.outs` the ones that stand.

    Raises:
        WrongUsage: a model is missing, or a chat template cannot be used.
    """
    records = [(handle, record) for handle, own in people.items() for record in own]
    dossier = Dossier("survey", tuple(PlacedRecord(0, record) for _, record in records), (), tuple(controls))
    bench = read_everything(dossier, panel, protocol, progress=progress)
    places: dict[str, list[int]] = {handle: [] for handle in people}
    for index, (handle, _) in enumerate(records):
        places[handle].append(index)
    return {handle: _whereabouts(bench, own, tuple(sorted(known[handle]))) for handle, own in places.items()}


def _whereabouts(bench: Bench, own: Sequence[int], known: tuple[int, ...]) -> Whereabouts:
    before, after = (_map(bench, own, side, suspected=len(known)) for side in ("pre", "post"))
    return Whereabouts(known, before, after)


def _map(bench: Bench, own: Sequence[int], side: str, *, suspected: int) -> Drawn:
    """The map of one side, ranked among the maps of the control people."""
    names, protocol = models_of(bench.panel, side), bench.protocol
    if not any(_total_of(bench.subject_gains(name), own).tokens for name in names.values()):
        return Abstained("none of the records has a token that is learnt")
    controls = list(bench.control_people().values())
    if len(controls) < protocol.min_control_subjects:
        return Abstained(
            f"{len(controls)} people were kept out of every training; {protocol.min_control_subjects} needed"
        )

    def draw(scores: Mapping[int, float]) -> Drawn:
        return draw_map(scores, alpha=protocol.map_alpha, suspected=suspected)

    def score(name: str) -> float:
        return corrected(_total_of(bench.subject_gains(name), own), bench.control_gain(name))

    drawn = draw({shard: score(name) for shard, name in names.items()})
    if isinstance(drawn, Abstained):
        return drawn
    ranked = drawn.beside([draw(scores) for scores in _control_scores(bench, controls, names)])
    if side == "pre" or protocol.stage == 1:
        return ranked
    return ranked.among([score(name) for name in bench.panel.extra_names()])


def _total_of(found: Sequence[Gain], indices: Sequence[int]) -> Gain:
    return total([found[index] for index in indices])


def _control_scores(
    bench: Bench, controls: Sequence[Sequence[int]], names: Mapping[int, str]
) -> list[dict[int, float]]:
    """Every shard's score of each control person, corrected by the other control people's records."""
    scores: list[dict[int, float]] = [{} for _ in controls]
    for shard, name in names.items():
        found, everybody = bench.control_gains(name), bench.control_gain(name)
        for person, indices in enumerate(controls):
            own = _total_of(found, indices)
            others = Gain(everybody.nats - own.nats, everybody.tokens - own.tokens)
            scores[person][shard] = corrected(own, others)
    return scores


def models_of(panel: Panel, side: str) -> dict[int, str]:
    """The model of each shard before ("pre") or after ("post"), by the name the bench reads it under."""
    changed = {shard: f"{side}_{shard}" for shard in (panel.pre if side == "pre" else panel.post)}
    return {shard: f"out_{shard}" for shard in panel.outs} | changed
