"""The fault suite: the whole road of a case with one fault in it, at every step boundary, then walked on to its end.

After the fault the workspace may claim nothing that is not so; at the end it is what an undisturbed walk leaves: the same
certificate, releases, store, tombstones and events, each once. `faults` says which faults there are, `whole_road` what the
road is and how a lie is found out. That the suite finds lies is shown by roads that were broken on purpose.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest
from crashes import Schedule, let_die
from exported import copy_as_it_is, copy_world
from faults import FAULTS, Disturbance, Kind, disturbed
from whole_road import (
    NOW,
    Outcome,
    Truth,
    certificate_of,
    lies,
    make_small_world,
    outcome,
    standing_still,
    truth_of,
    walk,
)

from lineage import derived_place, journal, ledger
from lineage.case import CaseFile
from lineage.chain import Intact
from lineage.stages import Stage
from lineage.store import Store
from lineage.vault import KeyStore
from lineage.workspace import Workspace, open_workspace
from pipelines import containing, purging

STRIDE = {Kind.DATABASE_GONE: 3, Kind.STORE_REFUSES: 2}
"""Every boundary is disturbed; where they are many and alike (readings, questions to the store), every third or second one."""
NOT_REACHED = {"certified", "events", "exports"}
"""What differs where a derived file could not be deleted: the file is there, and certificate and ledger say so."""
PARTS = 24
"""Test cases a kind; one of them, every twenty-fourth schedule, runs in make test."""


@dataclass(frozen=True)
class Start:
    """The world before a step of the undisturbed walk, and how many boundaries of each kind lie before it."""

    folder: Path
    passed: dict[Kind, int]


@dataclass(frozen=True)
class Road:
    """An undisturbed walk: where its steps began, how many boundaries of each kind it has, and what it left."""

    starts: list[Start]
    boundaries: dict[Kind, int]
    truth: Truth
    walked: Path
    reference: Outcome

    def schedules(self, kind: Kind) -> list[Disturbance]:
        """One a boundary. Every second one lasts, where a kind can last."""
        stride = STRIDE.get(kind, 1)
        numbers = range(1, self.boundaries[kind] + 1, stride)
        can_last = kind not in (Kind.CRASH, Kind.STORE_LIES, Kind.FILES_LIE, Kind.PARTY_REFUSES)
        return [Disturbance(kind, at, lasting=can_last and at // stride % 2 == 0) for at in numbers]

    def step_of(self, what: Disturbance) -> int:
        """The last step that begins before a boundary; 0 too for those of opening the workspace, before the first step."""
        return max((n for n, start in enumerate(self.starts) if start.passed[what.kind] < what.at), default=0)

    def start_of(self, what: Disturbance) -> tuple[Path, Disturbance]:
        """Where that step begins, and the schedule from there, which opens the workspace first."""
        start, opening = self.starts[self.step_of(what)], self.starts[0].passed[what.kind]
        return start.folder, Disturbance(what.kind, what.at - start.passed[what.kind] + opening, what.lasting)


@pytest.fixture(scope="module")
def standing() -> Iterator[None]:
    with standing_still():
        yield


@pytest.fixture(scope="module")
def road(template: Path, standing: None) -> Road:
    root = template.parent
    world = make_small_world(template, root / "world")
    walks: dict[Kind, list[int]] = {}
    boundaries = {}
    for kind in Kind:
        folder = copy_world(world, root / f"whole-{kind.name}")
        before: list[int] = []
        with disturbed(Disturbance(kind, 0)) as schedule:
            walk(folder, before_step=_noting(before, schedule, folder, keep=kind is Kind.CRASH))
        walks[kind], boundaries[kind] = before, schedule.passed
    steps = range(len(walks[Kind.CRASH]))
    starts = [Start(root / f"step-{n}", {kind: walks[kind][n] for kind in Kind}) for n in steps]
    whole = root / f"whole-{Kind.CRASH.name}"
    return Road(starts, boundaries, truth_of(world, whole), whole, outcome(whole))


def _noting(before: list[int], schedule: Schedule, folder: Path, *, keep: bool) -> Callable[[], None]:
    """Note before each step how many boundaries were passed; of one walk, keep the world as it stands too."""

    def note() -> None:
        if keep:
            copy_as_it_is(folder, folder.parent / f"step-{len(before)}")
        before.append(schedule.passed)

    return note


def carry_out(road: Road, schedules: Iterable[Disturbance]) -> None:
    """Schedule by schedule, each in a world of its own: disturb, look for lies, walk on, compare."""
    for what in schedules:
        with tempfile.TemporaryDirectory(dir=road.walked.parent) as folder:
            _carry_out(road, what, Path(folder) / "ws")


def _carry_out(road: Road, what: Disturbance, folder: Path) -> None:
    assert lies_after(road, what, folder) == [], f"{what}: after the fault"
    let_die(open_workspace(folder, even_restored=True))
    walk(folder)
    assert lies(folder, road.truth) == [], f"{what}: at the end"
    honest = NOT_REACHED if what.kind in (Kind.FILES_REFUSE, Kind.FILES_LIE) else set()
    assert outcome(folder).differs(road.reference) == honest, f"{what}: at the end"
    with open_workspace(folder).database.reader() as session:
        assert isinstance(ledger.verify(session), Intact)


def lies_after(road: Road, what: Disturbance, folder: Path) -> list[str]:
    """What is claimed and not so when the fault has happened and nobody has walked on."""
    start, from_there = road.start_of(what)
    copy_world(start, folder)
    with suppress(*FAULTS), disturbed(from_there):
        walk(folder)
    return lies(folder, road.truth)


PARTED = [pytest.param(kind, part, marks=pytest.mark.slow if part else ()) for kind in Kind for part in range(PARTS)]


@pytest.mark.parametrize(("kind", "part"), PARTED)
def test_no_fault_makes_a_case_lie_or_changes_how_it_ends(road: Road, kind: Kind, part: int) -> None:
    carry_out(road, road.schedules(kind)[part::PARTS])


def test_there_are_five_hundred_schedules_and_an_undisturbed_walk_is_always_the_same(
    road: Road, tmp_path: Path
) -> None:
    assert sum(len(road.schedules(kind)) for kind in Kind) >= 500
    again = copy_world(road.starts[0].folder, tmp_path / "again")
    walk(again)
    assert certificate_of(again).read_bytes() == certificate_of(road.walked).read_bytes()
    assert outcome(again) == road.reference


def test_the_truth_is_about_the_person_and_not_about_everybody(road: Road) -> None:
    assert len(road.truth.erased) == 3, "two rows of their own, and one derived from theirs"
    assert len(road.truth.sealed) == 5
    assert all(road.truth.doomed.values())
    assert lies(road.starts[0].folder, road.truth) == lies(road.walked, road.truth) == []


# --- the suite can fail ---------------------------------------------------------------------------------------------------------


def keys_after_the_stage(patch: pytest.MonkeyPatch) -> None:
    """The case is PURGED, and then the keys go."""
    whole, waiting = KeyStore.shred_records, list[Callable[[], int]]()
    patch.setattr(KeyStore, "shred_records", lambda keys, ids: waiting.append(lambda: whole(keys, ids)))
    forget = purging._forget_case

    def late(workspace: Workspace, case_id: str) -> dict[str, object]:
        while waiting:
            waiting.pop()()
        return forget(workspace, case_id)

    patch.setattr(purging, "_forget_case", late)


def contained_before_it_is(patch: pytest.MonkeyPatch) -> None:
    """The records are restricted, the case is CONTAINED, and then the adapters are composed anew."""
    restrict = containing._restrict

    def early(workspace: Workspace, case_id: str) -> None:
        restrict(workspace, case_id)
        with workspace.database.transaction() as session:
            CaseFile(session, case_id).advance(Stage.CONTAINED, now=NOW)

    patch.setattr(containing, "_restrict", early)


def journal_at_the_end(patch: pytest.MonkeyPatch) -> None:
    """What is destroyed is written down once it is destroyed."""
    append, waiting = journal.append, list[journal.Entry]()

    def late(path: Path, entry: journal.Entry) -> None:
        waiting.append(entry)
        while entry.kind == journal.DESTROYED and waiting:
            append(path, waiting.pop(0))

    patch.setattr(journal, "append", late)


def a_party_that_is_believed(patch: pytest.MonkeyPatch) -> None:
    """Status 200 counts, whatever it says."""
    patch.setattr("party.refusal", lambda notice_id, status, body: "" if status == 200 else str(status))


def a_store_that_is_believed(patch: pytest.MonkeyPatch) -> None:
    """Nobody looks whether what was deleted is gone."""
    patch.setattr(
        Store, "destroy", lambda store, kind, digest: bool(store._fs.rm(store._path(kind, digest), recursive=True))
    )


def a_file_system_that_is_believed(patch: pytest.MonkeyPatch) -> None:
    """Nor whether a derived file is."""
    patch.setattr(derived_place, "_require_gone", lambda folder, name: None)


EXECUTION, PURGE, TELLING = 3, 5, 7
MUTANTS = [
    (keys_after_the_stage, Kind.CRASH, PURGE, "purged"),
    (contained_before_it_is, Kind.CRASH, EXECUTION, "contained"),
    (journal_at_the_end, Kind.CRASH, PURGE, "destroyed in secret"),
    (a_store_that_is_believed, Kind.STORE_LIES, PURGE, "purged"),
    (a_file_system_that_is_believed, Kind.FILES_LIE, PURGE, "file deleted"),
    (a_party_that_is_believed, Kind.PARTY_REFUSES, TELLING, "acknowledged"),
]


@pytest.mark.parametrize(("mutant", "kind", "step", "lie"), MUTANTS)
def test_a_road_that_says_more_than_it_has_done_is_found_out(
    road, tmp_path, monkeypatch, mutant, kind, step, lie
) -> None:
    """By a schedule of the step that was broken."""
    mutant(monkeypatch)
    schedules = [what for what in road.schedules(kind) if road.step_of(what) == step]
    found = (lies_after(road, what, tmp_path / str(what.at)) for what in _from_both_ends(schedules))
    assert any(lie in told for told in found)


def _from_both_ends(schedules: list[Disturbance]) -> list[Disturbance]:
    """Where a step is broken is near its beginning or near its end."""
    pairs = zip(schedules, reversed(schedules), strict=True)
    return [what for pair in pairs for what in pair][: len(schedules)]
