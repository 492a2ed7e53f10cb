"""The console as a process of its own: `python -m console --workspace DIR --port N [--dagster-url URL]`.

No access log is written, because the address of a login link is a key for as long as nobody has used it.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import uvicorn

from console.app import create_app
from lineage.errors import LetheError

__all__ = ["main"]

GRACE_S = 3


def main() -> int:
    """Serve until a signal; the exit code says why it ended (see `lineage.errors`)."""
    parser = argparse.ArgumentParser(prog="python -m console", description="The DPO's desk.")
    parser.add_argument("--workspace", type=Path, required=True, help="folder that holds lethe.toml")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on")
    parser.add_argument("--port", type=int, required=True, help="port to listen on")
    parser.add_argument("--dagster-url", help="where cases link to their runs")
    given = parser.parse_args()
    try:
        app = create_app(given.workspace, dagster_url=given.dagster_url)
    except LetheError as error:
        sys.stderr.write(f"console: {error}\n         {error.hint}\n")
        return error.exit_code
    uvicorn.run(
        app, host=given.host, port=given.port, log_level="warning", access_log=False, server_header=False,
        timeout_graceful_shutdown=GRACE_S,
    )  # fmt: skip
    return 0


if __name__ == "__main__":
    sys.exit(main())
