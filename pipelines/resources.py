"""What assets and ops get from the outside: the workspace of this code location, opened when a step needs it."""

from functools import lru_cache
from pathlib import Path

from dagster import Config, ConfigurableResource
from pydantic import Field

from lineage.settings import Settings, find_workspace, load_settings
from lineage.workspace import Workspace, open_workspace

__all__ = ["CaseConfig", "IngestConfig", "WorkspaceResource", "settings_of_location"]


@lru_cache(maxsize=4)
def _opened(folder: Path) -> Workspace:
    return open_workspace(folder)


class WorkspaceResource(ConfigurableResource):
    """Opens the workspace; `folder` empty means LETHE_WORKSPACE or the current folder."""

    folder: str = ""

    def open(self) -> Workspace:
        """The workspace, open. One per process and folder: its engines are safe to share between steps."""
        return _opened(find_workspace(Path(self.folder) if self.folder else None))


class IngestConfig(Config):
    """Run config of an ingest: the id of a request and nothing else, because Dagster keeps run config for ever."""

    request: str = Field(default="", description="Ingest request; empty takes the oldest that is not finished.")


class CaseConfig(Config):
    """Run config of a case job: the case's id and nothing else."""

    case_id: str = Field(description="Case, e.g. case-1a2b3c4d.")


def settings_of_location() -> Settings | None:
    """The settings of the workspace this code location serves; None when there is none, e.g. in the repository root."""
    from lineage.errors import WrongUsage

    try:
        return load_settings(find_workspace(None))
    except WrongUsage:
        return None
