"""The cases that one run carries out together, and how one of them leaves without stopping the others.

A *window* is all the approved requests that wait when a run starts. Each affected shard is rebuilt once for all of them.
A request that arrives later waits for the next window. A case under a legal hold, with a preview that changed or with a
step that failed leaves the window; its reason stands in the case.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager

from sqlmodel import col, select

from lineage.case import CaseFile
from lineage.case_view import list_cases
from lineage.errors import LetheError, RefusedByRule, WrongUsage
from lineage.stages import Stage
from lineage.tables import CaseRow
from lineage.workspace import Workspace
from pipelines.ingest import utc_now

__all__ = ["EXECUTION", "WINDOW_LEASE", "Window", "case_lease", "fail_case", "named", "waiting_cases"]

WINDOW_LEASE = "erasure"
EXECUTION = (Stage.APPROVED, Stage.CONTAINED, Stage.EXECUTING, Stage.VERIFYING)
"""The stages at which a case waits for its execution, or for the rest of it."""


class Window:
    """Some cases, earliest due date first, and those that had to leave."""

    def __init__(self, workspace: Workspace, case_ids: Iterable[str]) -> None:
        """Open a window.

        Raises:
            WrongUsage: no case, or an unknown one.
        """
        self.workspace = workspace
        self._left: dict[str, Exception] = {}
        wanted = set(case_ids)
        with workspace.database.reader() as session:
            query = select(CaseRow.id).where(col(CaseRow.id).in_(wanted))
            self.cases = tuple(session.exec(query.order_by(col(CaseRow.due_on), col(CaseRow.id))).all())
        if unknown := sorted(wanted - set(self.cases)):
            raise WrongUsage(f"There is no case {unknown[0]!r}.", hint="See them all: lethe erase list")
        if not self.cases:
            raise WrongUsage("No case waits for its execution.", hint="See them all: lethe erase list")

    def still(self, cases: Iterable[str] | None = None) -> tuple[str, ...]:
        """Those of the cases (all, if not given) that have not left, in order of their due dates."""
        asked = set(self.cases if cases is None else cases)
        return tuple(case_id for case_id in self.cases if case_id in asked and case_id not in self._left)

    @contextmanager
    def apart(self, *cases: str) -> Iterator[None]:
        """What goes wrong in the block concerns these cases only: they leave, and the others go on."""
        try:
            yield
        except Exception as error:  # noqa: BLE001 - whatever it was, it is written into these cases and told at the end
            for case_id in self.still(cases):
                self._left[case_id] = error
                fail_case(self.workspace, case_id, error)

    def require_somebody(self) -> None:
        """Raise what the first case left for, a failure before a refusal, if every case has left."""
        if not self.still():
            raise min(self._left.values(), key=lambda error: isinstance(error, RefusedByRule))


def fail_case(workspace: Workspace, case_id: str, error: Exception) -> None:
    """Move a case to FAILED with one sentence. A refusal by rule (a hold, a changed preview) leaves it where it is."""
    if isinstance(error, RefusedByRule):
        return
    problem = str(error) if isinstance(error, LetheError) else f"{type(error).__name__} while the case ran."
    with workspace.database.transaction() as session:
        CaseFile(session, case_id).fail(problem, now=utc_now())


def waiting_cases(workspace: Workspace) -> list[str]:
    """The cases that a window would carry now: approved or on their way, not held, earliest due date first."""
    with workspace.database.reader() as session:
        return [case.id for case in list_cases(session, *EXECUTION) if not case.hold_reason]


def case_lease(case_id: str) -> str:
    """The name of a case's lease."""
    return f"case:{case_id}"


def named(cases: Sequence[str]) -> str:
    """A window in a few words."""
    return cases[0] if len(cases) == 1 else f"{cases[0]} and {len(cases) - 1} more"
