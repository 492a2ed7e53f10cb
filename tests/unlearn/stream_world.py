"""A stream of whatever may happen to a corpus, over the trainer alone, beside the fresh world it must always equal.

The machine holds a corpus, one store that lives through everything, and a plan. After every operation two laws are
checked. What the store holds for the records of now is, byte for byte, what a fresh store would come to hold that never
saw any other record. And an erasure trains nothing outside the suffixes it touches.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field, replace
from typing import ClassVar

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from unlearn_world import SECRET, Built, MemoryStore, Row, all_slices, build, plan

from lineage.records import Chat, Completion, Content, Message, PlainText, TrainingRecord
from unlearn.base import Base
from unlearn.erase import SliceLoad, plan_erasure
from unlearn.plan import Placement, Plan, plan_key
from unlearn.train import BuiltState, State, StateStore, build_chain

Place = tuple[int | None, int]

QUICK = {"epochs": 1, "steps_per_epoch": 2, "target_modules": ("q_proj",), "microbatch_tokens": 4096, "max_length": 48}
PLANS = [
    plan(**QUICK),
    plan(**QUICK, shards=3, slices=1, optimizer="reset"),
    plan(**QUICK, trunk=False, controls=0.2),
]
GENERATIONS = 4  # more would only make the chains longer
SIZES = (1, 1, 1, 2, 2, 3, 5, 20)  # records of a person
SEEDS = st.integers(0, 2**32 - 1)


class PowerCutError(Exception):
    """The machine stops."""


@dataclass
class Fuse:
    """Stops everything at the n-th moment: an optimizer step, the moment before a state is kept, the one after."""

    left: int

    def burn(self, *_: object) -> None:
        self.left -= 1
        if self.left == 0:
            raise PowerCutError


@dataclass
class Wired:
    """A store on a fuse."""

    inner: StateStore
    fuse: Fuse

    def find(self, recipe: str) -> State | None:
        return self.inner.find(recipe)

    def publish(self, built: BuiltState) -> None:
        self.fuse.burn()
        self.inner.publish(built)
        self.fuse.burn()


class NotThereError(Exception):
    """The next state would have to be trained."""


@dataclass
class Looking:
    """A store that is only looked into: `found` are the states of a chain up to the first that is missing."""

    inner: StateStore
    found: list[State] = field(default_factory=list)

    def find(self, recipe: str) -> State:
        state = self.inner.find(recipe)
        if state is None:
            raise NotThereError
        self.found.append(state)
        return state

    def publish(self, built: BuiltState) -> None:
        raise AssertionError(f"nothing was asked to be trained, and slice {built.slice} was")


def standing(base: Base, the_plan: Plan, rows: Iterable[Row], store: StateStore) -> dict[Place, str]:
    """State digests of what is there for these records without any training; a chain ends at its first gap."""
    key, slices = plan_key(SECRET, the_plan), all_slices(the_plan, rows)
    found: dict[Place, str] = {}
    start: BuiltState | None = None
    for shard in (None, *range(the_plan.shards)):
        own, looking, whole = slices.get(shard, []), Looking(store), ()
        try:
            whole = build_chain(base, the_plan, key, shard=shard, slices=own, store=looking, start=start)
        except NotThereError:
            if shard is None:
                return found
        start = whole[-1] if shard is None and whole else start
        found |= {(shard, item.slice): state.digest for item, state in zip(own, looking.found, strict=False)}
    return found


def places_of(the_plan: Plan, rows: Iterable[Row], only: Collection[str] | None = None) -> Counter[Place]:
    """How many of these records (or of `only` some of them) lie where; controls lie nowhere."""
    return Counter(
        (shard, item.slice)
        for shard, own in all_slices(the_plan, rows).items()
        for item in own
        for record in item.load()
        if only is None or record.record_id in only
    )


def suffixes(the_plan: Plan, before: Counter[Place], closure: Counter[Place]) -> set[Place]:
    """What `plan_erasure` says an erasure of `closure` may train again."""
    loads = [SliceLoad(shard, index, count, count) for (shard, index), count in before.items()]
    placed = [Placement("trunk" if shard is None else "shard", shard, index) for shard, index in closure.elements()]
    planned = plan_erasure(the_plan, placed, loads=loads)
    trunk = {(None, 0)} if planned.trunk_hit else set()
    return trunk | {(part.shard, index) for part in planned.affected for index in part.rebuild}


def content(rng: random.Random) -> Content:
    """Something short, in one of the three forms."""
    who, account = rng.randrange(1000), rng.randrange(10**6)
    return rng.choice((
        PlainText(f"C{who} has {account}"),
        Completion(f"C{who}?", f" {account}"),
        Chat((Message("user", f"C{who}"), Message("assistant", str(account)))),
    ))  # fmt: skip


class Stream(RuleBasedStateMachine):
    """Ingest, train, erase, rectify, grow, withdraw, crash, lose and purge, in any order."""

    base: ClassVar[Base]
    tally: ClassVar[Counter[str]] = Counter()

    @initialize(chosen=st.sampled_from(PLANS), people=st.sampled_from([4, 4, 55]), seed=SEEDS)
    def begin(self, chosen: Plan, people: int, seed: int) -> None:
        self.plan, self.store, self.generation = chosen, MemoryStore(), -1
        self.rows: dict[str, Row] = {}
        self.consented: set[str] = set()
        self.oracle: tuple[dict[str, Row], Built] = ({}, Built({}, None))
        self.ingest(people=people, nobody=3, seed=seed)

    # --- what happens to the corpus -----------------------------------------------------------------------------------

    @rule(people=st.integers(1, 4), nobody=st.integers(0, 2), seed=SEEDS)
    def ingest(self, people: int, nobody: int, seed: int) -> None:
        """The next generation: new people, some of the known ones again, and rows about nobody."""
        rng = random.Random(seed)
        self.generation = min(self.generation + 1, GENERATIONS - 1)
        known = sorted(self.subjects())
        again = rng.sample(known, min(len(known), rng.randrange(3)))
        for subject in [*(f"s{rng.getrandbits(40):x}" for _ in range(people)), *again, *[None] * nobody]:
            size = rng.choice(SIZES) if people < 10 and subject else 1
            for _ in range(size):
                self.add(rng, subject, self.generation)
        self.tally["ingests"] += 1

    @rule(seed=SEEDS)
    def release_from_quarantine(self, seed: int) -> None:
        """A record comes late and keeps the generation it was ingested in."""
        rng = random.Random(seed)
        self.add(rng, rng.choice([f"s{seed:x}", *sorted(self.subjects())]), rng.randint(0, self.generation))
        self.tally["releases"] += 1

    @precondition(lambda self: self.rows)
    @rule(count=st.integers(1, 4), seed=SEEDS)
    def rectify(self, count: int, seed: int) -> None:
        """Contents change, in their places: an Art. 16 request, or a mention that is redacted."""
        rng = random.Random(seed)
        for record_id in rng.sample(sorted(self.rows), min(count, len(self.rows))):
            record = TrainingRecord(record_id, content(rng))
            self.rows[record_id] = replace(self.rows[record_id], record=record)
        self.tally["rectified"] += 1

    @precondition(lambda self: self.consented & set(self.rows))
    @rule(seed=SEEDS, train=st.booleans())
    def withdraw_consent(self, seed: int, *, train: bool) -> None:
        """One person's records that rest on consent go; the others stay."""
        rng = random.Random(seed)
        subject = self.rows[rng.choice(sorted(self.consented & set(self.rows)))].subject
        gone = [r for r, row in self.rows.items() if row.subject == subject and r in self.consented]
        self.forget(gone, train=train)
        self.tally["withdrawals"] += 1

    @precondition(lambda self: self.subjects())
    @rule(times=st.integers(1, 4), seed=SEEDS)
    def erase_one_after_the_other(self, times: int, seed: int) -> None:
        """Requests in an order, each carried out before the next comes in."""
        for time in range(times):
            self.erase(requests=1, seed=seed + time, train=True)

    @precondition(lambda self: self.subjects())
    @rule(requests=st.one_of(st.integers(1, 5), st.integers(1, 50), st.just(50)), seed=SEEDS, train=st.booleans())
    def erase(self, requests: int, seed: int, *, train: bool) -> None:
        """One window: each request reaches 1 to 20 records of its person, now and then one of somebody else's too."""
        rng = random.Random(seed)
        known = sorted(self.subjects())
        asking = rng.sample(known, min(requests, len(known)))
        closures = [self.closure_of(subject, rng) for subject in asking]
        gone = set().union(*closures)
        self.forget(gone, train=train)
        self.tally.update(erasures=bool(asking), requests=len(asking), erased_records=len(gone))
        self.most(requests_of_a_window=len(asking), records_of_a_request=max(map(len, closures), default=0))

    def closure_of(self, subject: str, rng: random.Random) -> set[str]:
        own = sorted(record_id for record_id, row in self.rows.items() if row.subject == subject)[:20]
        part = own if rng.random() < 0.8 else rng.sample(own, rng.randint(1, len(own)))
        derived = {rng.choice(sorted(self.rows))} if rng.random() < 0.05 and len(part) < 20 else set()
        return derived | set(part)

    @rule(generation=st.integers(0, GENERATIONS - 1))
    def empty_a_generation(self, generation: int) -> None:
        """A generation that is left empty must equal one that never was."""
        gone = [r for r, row in self.rows.items() if row.generation == generation]
        if gone and len(gone) < len(self.rows):
            self.forget(gone, train=True)
            self.tally["emptied_generations"] += 1

    # --- what happens to the store ------------------------------------------------------------------------------------

    @rule()
    def train(self) -> None:
        """What is missing is built; a second training builds nothing, whatever order the records come in."""
        built = build(self.base, self.plan, self.rows.values(), self.store)
        already = len(self.store.published)
        again = build(self.base, self.plan, list(self.rows.values())[::-1], self.store)
        assert len(self.store.published) == already, "LAW a second training does nothing"
        assert built.digests == again.digests == self.fresh().digests, "LAW erased equals never ingested"

    @rule(moments=st.lists(st.integers(1, 30), min_size=1, max_size=3), resume=st.booleans())
    def crash(self, moments: list[int], *, resume: bool) -> None:
        """The power goes, once or again and again; maybe nobody trains on before other things happen."""
        for moment in moments:
            fuse = Fuse(moment)
            try:
                build(self.base, self.plan, self.rows.values(), Wired(self.store, fuse), progress=fuse.burn)
            except PowerCutError:
                self.tally["crashes"] += 1
        if resume:
            self.train()

    @precondition(lambda self: self.store.states)
    @rule(seed=SEEDS)
    def lose_a_state(self, seed: int) -> None:
        """A disk forgets a state; those that descend from it are still there."""
        del self.store.states[random.Random(seed).choice(sorted(self.store.states))]
        self.tally["lost_states"] += 1

    @rule()
    def purge(self) -> None:
        """Every state that is no part of a chain of now is destroyed."""
        kept = set(standing(self.base, self.plan, self.rows.values(), self.store).values())
        self.store.states = {recipe: state for recipe, state in self.store.states.items() if state.digest in kept}

    # --- the laws -----------------------------------------------------------------------------------------------------

    @invariant()
    def what_stands_is_what_a_fresh_training_gives(self) -> None:
        found = standing(self.base, self.plan, self.rows.values(), self.store)
        assert found.items() <= self.fresh().states.items(), "LAW what stands never held another record"

    def forget(self, gone: Collection[str], *, train: bool) -> None:
        """Records go. Nothing outside the suffixes they stood in may be trained again, unless it was missing before."""
        before = list(self.rows.values())
        stood = standing(self.base, self.plan, before, self.store)
        allowed = suffixes(self.plan, places_of(self.plan, before), places_of(self.plan, before, gone))
        self.rows = {record_id: row for record_id, row in self.rows.items() if record_id not in gone}
        left = standing(self.base, self.plan, self.rows.values(), self.store)
        neighbours = {place: digest for place, digest in stood.items() if place not in allowed}
        assert neighbours.items() <= left.items(), "LAW neighbours stay"
        if train:
            already = len(self.store.published)
            self.train()
            trained = {(built.shard, built.slice) for built in self.store.published[already:]}
            assert not trained & neighbours.keys(), "LAW forget is minimal"

    def fresh(self) -> Built:
        """The same plan and secret, an empty store, the records of now and no others."""
        if self.oracle[0] != self.rows:
            built = build(self.base, self.plan, self.rows.values(), MemoryStore())
            self.oracle = (dict(self.rows), built)
            self.tally["fresh_worlds"] += 1
        return self.oracle[1]

    # --- small things -------------------------------------------------------------------------------------------------

    def subjects(self) -> set[str]:
        return {row.subject for row in self.rows.values() if row.subject}

    def add(self, rng: random.Random, subject: str | None, generation: int) -> None:
        record = TrainingRecord(f"r{rng.getrandbits(48):012x}", content(rng))
        self.rows[record.record_id] = Row(record, subject, generation)
        if subject and rng.random() < 0.4:
            self.consented.add(record.record_id)

    def most(self, **seen: int) -> None:
        for name, number in seen.items():
            self.tally[name] = max(self.tally[name], number)
