"""`lethe up`: Dagster's UI and daemon and the console as one process tree that starts whole or not at all.

::

    lock -> ports -> pool limit, dead runs -> start three services -> wait until each answers -> links -> watch -> stop

Lethe owns its processes (see `pipelines.processes`) because `dagster dev` does not: killed, it leaves daemon and UI alive;
started from a script, it ignores SIGINT. Dagster's UI has no login, so it listens on loopback whatever the console does.
"""

from __future__ import annotations

import fcntl
import json
import os
import socket
import sys
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import TYPE_CHECKING

from lineage.access import find_actor, issue_link, staff
from lineage.errors import Fault, RefusedByRule, WrongUsage
from lineage.workspace import Workspace
from pipelines.processes import Service, StopFlag, Tree

if TYPE_CHECKING:
    from dagster import DagsterInstance

__all__ = ["login_link", "serve"]

LOOPBACK = "127.0.0.1"
READY_WITHIN_S = 180.0
ANSWER_WITHIN_S = 5.0
DAEMONS = ("SENSOR", "QUEUED_RUN_COORDINATOR")
LOCATION_QUERY = """
{ workspaceOrError { ... on Workspace { locationEntries { locationOrLoadError { __typename } } } } }
"""


@dataclass(frozen=True)
class Address:
    """Where a running `lethe up` answers."""

    pid: int
    host: str
    port: int
    dagster_port: int

    @property
    def console_url(self) -> str:
        """Of the console."""
        return f"http://{self.host}:{self.port}"

    @property
    def dagster_url(self) -> str:
        """Of Dagster's UI."""
        return f"http://{LOOPBACK}:{self.dagster_port}"


def serve(workspace: Workspace, *, port: int | None, dagster_port: int | None) -> int:
    """Serve a workspace until a signal; the exit code of `lethe up`.

    Raises:
        RefusedByRule: it is served already.
        WrongUsage: a port is taken.
        Fault: a service died or never answered.
    """
    settings, stop = workspace.settings.console, StopFlag()
    stop.listen()
    address = Address(
        os.getpid(), settings.host, _port(settings.host, settings.port if port is None else port),
        _port(LOOPBACK, settings.dagster_port if dagster_port is None else dagster_port),
    )  # fmt: skip
    with _lock(workspace.home / "up.lock", address):
        _require_free(address)
        _say(f"Starting Lethe for {workspace.settings.workspace}; logs in {workspace.home / 'logs'}")
        with Tree(_environment(workspace), stop) as tree:
            if _start(tree, workspace, address):
                _greet(workspace, address)
                tree.watch()
            _say("Stopping ...")
    _say("Everything is stopped.")
    return 0


def login_link(workspace: Workspace, name: str) -> str:
    """A link with which a member of staff logs in once; to the console that runs now, or to where it is configured to be."""
    console = workspace.settings.console
    running = _running(workspace.home / "up.lock") or Address(0, console.host, console.port, console.dagster_port)
    with workspace.database.transaction() as session:
        return _link(running, issue_link(session, find_actor(session, name), datetime.now(UTC)))


def _link(address: Address, token: str) -> str:
    return f"{address.console_url}/login/{token}"


# --- one at a time -----------------------------------------------------------------------------------------------------


@contextmanager
def _lock(path: Path, address: Address) -> Iterator[None]:
    """Hold the workspace. The kernel lets go of the lock when we die, however we die, so it is never stale."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with path.open("a+", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            other = _read(path)
            where = f" by process {other.pid}, at {other.console_url}" if other else ""
            raise RefusedByRule(f"This workspace is served already{where}.", hint="Stop that one first.") from None
        file.truncate(0)
        file.write(json.dumps(asdict(address)))
        file.flush()
        try:
            yield
        finally:
            file.truncate(0)


def _running(path: Path) -> Address | None:
    """The `lethe up` that holds the lock."""
    if not path.exists():
        return None
    with path.open(encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return _read(path)
    return None


def _read(path: Path) -> Address | None:
    try:
        return Address(**json.loads(path.read_text(encoding="utf-8")))
    except (ValueError, TypeError):  # it was taken this instant and says nothing yet
        return None


# --- ports -------------------------------------------------------------------------------------------------------------


def _port(host: str, wanted: int) -> int:
    """The port, or a free one for 0."""
    if wanted:
        return wanted
    with socket.socket() as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])


def _require_free(address: Address) -> None:
    if address.port == address.dagster_port:
        raise WrongUsage(f"The console and the Dagster UI cannot share port {address.port}.")
    wanted = (("console", "--port", address.host, address.port),
              ("Dagster UI", "--dagster-port", LOOPBACK, address.dagster_port))  # fmt: skip
    for name, option, host, port in wanted:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, port))
            except OSError as error:
                reason = error.strerror or type(error).__name__
                raise WrongUsage(f"Port {port} of {host} for the {name} cannot be used: {reason}.",
                                 hint=f"Choose another with {option}; 0 takes any free one.") from None  # fmt: skip


# --- services ----------------------------------------------------------------------------------------------------------


def _environment(workspace: Workspace) -> dict[str, str]:
    """What the services inherit. LETHE_DEBUG stays outside: its tracebacks may quote records, and logs stay."""
    from pipelines.instance import dagster_home

    inherited = {name: value for name, value in os.environ.items() if name != "LETHE_DEBUG"}
    return {
        **inherited, "DAGSTER_HOME": str(dagster_home(workspace.home).resolve()), "PYTHONWARNINGS": "ignore",
        "LETHE_WORKSPACE": str(workspace.settings.workspace), "PYTHONUNBUFFERED": "1",
    }  # fmt: skip


def _start(tree: Tree, workspace: Workspace, address: Address) -> bool:
    """Put right what a crash left, start everything, wait until it answers; False when told to stop meanwhile."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Dagster's BetaWarning and its kin
        from pipelines.instance import workspace_instance
        from pipelines.reaper import fail_dead_runs, limit_pools

        with workspace_instance(workspace.home) as instance:
            limit_pools(instance)
            for run_id in fail_dead_runs(instance):
                _say(f"  run {run_id[:8]} was left behind by a crash; it is reported failed")
            services = _services(workspace, address, instance)
            for service in services:
                tree.start(service)
            return all(_await(tree, service) for service in services)


