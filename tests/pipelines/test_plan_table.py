"""`lethe plan`: the table a team chooses from, before and after training."""

from __future__ import annotations

import pytest
from command_line import lethe_here
from small_world import ADAPTER


@pytest.fixture(scope="module")
def before(ingested):
    return lethe_here("plan", ADAPTER, "--json", workspace=ingested.folder).json()


@pytest.fixture(scope="module")
def after(trained):
    return lethe_here("plan", ADAPTER, "--json", workspace=trained.folder).json()


def test_the_size_of_a_state_is_estimated_first_and_measured_later(before, after) -> None:
    assert (before["frozen"], before["state"]["measured"]) == (False, False)
    assert (after["frozen"], after["state"]["measured"]) == (True, True)
    assert before["state"]["bytes"] == pytest.approx(after["state"]["bytes"], rel=0.15)


def test_json_has_every_shape_and_the_plans_own(after) -> None:
    assert len(after["grid"]) == 16 * 8
    (own,) = [row for row in after["grid"] if row["own"]]
    assert (own["shards"], own["slices"], own["rank"]) == (3, 2, 12)
    assert own["fraction"] == {
        str(c["requests"]): pytest.approx(c["fraction"], abs=1e-6) for c in after["expected_cost"]
    }
    assert own["state_bytes"] == (3 * 2 + 1) * after["state"]["bytes"]


def test_the_printed_table_marks_the_plans_own_shape(trained) -> None:
    said = lethe_here("plan", ADAPTER, workspace=trained.folder).out
    titles = ("one request", "5 requests in one window", "20 requests in one window", "Storage of the states")
    assert all(title in said for title in titles)
    assert said.count("[25.0%]") == 1  # (R + 1) / (2 R S) of 3 shards x 2 slices
    assert said.count("[") == 5  # four tables and the legend
    assert max(len(line) for line in said.splitlines()) < 140
