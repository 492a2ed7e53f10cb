"""What the gate does about what it finds: one versioned, typed policy file.

A policy is a TOML file in which an unknown key is an error. Two are shipped: `default` keeps the declared subject's own
contact details and turns other people's into constants; `strict` turns both into constants, and is what decides whether
a record without data subjects may enter the trunk. The digest covers everything a verdict can depend on, the words of
the Art. 9 lexicon included, so two records gated under one digest were judged alike.
"""

from __future__ import annotations

import hashlib
import tomllib
from importlib import resources
from pathlib import Path
from typing import Annotated, Literal, TypeAlias

import rfc8785
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from lineage.errors import WrongUsage
from lineage.policy_complaints import complaints

__all__ = ["SHIPPED", "Action", "EntityRule", "LexiconRule", "PhoneRule", "Policy", "load_policy", "worst"]

Action: TypeAlias = Literal["allow", "redact", "quarantine", "block"]
SHIPPED = ("default", "strict")

_SEVERITY: dict[Action, int] = {"allow": 0, "redact": 1, "quarantine": 2, "block": 3}
_Score: TypeAlias = Annotated[float, Field(ge=0.0, le=1.0)]
# A constant of capitals in brackets holds nothing a recogniser fires on, so a redacted text re-scans clean.
_Constant: TypeAlias = Annotated[str, StringConstraints(pattern=r"^\[[A-Z]+(_[A-Z]+)*\]$")]


def worst(*actions: Action) -> Action:
    """The maximum in allow < redact < quarantine < block; allow for none."""
    return max(actions, key=_SEVERITY.__getitem__, default="allow")


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class EntityRule(_Strict):
    """What to do about one entity type.

    `action` holds when no known person is linked; `declared_subject` and `other_person` (both default to `action`) when
    one is. A finding between the policy's `min_score` and this rule's own takes `weak_action`.
    """

    action: Action
    declared_subject: Action | None = None
    other_person: Action | None = None
    min_score: _Score = 0.0
    weak_action: Action = "allow"
    constant: _Constant | None = None


class PhoneRule(_Strict):
    """Regions whose national formats are tried, and the words that raise a phone finding's score."""

    regions: tuple[Annotated[str, StringConstraints(pattern=r"^[A-Z]{2}$")], ...] = Field(min_length=1)
    context: tuple[str, ...] = Field(min_length=1)


class LexiconRule(_Strict):
    """The Art. 9 tripwire: a word list and what a hit does. `words` is filled from the lexicon file when it is loaded."""

    enabled: bool = True
    action: Action = "quarantine"
    lexicon: Annotated[str, StringConstraints(pattern=r"^[a-z0-9_]+$")] = "art9_en"
    words: tuple[str, ...] = Field(default=(), repr=False)


class Policy(_Strict):
    """One gate policy. Scores are Presidio's, in [0, 1]; `max_chars` counts code points over all segments of a record."""

    name: str
    language: Annotated[str, StringConstraints(pattern=r"^[a-z]{2}$")] = "en"
    min_score: _Score = 0.35
    # Presidio's phone search gives up silently after 65,535 candidates; a text this long cannot hold more.
    max_chars: Annotated[int, Field(ge=1, le=65_535)] = 50_000
    recognizer_timeout_s: Annotated[int, Field(ge=1, le=60)] = 10
    on_error: Literal["quarantine", "block"] = "quarantine"
    default: Literal["redact", "quarantine", "block"] = "quarantine"
    ambiguous_name: Literal["redact", "quarantine", "block"] = "quarantine"
    require_ner: bool = False
    disabled_recognizers: tuple[str, ...] = ()
    phone: PhoneRule
    art9: LexiconRule = LexiconRule()
    entities: dict[str, EntityRule]

    @property
    def digest(self) -> str:
        """SHA-256 (hex) of the canonical JSON of every field."""
        return hashlib.sha256(rfc8785.dumps(self.model_dump(mode="json"))).hexdigest()

    def constant(self, entity_type: str) -> str:
        """What stands in a redacted text for a value of this type."""
        rule = self.entities.get(entity_type)
        return rule.constant if rule and rule.constant else "[REDACTED]"


def load_policy(name_or_path: str | Path) -> Policy:
    """The shipped policy of that name, or the policy file at that path.

    Raises:
        WrongUsage: no such file, not TOML, an unknown key, or a value out of range. The hint names keys and lines, no values.
    """
    text = _read(name_or_path)
    try:
        policy = Policy.model_validate(tomllib.loads(text))
    except tomllib.TOMLDecodeError as error:
        raise WrongUsage("The gate's policy file is not valid TOML.", hint=str(error)) from None
    except ValidationError as error:
        sentence = "The gate's policy file holds a key or a value that is not allowed."
        raise WrongUsage(sentence, hint=complaints(error, text, Policy)) from None
    return policy.model_copy(update={"art9": _with_words(policy.art9)})


def _read(name_or_path: str | Path) -> str:
    if isinstance(name_or_path, str) and name_or_path in SHIPPED:
        return _shipped(name_or_path)
    try:
        return Path(name_or_path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        hint = f"Give a path, or one of the shipped policies: {', '.join(SHIPPED)}."
        raise WrongUsage("The gate's policy file cannot be read.", hint=hint) from None


def _shipped(name: str) -> str:
    return resources.files("lineage").joinpath("policies", f"{name}.toml").read_text(encoding="utf-8")


def _with_words(rule: LexiconRule) -> LexiconRule:
    if not rule.enabled or rule.words:
        return rule
    try:
        groups = tomllib.loads(_shipped(rule.lexicon))
    except FileNotFoundError:
        raise WrongUsage(
            "The policy names an Art. 9 lexicon that is not shipped.", hint="Give art9.words instead."
        ) from None
    words = sorted({word.casefold() for group in groups.values() for word in group})
    return rule.model_copy(update={"words": tuple(words)})
