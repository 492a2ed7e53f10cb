"""Who looks for people in a text beside the patterns and the register: the policy's tables for it, and what each cannot see.

A tier is what a scan report, a preview and a certificate name, so that "nobody was found" can be read for what it is
worth. A model is a folder or an installed package and never a thing to be downloaded.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

if TYPE_CHECKING:
    from lineage.policy import Policy

__all__ = [
    "PERSON_LABELS",
    "GazetteerRule",
    "LanguageCode",
    "NerRule",
    "PolicyTable",
    "blind_spots_of",
    "has_model",
    "tier_of",
]

LanguageCode = Annotated[str, StringConstraints(pattern=r"^[a-z]{2}$")]

# What the usual models call a person: OntoNotes, CoNLL and WikiNER, i2b2 and the de-identification models after it.
PERSON_LABELS = {"PERSON": "PERSON", "PER": "PERSON", "PATIENT": "PERSON", "STAFF": "PERSON", "HCW": "PERSON"}
# NORP (nationalities, beliefs, parties) is left out: as NRP it would stop every record about a French plug.
_LABELS = {
    **PERSON_LABELS,
    **dict.fromkeys(("GPE", "LOC", "LOCATION", "FAC"), "LOCATION"),
    **dict.fromkeys(("ORG", "ORGANIZATION"), "ORGANIZATION"),
}

_SHAPES = (
    "This tier finds identifiers that have a shape (cards, e-mails, phones, IBANs, addresses of machines) and people "
    "who are in the register."
)
_NOT_SEEN = " It does not see names, addresses, employers or descriptions of people who are not."
_GAZETTEER = (
    " It also stops at some common first names with common last names of the text's language. It does not see other names, "
    "addresses, employers or descriptions of people who are not in the register."
)
_MODEL = (
    " A named-entity model finds most names that stand in ordinary sentences. It misses some: rare names, names in lower "
    "case or in lists, nicknames. It does not see who is meant by a description, an address or an employer."
)


class PolicyTable(BaseModel):
    """A table of the policy file: an unknown key is an error, and no error shows a value."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class NerRule(PolicyTable):
    """A named-entity model per language, run by Presidio's own engine.

    `models` names an installed spaCy package or a folder; for transformers a folder. `labels` maps the model's labels to
    types, and what is not in it does not count. `canaries` replaces the sentence in which the model must find a person.
    """

    engine: Literal["none", "spacy", "transformers"] = "none"
    models: dict[LanguageCode, Annotated[str, StringConstraints(min_length=1)]] = Field(default_factory=dict)
    labels: dict[str, str] = Field(default_factory=_LABELS.copy)
    min_score: Annotated[float, Field(ge=0.0, le=1.0)] = 0.5
    canaries: dict[LanguageCode, str] = Field(default_factory=dict)

    def resolved(self, folder: Path) -> NerRule:
        """The same with models that lie beside the policy file, at `folder`, by their whole path."""
        places = {language: folder / model for language, model in self.models.items()}
        found = {language: str(place.resolve()) for language, place in places.items() if place.is_dir()}
        return self.model_copy(update={"models": {**self.models, **found}})


class GazetteerRule(PolicyTable):
    """A tripwire on shipped name lists, one per language. `single` also stops at a listed first name that stands alone."""

    enabled: bool = False
    single: bool = False


def has_model(policy: Policy) -> bool:
    """Whether a named-entity model is meant to run in the policy's main language."""
    return policy.ner.engine != "none" and policy.language in policy.ner.models


def tier_of(policy: Policy) -> str:
    """The tier of the policy's main language, such as `patterns+register+spacy`."""
    parts = ("gazetteer" if policy.gazetteer.enabled else "", policy.ner.engine if has_model(policy) else "")
    return "+".join(("patterns", "register", *filter(None, parts)))


def blind_spots_of(policy: Policy) -> str:
    """What that tier does not see, in one or two sentences for a person who reads a report."""
    if has_model(policy):
        return _SHAPES + _MODEL
    return _SHAPES + (_GAZETTEER if policy.gazetteer.enabled else _NOT_SEEN)
