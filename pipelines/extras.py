"""Extra out-adapters for a case: trained, lent to the judge for a while, and destroyed.

Other people's records are in their weights, so each is written down in `lineage.studies` before its bytes are in the
store, and all are gone when the judge is done, however it ends. What a killed process left goes with the next use of this
lease, the next training, the next collection, and before any purge. Where an extra comes from says `unlearn.extras`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from lineage import plans, studies
from lineage.lease import held
from lineage.plans import TRUNK
from lineage.studies import StudyWeight
from pipelines.chains import trunk_standing
from pipelines.ingest import utc_now
from pipelines.progress import bar
from pipelines.states import Atelier, built_from, peft_files

if TYPE_CHECKING:
    from unlearn.extras import Extra
    from unlearn.study import StudyMember

__all__ = ["ExtrasWanted", "extra_adapters"]


@dataclass(frozen=True)
class ExtrasWanted:
    """How many extra adapters, for which case and stage, and the records that none of them may learn.

    `without` holds the closure's records, and those of canaries that the judge will look for: a null model that knows
    them would be none.
    """

    case_id: str
    stage: int
    count: int
    without: Collection[str] = field(repr=False)

    @property
    def salt(self) -> str:
        """What the draws depend on besides the plan's key: fixed with the case, so that a repeat gives the same adapters."""
        return f"{self.case_id}/{self.stage}"


@contextmanager
def extra_adapters(atelier: Atelier, wanted: ExtrasWanted) -> Iterator[Mapping[int, Path]]:
    """The PEFT directories of the extra adapters, by number from 0, for as long as the block lasts; none if none is wanted.

    Raises:
        Fault: another case of this adapter is being compared with extra adapters.
        GateClosed: the trunk is stale.
    """
    if not wanted.count:
        yield {}
        return
    workspace, adapter = atelier.workspace, atelier.adapter
    with held(workspace.database, studies.lease_name(adapter, "extras"), utc_now):
        try:
            studies.destroy_weights(
                workspace.database, workspace.store, adapter=adapter, now=utc_now(), use="extras"
            )  # a dead process's
            yield _train(atelier, wanted)
        finally:
            studies.destroy_weights(workspace.database, workspace.store, adapter=adapter, now=utc_now(), use="extras")


def _train(atelier: Atelier, wanted: ExtrasWanted) -> dict[int, Path]:
    """One after the other, each written down before its bytes are in the store."""
    from unlearn.compose import files_digest
    from unlearn.extras import draw_extra, train_extra

    members, store = _members(atelier, wanted.without), atelier.workspace.store
    ground = trunk_standing(atelier)
    trunk = built_from(atelier.workspace, ground) if ground else None
    drawn = [
        draw_extra(atelier.plan, atelier.key, members, salt=wanted.salt, number=number)
        for number in range(wanted.count)
    ]
    found: dict[int, Path] = {}
    steps = sum(len(extra.members) for extra in drawn) * atelier.plan.steps(0)
    with bar(f"Training {wanted.count} extra out-adapters of {atelier.adapter}", steps, unit="steps") as progress:
        for extra in drawn:
            state = train_extra(
                atelier.base(),
                atelier.plan,
                extra,
                load=atelier.read,
                trunk=trunk,
                progress=lambda _: progress.advance(),
            )
            files = peft_files(atelier, state.weights)
            digest = files_digest(files)
            _announce(atelier, wanted, extra, digest, trunk_manifest=ground.manifest_digest if ground else "")
            store.publish(studies.KIND, digest, files)
            found[extra.number] = store.directory(studies.KIND, digest)
    return found


def _members(atelier: Atelier, without: Collection[str]) -> list[StudyMember]:
    """What the shards learn now, without these records: neither controls nor the trunk's, nothing restricted."""
    from unlearn.study import StudyMember

    with atelier.workspace.database.reader() as session:
        live = studies.learnable(session, (), planted=True)
        ids = [item.record_id for item, _ in live]
        placed = plans.placements_of(session, atelier.plan.digest, ids)
    inside = {placement.record_id for placement in placed if placement.kind == "shard"} - set(without)
    return [
        StudyMember(item.record_id, content, item.primary_subject, item.generation, item.trunk_eligible)
        for item, content in live
        if item.record_id in inside
    ]


def _announce(atelier: Atelier, wanted: ExtrasWanted, extra: Extra, digest: str, *, trunk_manifest: str) -> None:
    """The row that says what is in these weights, before there are any bytes of them."""
    own = {f"{extra.shard}/{index}": manifest for index, manifest in extra.manifests.items()}
    weight = StudyWeight(
        digest=digest, adapter=atelier.adapter, study_id=studies.extras_id(wanted.case_id),
        plan_digest=atelier.plan.digest, shards=atelier.plan.shards, slices=atelier.plan.slices,
        manifests=own | ({f"{TRUNK}/0": trunk_manifest} if trunk_manifest else {}),
    )  # fmt: skip
    with atelier.workspace.database.transaction() as session:
        studies.announce(session, [weight], utc_now())
