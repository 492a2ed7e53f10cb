"""What a certificate says stays, and for how long, is what stays, and for how long."""

from __future__ import annotations

from lineage.tombstones import RETENTION_YEARS
from pipelines.certifying import _kept

KEPT = {one.what: one.retention for one in _kept({"tombstones": 2, "suppressed_forms": 3}, {"records": []})}


def test_no_certificate_says_that_the_ledger_ends() -> None:
    """Nothing deletes its events: a chain with a gap would be no chain."""
    (ledger,) = [retention for what, retention in KEPT.items() if "ledger" in what]
    assert ledger == "as long as the controller keeps the workspace"


def test_what_keeps_somebody_out_is_said_to_be_kept_as_long_as_it_is() -> None:
    years = {5: "five years"}[RETENTION_YEARS]
    assert [KEPT[what] for what in KEPT if what.startswith(("tombstones", "suppression", "journal"))] == [years] * 3
