"""Every error Lethe raises on purpose, in one picture.

::

    LetheError                      one sentence and a hint; never a personal value
    |-- Refused                     the caller did something out of order; the data is fine
    |   |-- WrongUsage        (2)   a wrong argument, file or configuration
    |   |-- RefusedByRule     (3)   wrong order, legal hold, a stale digest
    |   |   `-- WrongPerson   (3)   another role, or somebody else, is needed
    |   `-- GateClosed        (1)   the corpus has not passed the gate
    `-- BadData                     what was read cannot be trusted
        |-- NotAcceptable     (1)   the answer is no: invalid certificate, failed probe
        `-- Fault             (4)   a retry may cure it: locked database, full disk, lost lease

The number is the exit code of the command line. Errors are translated once, at the door (`pipelines.cli`, `console.app`).
"""

from __future__ import annotations

__all__ = [
    "BadData",
    "Fault",
    "GateClosed",
    "LetheError",
    "NotAcceptable",
    "Refused",
    "RefusedByRule",
    "WrongPerson",
    "WrongUsage",
]


class LetheError(Exception):
    """Base of all deliberate errors: one sentence in `args[0]`, what to do about it in `hint`."""

    exit_code = 4

    def __init__(self, sentence: str, *, hint: str = "") -> None:
        super().__init__(sentence)
        self.hint = hint


class Refused(LetheError):
    """The call came out of order, or from the wrong person, or with the wrong arguments."""


class WrongUsage(Refused):
    """Wrong arguments, an unreadable file, a configuration that does not parse."""

    exit_code = 2


class RefusedByRule(Refused):
    """A rule of the case forbids the step: order, role, legal hold, a digest that went stale."""

    exit_code = 3


class WrongPerson(RefusedByRule):
    """Whoever acts does not hold the role that may, or filed the request; for somebody else the step may be in order."""


class GateClosed(Refused):
    """Something asked for records that have not passed the gate."""

    exit_code = 1


class BadData(LetheError):
    """What was read is not what it claims to be."""


class NotAcceptable(BadData):
    """The check ran and the answer is no."""

    exit_code = 1


class Fault(BadData):
    """The machine failed; nothing was half done, and the same call may succeed later."""

    exit_code = 4
