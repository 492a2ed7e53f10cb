"""A scan worker: reads the gate once, then questions, and answers each with a decision. Started by `lineage.pool` only.

It writes nothing anywhere, leaves no core file, and holds no secret but the keys of the suppression list and of pseudonyms.
It ends when its socket closes, so also when its caller was killed; an alarm ends it should it be stuck in a record then.
"""

from __future__ import annotations

import gc
import resource
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from math import ceil
from multiprocessing.connection import Connection

from lineage.errors import LetheError
from lineage.pool import Refusal, scanners_digest

__all__ = ["main"]

GRACE_S = 5


def main() -> None:
    """Serve the socket whose number is the only argument."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the caller decides
    with Connection(int(sys.argv[1])) as connection, suppress(EOFError, OSError):
        gate = connection.recv()
        _answer(connection, lambda: scanners_digest(gate))
        gc.collect()
        gc.freeze()  # register, patterns and vocabulary stay to the end; collections need not look at them again
        while True:
            questions, limit_s = connection.recv()
            for question in questions:
                signal.alarm(ceil(limit_s) + GRACE_S)
                understood = _answer(connection, lambda: question.put_to(gate))  # noqa: B023 - called at once
                signal.alarm(0)
                if not understood:
                    break


def _answer(connection: Connection, work: Callable[[], object]) -> bool:
    try:
        answer, refused = work(), False
    except LetheError as error:
        answer, refused = Refusal(type(error).__name__, str(error), error.hint), True
    connection.send(answer)
    return not refused