def _services(workspace: Workspace, address: Address, instance: DagsterInstance) -> list[Service]:
    python, logs, started = sys.executable, workspace.home / "logs", time.time()
    code = ("-m", "pipelines.definitions")
    webserver = (
        "-m",
        "dagster_webserver",
        *code,
        "-h",
        LOOPBACK,
        "-p",
        str(address.dagster_port),
        "--dagster-log-level",
        "warning",
    )
    console = ("-m", "console", "--workspace", str(workspace.settings.workspace), "--host", address.host,
               "--port", str(address.port), "--dagster-url", address.dagster_url)  # fmt: skip

    def beats() -> bool:
        seen = instance.get_daemon_heartbeats()
        return all(name in seen and seen[name].timestamp >= started for name in DAEMONS)

    return [
        Service("The console", (python, *console), lambda: _answers(address), logs / "console.log"),
        Service("The Dagster UI", (python, *webserver), lambda: _location_loads(address), logs / "dagster-ui.log"),
        Service(
            "The Dagster daemon",
            (python, "-m", "dagster._daemon", "run", *code, "--log-level", "warning"),
            beats,
            logs / "dagster-daemon.log",
        ),
    ]


def _await(tree: Tree, service: Service) -> bool:
    from rich.console import Console

    begun = time.monotonic()
    with Console(stderr=True).status(f"{service.name} ..."):
        is_ready = tree.await_ready(service, READY_WITHIN_S)
    if is_ready:
        _say(f"  {service.name} is up ({time.monotonic() - begun:.0f} s)")
    return is_ready


def _answers(address: Address) -> bool:
    return _ask(address.host, address.port, "GET", "/healthz") is not None


def _location_loads(address: Address) -> bool:
    """Whether the UI answers with our definitions in it."""
    answer = _ask(LOOPBACK, address.dagster_port, "POST", "/graphql", json.dumps({"query": LOCATION_QUERY}))
    if answer is None:
        return False
    entries = json.loads(answer)["data"]["workspaceOrError"].get("locationEntries", [])
    loaded = [(entry["locationOrLoadError"] or {}).get("__typename") for entry in entries]
    if "PythonError" in loaded:
        raise Fault("Dagster cannot load pipelines.definitions.", hint="See why: dagster definitions validate")
    return loaded == ["RepositoryLocation"]


def _ask(host: str, port: int, method: str, path: str, body: str | None = None) -> bytes | None:
    """The answer of a local server, or None while it does not give one."""
    connection = HTTPConnection(host, port, timeout=ANSWER_WITHIN_S)
    try:
        connection.request(method, path, body, {"Content-Type": "application/json"})
        response = connection.getresponse()
        return response.read() if response.status == 200 else None
    except (OSError, HTTPException):
        return None
    finally:
        connection.close()


# --- words -------------------------------------------------------------------------------------------------------------


def _greet(workspace: Workspace, address: Address) -> None:
    with workspace.database.transaction() as session:
        people = staff(session)
        links = [(actor, _link(address, issue_link(session, actor, datetime.now(UTC)))) for actor in people]
    _say(f"\nConsole     {address.console_url}\nDagster UI  {address.dagster_url}\n")
    if links:
        _say("One-time login links, each for one person (another: lethe staff link NAME):")
    for actor, link in links:
        _say(f"  {actor.name:12} {actor.role.value:8} {link}")
    if not links:
        _say("Nobody can log in yet. Add an administrator, who adds the others: lethe staff add NAME --role admin")
    _say("\nCtrl-C stops everything.")


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()
