"""What the judge may open: the base and tokenizer that the adapters' own recipes name.

A recipe is a digest over everything a state's bytes depend on. So whether base and tokenizer on this machine are those of
the training needs no record of its own: with any other, the recipe of a state comes out differently. Without this check a
base that was replaced meanwhile would be read under adapters that do not belong to it, and silence would prove nothing.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

from lineage import builds
from lineage.builds import StateFacts
from lineage.errors import NotAcceptable
from lineage.plans import TRUNK
from pipelines.states import Atelier

if TYPE_CHECKING:
    from probes.seals import Seal

__all__ = ["seal_of"]


def seal_of(atelier: Atelier, adapters: Collection[str]) -> Seal:
    """The seal of a panel of these shard adapters (by digest), on the base as it lies here.

    Raises:
        NotAcceptable: one of them was trained on another base, or with another tokenizer.
        WrongUsage: the base is not there.
    """
    from probes.seals import Seal
    from unlearn.base import base_digests, base_spec
    from unlearn.states import Origin

    spec = base_spec(atelier.plan, atelier.settings.base_model, revision=atelier.settings.revision)
    model, tokenizer = base_digests(spec)
    with atelier.workspace.database.reader() as session:
        recipes = builds.recipes_of_shard_adapters(session, adapters)
        chains = [builds.ancestors(session, recipe) for recipe in recipes.values()]
    pairs = {pair for chain in chains for pair in zip(chain, (None, *chain[:-1]), strict=True)}
    after_another = {pair for pair in pairs if pair[1]}  # of a first state only the base itself knows the parent
    for state, parent in after_another or pairs:
        origin = Origin(model, tokenizer, atelier.plan, state.fingerprint_digest)
        if _recipe(atelier, origin, state, parent) != state.recipe_digest:
            raise NotAcceptable(
                "The base model or its tokenizer is not the one that the adapters were trained on.",
                hint="Put the old one back, or train a new adapter.",
            )
    return Seal(model, tokenizer)


def _recipe(atelier: Atelier, origin: object, state: StateFacts, parent: StateFacts | None) -> str:
    """What the recipe of a state would be on this base, in the environment and from the parent that it had."""
    from unlearn.states import recipe_digest

    return recipe_digest(
        origin,
        shard=None if state.shard == TRUNK else state.shard,
        slice_index=state.slice,
        parent_digest=parent.state_digest if parent else _start(atelier, state),
        manifest_digest=state.manifest_digest,
    )


def _start(atelier: Atelier, state: StateFacts) -> str:
    """The digest of the state that a chain without a trunk starts from; needs the base itself, for its shapes."""
    from unlearn.train import initial_state

    shard = None if state.shard == TRUNK else state.shard
    return initial_state(atelier.base(), atelier.plan, atelier.key, shard=shard).digest
