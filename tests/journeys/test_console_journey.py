"""One case through the console over HTTP, the daemon's sensor starting the runs; and how `lethe up` begins and ends."""

from __future__ import annotations

import json
import re
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil
import pytest
from command_line import PASSPHRASE
from journey_world import SmallWorld, Up, free_port, make_small_world, running, wait_for

UNDERWAY = ("CONTAINED", "EXECUTING", "VERIFYING")
JOBS = ("case_preview", "case_erasure", "case_purge")
IN_DAGSTER = (
    "query($id: ID!) { runOrError(runId: $id) { __typename ... on Run { jobName status tags { key value } } } }"
)


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> SmallWorld:
    return make_small_world(tmp_path_factory.mktemp("bare"), trained=False)


@dataclass
class Browser:
    """Somebody at the console, who sends back the form token of the page in front of them."""

    up: Up
    client: httpx.Client
    page: str = ""

    def get(self, path: str) -> httpx.Response:
        response = self.client.get(path)
        self.page = response.text
        return response

    def post(self, path: str, **fields: str) -> httpx.Response:
        token = re.search(r'name="form_token" value="([^"]+)"', self.get("/").text)
        assert token, self.explain()
        response = self.client.post(path, data={"form_token": token.group(1), **fields})
        self.page = response.text
        assert response.status_code == 303, self.explain()
        return response

    def read_digest(self, case_id: str) -> str:
        found = re.search(r'name="digest" value="([0-9a-f]{64})"', self.get(f"/cases/{case_id}").text)
        assert found, self.explain()
        return found.group(1)

    def await_stage(self, case_id: str, stage: str, timeout_s: float) -> None:
        def reached() -> bool:
            case = self.client.get(f"/api/cases/{case_id}").json()["standing"]["case"]
            assert case["stage"] not in ("FAILED", "REFUSED"), f"{case['stage']}: {case['problem']}\n{self.explain()}"
            return bool(case["stage"] == stage)

        wait_for(reached, timeout_s, self.explain)
        self.get(f"/cases/{case_id}")

    def explain(self) -> str:
        """The last page as text, and the logs."""
        return re.sub(r"\s*\n\s*", "\n", re.sub(r"<[^>]+>", " ", self.page))[-3000:] + "\n" + self.up.tails()


@contextmanager
def logged_in(up: Up, name: str) -> Iterator[Browser]:
    """With the one-time link that `lethe up` printed."""
    link = re.search(rf"{name} .*(http://\S+/login/\S+)", up.said())
    assert link, up.tails()
    with httpx.Client(base_url=up.console, timeout=30) as client:
        assert client.get(link.group(1)).status_code == 200
        assert client.post(link.group(1)).status_code == 303
        assert httpx.post(link.group(1)).status_code == 403, "a login link worked twice"
        yield Browser(up, client)


def run_in_dagster(up: Up, run_id: str) -> dict[str, object]:
    answer = httpx.post(f"{up.dagster}/graphql", json={"query": IN_DAGSTER, "variables": {"id": run_id}}, timeout=30)
    run: dict[str, object] = answer.json()["data"]["runOrError"]
    return run


@pytest.mark.slow
def test_a_case_goes_from_filing_to_a_certificate_in_the_console(tmp_path: Path) -> None:
    world = make_small_world(tmp_path, trained=True)
    with running(world) as up, logged_in(up, "ines") as intake, logged_in(up, "dana") as dpo:
        case_id = file_request(intake, world.person)

        intake.await_stage(case_id, "PREVIEW_READY", 90)
        assert intake.client.post(f"/cases/{case_id}/approve", data={}).status_code == 403, "posted without a token"
        dpo.post(f"/cases/{case_id}/approve", digest=dpo.read_digest(case_id))

        dpo.await_stage(case_id, "EVIDENCE_READY", 300)
        probe = dpo.client.get(f"/api/cases/{case_id}").json()["evidence"]["probe"]
        assert probe["verdict"] in ("PASS", "INCONCLUSIVE"), probe
        assert probe["reason"], probe
        assert dpo.client.get(f"/cases/{case_id}/report").status_code == 200
        dpo.post(f"/cases/{case_id}/approve_purge", digest=dpo.read_digest(case_id))

        dpo.await_stage(case_id, "PURGED", 120)
        dpo.post(f"/cases/{case_id}/sign", digest=dpo.read_digest(case_id), passphrase=PASSPHRASE)
        dpo.await_stage(case_id, "SIGNED_OFF", 5)
        certificate = world.folder / "downloaded.json"
        certificate.write_bytes(dpo.client.get(f"/cases/{case_id}/certificate").raise_for_status().content)

        assert_pages_link_to_runs(dpo, case_id)
        assert_nothing_of_the_person(world, dpo.page, certificate.read_text(), up.tails())
        stop_and_see_everybody_gone(up)
    world.lethe("verify", str(certificate), "--keys", str(world.workspace / ".lethe" / "secrets"))
    certificate.write_bytes(certificate.read_bytes().replace(b"a", b"b", 1))
    world.lethe("verify", str(certificate), "--keys", str(world.workspace / ".lethe" / "secrets"), expect=1)


def file_request(intake: Browser, person: str) -> str:
    form = {"identifiers": person, "ground": "b", "identity_method": "Signed in to the customer portal"}
    filed = intake.post("/file", received_on=time.strftime("%Y-%m-%d", time.gmtime()), **form)
    return str(filed.headers["location"]).removeprefix("/cases/")


