"""Put first on PYTHONPATH, this makes every Python process loud and clumsy: every logger writes DEBUG lines to a file, and
a scan fails in the ways that records ask for. It reaches worker processes too, which a patch inside a test does not.

LOUD_LOG is the file. LOUD_FAULT is "store" (writing a batch raises, quoting it), "leak" (a library logs each text) or
empty. A text that holds RAISE or SLOW makes its scan raise or run out of time; DIE kills the process, once.
"""

from __future__ import annotations

import logging
import os
import signal
from pathlib import Path

LOG, FAULT = os.environ.get("LOUD_LOG", ""), os.environ.get("LOUD_FAULT", "")


def be_loud() -> None:
    handler = logging.FileHandler(LOG, encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(name)s %(levelname)s %(message)s"))
    logging.getLogger().addHandler(handler)
    logging.Logger.getEffectiveLevel = lambda self: logging.DEBUG


def be_clumsy() -> None:
    from lineage import catalog, scan

    scanned = scan.Scanner.scan

    def clumsy(self: scan.Scanner, text: str) -> tuple[scan.Span, ...]:
        if FAULT == "leak":
            logging.getLogger("some.library").debug("looking at %s", text)
        logging.getLogger("presidio-analyzer").warning("no text passes here: %s", text)
        logging.getLogger("decision_process").debug("nor here: %s", text)
        if "RAISE" in text:
            raise ValueError(text)
        if "SLOW" in text:
            raise scan.ScanFailed("scan_timeout") from TimeoutError(text)
        if "DIE" in text and not Path(LOG + ".died").exists():
            Path(LOG + ".died").touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return scanned(self, text)

    scan.Scanner.scan = clumsy
    if FAULT == "store":

        def fail(_session: object, batch: list[catalog.Judged], **_: object) -> None:
            raise RuntimeError([judged.raw.content.segments() for judged in batch])

        catalog.store_contents = fail


if LOG:
    be_loud()
    be_clumsy()
