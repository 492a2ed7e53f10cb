"""Collect the store's garbage, and check that everything the tables promise is there with the right bytes.

While it collects, it holds the lease of every shard and of the erasures, so that nobody can take up a state that is about
to go; and it refuses while anybody holds one of these or any other. Bytes go first, then the rows are marked, in one transaction with the ledger's
event: a crash between leaves rows of garbage whose bytes are gone, which the next collection marks, and never bytes that
the purge of a person would take for destroyed.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta

from lineage import garbage, ledger, plans, studies
from lineage.errors import Fault, NotAcceptable
from lineage.garbage import Garbage, Roots
from lineage.lease import all_held, held_free
from lineage.plans import TRUNK
from lineage.workspace import Workspace
from pipelines.chains import current_prefix
from pipelines.ingest import utc_now
from pipelines.states import Atelier, state_bytes
from pipelines.windows import WINDOW_LEASE
from unlearn.plan import Plan, plan_key

__all__ = ["LEAST_AGE", "CheckReport", "CollectReport", "check_store", "collect", "survey"]

LEAST_AGE = timedelta(days=1)
KINDS = ("states", "adapters")


@dataclass(frozen=True)
class CollectReport:
    """How many states and adapters no live recipe reaches, how many entries and leftovers no row promises (counts)."""

    states: int
    adapters: int
    entries: int
    leftovers: int


@dataclass(frozen=True)
class CheckReport:
    """Entries that were read, and by "kind/digest" those that are missing, damaged, or promised by no row."""

    entries: int
    missing: tuple[str, ...]
    damaged: tuple[str, ...]
    orphans: tuple[str, ...]


def survey(workspace: Workspace, *, now: datetime | None = None) -> CollectReport:
    """What a collection would remove now; changes nothing."""
    limit = (now or utc_now()) - LEAST_AGE
    found = _decide(workspace, limit)
    entries = _entries(workspace, found, limit)
    dead = len(workspace.store.digests(studies.KIND))  # of the living too: while they run, nothing is collected
    return CollectReport(len(found.recipes), len(found.adapters), len(entries) + dead, workspace.store.leftovers(limit))


def collect(workspace: Workspace, *, now: datetime | None = None) -> CollectReport:
    """Remove what no live recipe reaches and is older than a day, and what crashes left. Safe to repeat.

    Raises:
        Fault: somebody trains or carries a case right now.
    """
    now = now or utc_now()
    with _nobody_builds(workspace):
        limit = now - LEAST_AGE
        found = _decide(workspace, limit)
        entries = sum(workspace.store.destroy(*entry) for entry in _entries(workspace, found, limit))
        entries += studies.destroy_leftovers(workspace.database, workspace.store, adapters=(), clock=utc_now)
        report = CollectReport(len(found.recipes), len(found.adapters), entries, workspace.store.sweep(limit))
        if any(asdict(report).values()):
            with workspace.database.transaction() as session:
                garbage.mark_collected(session, found, now)
                ledger.append(session, at=now, kind="store.collected", payload=asdict(report))
    return report


def check_store(workspace: Workspace) -> CheckReport:
    """Read everything the tables promise: each file against its entry's manifest, each entry against its address."""
    with workspace.database.reader() as session:
        kept = garbage.promises(garbage.held_by_tables(session))
    stored = {kind: workspace.store.digests(kind) for kind in KINDS}
    missing, damaged = [], []
    for kind, digest in sorted((group, member) for group in KINDS for member in kept[group]):
        if not workspace.store.holds(kind, digest):
            missing.append(f"{kind}/{digest}")
        elif not _sound(workspace, kind, digest):
            damaged.append(f"{kind}/{digest}")
    orphans = sorted(f"{kind}/{digest}" for kind in KINDS for digest in stored[kind] - kept[kind])
    return CheckReport(sum(map(len, kept.values())), tuple(missing), tuple(damaged), tuple(orphans))


def _sound(workspace: Workspace, kind: str, digest: str) -> bool:
    from unlearn.compose import files_digest

    try:
        if kind == "states":
            return state_bytes(workspace, digest).digest == digest
        return files_digest(workspace.store.read(kind, digest)) == digest
    except NotAcceptable:
        return False


def _decide(workspace: Workspace, limit: datetime) -> Garbage:
    with workspace.database.reader() as session:
        named = set(workspace.settings.adapters)
        roots = garbage.needed_by_releases(session) | garbage.needed_by_cases(session)
        for adapter in garbage.known_adapters(session) - named:
            roots |= garbage.of_adapter(
                session, adapter
            )  # lethe.toml no longer names it; that is no reason to destroy it
        holding = garbage.held_by_tables(session)
    return garbage.garbage_in(holding, roots | _live(workspace), older_than=limit)


def _live(workspace: Workspace) -> Roots:
    """The chains of the records that are live now, under every plan in force, as far as they are built."""
    recipes: set[str] = set()
    for atelier in _ateliers(workspace):
        for shard in (TRUNK, *range(atelier.plan.shards)):
            recipes |= {state.recipe_digest for state in current_prefix(atelier, shard)[0]}
    return Roots(frozenset(recipes))


def _ateliers(workspace: Workspace) -> Iterator[Atelier]:
    """Every adapter with a plan, whether or not its gate is open: nothing is learnt here."""
    for adapter in sorted(workspace.settings.adapters):
        with workspace.database.reader() as session:
            frozen = plans.current_plan(session, adapter)
        if frozen:
            plan = Plan.from_json(frozen[1])
            key = plan_key(workspace.keyring.workspace_secret, plan)
            yield Atelier(workspace, adapter, workspace.settings.adapter(adapter), plan, key)


def _entries(workspace: Workspace, found: Garbage, limit: datetime) -> list[tuple[str, str]]:
    """The entries that go: those of the garbage, unless something live has the same bytes, and what crashes left."""
    store = workspace.store
    with workspace.database.reader() as session:
        holding = garbage.held_by_tables(session)
    promised, kept = garbage.promises(holding), garbage.promises(holding, without=found)
    stored = {kind: {digest: store.written_at(kind, digest) for digest in store.digests(kind)} for kind in KINDS}
    return garbage.doomed_entries(stored, promised=promised, kept=kept, older_than=limit)


@contextmanager
def _nobody_builds(workspace: Workspace) -> Iterator[None]:
    """Hold the lease of every shard and of the erasures.

    Raises:
        Fault: one of them, or any other, is held by a living process.
    """
    shards = (
        (atelier.adapter, shard) for atelier in _ateliers(workspace) for shard in (TRUNK, *range(atelier.plan.shards))
    )
    names = ("store", WINDOW_LEASE, *(f"shard:{adapter}.{shard}" for adapter, shard in shards))
    with held_free(workspace.database, names, utc_now) as leases:
        with workspace.database.reader() as session:
            others = all_held(session, now=utc_now()) - {lease.name for lease in leases}
        if others:
            raise Fault(
                f"Another process is working on {min(others)}.", hint="Wait for it to finish, then run this again."
            )
        yield