def assert_pages_link_to_runs(browser: Browser, case_id: str) -> None:
    """One link for each job, to a run that Dagster knows as successful, for this case, started by the sensor."""
    page = browser.get(f"/cases/{case_id}").text
    run_ids = re.findall(rf'href="{re.escape(browser.up.dagster)}/runs/([0-9a-f-]+)"', page)
    runs = [run_in_dagster(browser.up, run_id) for run_id in run_ids]
    assert tuple(run.get("jobName") for run in runs) == JOBS, (runs, browser.explain())
    for run in runs:
        tags = {tag["key"]: tag["value"] for tag in run["tags"]}  # type: ignore[attr-defined]
        assert (run["status"], tags["lethe/case"]) == ("SUCCESS", case_id)
        assert tags["dagster/sensor_name"] == "case_sensor"


def assert_nothing_of_the_person(world: SmallWorld, *texts: str) -> None:
    storage = world.workspace / ".lethe" / "dagster"
    written = [path.read_bytes() for path in storage.rglob("*") if path.is_file()]
    for value in world.values:
        assert not any(value in text for text in texts)
        assert not any(value.encode() in content for content in written), "a value of the person in Dagster's storage"


def stop_and_see_everybody_gone(up: Up) -> None:
    everybody = [psutil.Process(up.process.pid), *up.descendants()]
    assert len(everybody) >= 6, "the owner, three services and two code servers"
    up.process.send_signal(signal.SIGTERM)
    assert up.process.wait(20) == 0, up.tails()
    assert [p.pid for p in everybody if p.is_running() and p.status() != psutil.STATUS_ZOMBIE] == []


@pytest.mark.slow
def test_an_erasure_goes_on_where_kill_9_of_everything_stopped_it(tmp_path: Path) -> None:
    world = make_small_world(tmp_path, trained=True)
    with running(world) as up:
        filed = world.lethe("erase", "file", "--as", "ines", "--identity", "by code", "--json", given=world.person)
        case_id = json.loads(filed)["id"]
        wait_for(lambda: case_of(world, case_id)["stage"] == "PREVIEW_READY", 90, up.tails)
        digest = str(case_of(world, case_id)["preview_digest"])
        world.lethe("erase", "approve", case_id, "--as", "dana", "--digest", digest)
        wait_for(lambda: case_of(world, case_id)["stage"] in UNDERWAY, 90, up.tails)
        everybody = up.descendants()
        for process in (psutil.Process(up.process.pid), *everybody):
            process.kill()
        psutil.wait_procs(everybody, timeout=20)
    with running(world) as up:
        assert "was left behind by a crash" in up.said()
        wait_for(lambda: case_of(world, case_id)["stage"] == "EVIDENCE_READY", 240, up.tails)
        assert case_of(world, case_id)["attempt"] == 0, "nobody had to press retry"


def case_of(world: SmallWorld, case_id: str) -> dict[str, object]:
    case: dict[str, object] = json.loads(world.lethe("erase", "show", case_id, "--json"))["standing"]["case"]
    return case


@pytest.fixture(scope="module")
def served(bare: SmallWorld) -> Iterator[Up]:
    with running(bare) as up:
        yield up


@pytest.mark.slow
def test_a_workspace_is_served_once(served: Up) -> None:
    ports = ("--port", str(free_port()), "--dagster-port", str(free_port()))
    said = served.world.lethe("up", *ports, expect=3)
    assert f"served already by process {served.process.pid}, at {served.console}" in said
    assert "Traceback" not in said


@pytest.mark.slow
def test_a_link_for_one_person_leads_to_the_console_that_runs(served: Up) -> None:
    link = served.world.lethe("staff", "link", "max").strip()
    assert link.startswith(f"{served.console}/login/")
    assert httpx.post(link).status_code == 303


@pytest.mark.slow
def test_logs_are_for_the_operator_alone_and_hold_no_login_token(served: Up) -> None:
    logs = list((served.world.workspace / ".lethe" / "logs").glob("*.log"))
    assert len(logs) == 3
    tokens = re.findall(r"/login/(\S+)", served.said())
    assert tokens
    for log in logs:
        assert log.stat().st_mode & 0o777 == 0o600
        assert not any(token in log.read_text() for token in tokens)


@pytest.mark.slow
def test_a_service_that_dies_stops_the_rest_and_the_lock_is_free_again(tmp_path: Path) -> None:
    world = make_small_world(tmp_path, trained=False)
    with running(world) as up:
        console = next(p for p in up.descendants() if "console" in p.cmdline())
        rest = up.descendants()
        console.kill()
        assert up.process.wait(20) == 4, up.tails()
        assert "The console ended by itself" in up.said()
        assert [p for p in rest if p.is_running() and p.status() != psutil.STATUS_ZOMBIE] == []
    with running(world) as up:  # kill -9 of the owner: the kernel tells the services, the lock is free at once
        rest = up.descendants()
        up.process.kill()
        assert psutil.wait_procs(rest, timeout=40)[1] == []
    world.lethe("up", "--port", "1", "--dagster-port", "1", expect=2)


def test_a_port_in_use_is_refused_before_anything_starts(tmp_path: Path) -> None:
    bare = make_small_world(tmp_path, trained=False)
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        said = bare.lethe("up", "--port", str(port), "--dagster-port", str(free_port()), expect=2, timeout_s=20)
    assert f"Port {port} of 127.0.0.1 for the console cannot be used" in said
    assert "Starting" not in said
    assert subprocess.run(["pgrep", "-f", str(bare.workspace)], capture_output=True, check=False).stdout == b""
