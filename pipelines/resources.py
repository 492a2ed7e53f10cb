"""What assets and ops get from the outside: the workspace of this code location, opened when a step needs it."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import lru_cache
from pathlib import Path

from dagster import Config, ConfigurableResource, InitResourceContext
from pydantic import Field, PrivateAttr

from lineage.errors import Fault
from lineage.lease import held, held_free
from lineage.replay import require_replayed
from lineage.settings import FILE_NAME, Settings, find_workspace, load_settings
from lineage.workspace import Workspace, open_workspace
from pipelines.ingest import utc_now
from pipelines.windows import WINDOW_LEASE, case_lease

__all__ = ["CaseConfig", "IngestConfig", "WindowConfig", "WindowResource", "WorkspaceResource", "settings_of_location"]


@lru_cache(maxsize=4)
def _opened(folder: Path, _written_ns: int) -> Workspace:
    return open_workspace(folder, even_restored=True)


class WorkspaceResource(ConfigurableResource):
    """Opens the workspace; `folder` empty means LETHE_WORKSPACE or the current folder."""

    folder: str = ""

    def open(self, *, even_restored: bool = False) -> Workspace:
        """The workspace, open. One per process, folder and writing of lethe.toml: its engines are safe to share between steps.

        Raises:
            RefusedByRule: a restored backup has undone an erasure; asked anew each time, and not by its replay.
        """
        folder = find_workspace(Path(self.folder) if self.folder else None)
        workspace = _opened(folder, (folder / FILE_NAME).stat().st_mtime_ns)
        if not even_restored:
            require_replayed(workspace)
        return workspace


class IngestConfig(Config):
    """Run config of an ingest: the id of a request and nothing else, because Dagster keeps run config for ever."""

    request: str = Field(default="", description="Ingest request; empty takes the oldest that is not finished.")


class CaseConfig(Config):
    """Run config of a case job: the case's id and nothing else."""

    case_id: str = Field(description="Case, e.g. case-1a2b3c4d.")


class WindowConfig(Config):
    """Run config of an erasure: the ids of the window's cases and nothing else."""

    case_ids: list[str] = Field(
        description="Cases, e.g. case-1a2b3c4d; each affected shard is rebuilt once for all of them."
    )


class WindowResource(WorkspaceResource):
    """The workspace of a window's run and its leases, held from the first step to the end: one window at a time."""

    _leases: ExitStack = PrivateAttr(default_factory=ExitStack)
    _mine: tuple[str, ...] | None = PrivateAttr(default=None)

    @contextmanager
    def yield_for_execution(self, context: InitResourceContext) -> Iterator["WindowResource"]:
        """Give back at the end of the run what was taken in it."""
        del context
        with ExitStack() as stack:
            self._leases, self._mine = stack, None
            yield self

    def hold(self, case_ids: Sequence[str]) -> tuple[str, ...]:
        """Take the leases, in a run's first step; returns the cases that nobody else is working on.

        Raises:
            Fault: another window is at work, or other processes work on all the cases.
        """
        database = self.open().database
        if self._mine is None:
            self._leases.enter_context(held(database, WINDOW_LEASE, utc_now))
            names = {case_lease(case_id): case_id for case_id in case_ids}
            leases = self._leases.enter_context(held_free(database, names, utc_now))
            self._mine = tuple(names[lease.name] for lease in leases)
        if not self._mine:
            raise Fault(
                "Another process is working on these cases.", hint="Wait for it to finish, then run this again."
            )
        return self._mine


def settings_of_location() -> Settings | None:
    """The settings of the workspace this code location serves; None when there is none, e.g. in the repository root."""
    from lineage.errors import WrongUsage

    try:
        return load_settings(find_workspace(None))
    except WrongUsage:
        return None
