"""What the gate does about what it finds: one versioned, typed policy file.

A policy is a TOML file in which an unknown key is an error. Three are shipped: `default` keeps the declared subject's own
contact details and turns other people's into constants; `strict` takes both out, the declared subject's by stable
pseudonyms, and is what decides whether a record without data subjects may enter the trunk; `european` is the default in
English, German, French and Spanish. The digest covers everything a verdict can depend on, the words of
the Art. 9 lexicon included, so two records gated under one digest were judged alike.
"""

from __future__ import annotations

import hashlib
import tomllib
from difflib import get_close_matches
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias

import rfc8785
from pydantic import (
    Field,
    StringConstraints,
    ValidationError,
    field_validator,
    model_validator,
)

from lineage.errors import WrongUsage
from lineage.policy_complaints import complaints
from lineage.tiers import GazetteerRule, LanguageCode, NerRule, PolicyTable

if TYPE_CHECKING:
    from lineage.settings import Settings

__all__ = [
    "SHIPPED", "Action", "EntityRule", "LanguageRule", "LexiconRule", "NearRule", "Operator", "PhoneRule", "Policy",
    "load_gate_policy", "load_policy", "shipped_text", "worst",
]  # fmt: skip

Action: TypeAlias = Literal["allow", "redact", "quarantine", "block"]
Operator: TypeAlias = Literal["constant", "pseudonym"]
SHIPPED = ("default", "strict", "european")
# What the register links to a person; nothing else can stand for one, so a request for a pseudonym knows where to look.
PSEUDONYMOUS = ("PERSON", "EMAIL_ADDRESS", "PHONE_NUMBER", "ACCOUNT")

_SEVERITY: dict[Action, int] = {"allow": 0, "redact": 1, "quarantine": 2, "block": 3}
_Score: TypeAlias = Annotated[float, Field(ge=0.0, le=1.0)]
# A constant of capitals in brackets holds nothing a recogniser fires on, so a redacted text re-scans clean.
_Constant: TypeAlias = Annotated[str, StringConstraints(pattern=r"^\[[A-Z]+(_[A-Z]+)*\]$")]


def worst(*actions: Action) -> Action:
    """The maximum in allow < redact < quarantine < block; allow for none."""
    return max(actions, key=_SEVERITY.__getitem__, default="allow")


class EntityRule(PolicyTable):
    """What to do about one entity type.

    `action` holds when no known person is linked; `declared_subject` and `other_person` (both default to `action`) when
    one is. A finding between the policy's `min_score` and this rule's own takes `weak_action`. `operator` is what
    replaces a declared subject's redacted value; other people always become the constant.
    """

    action: Action
    declared_subject: Action | None = None
    other_person: Action | None = None
    min_score: _Score = 0.0
    weak_action: Action = "allow"
    constant: _Constant | None = None
    operator: Operator = "constant"


class PhoneRule(PolicyTable):
    """Regions whose national formats are tried, and the words that raise a phone finding's score."""

    regions: tuple[Annotated[str, StringConstraints(pattern=r"^[A-Z]{2}$")], ...] = Field(min_length=1)
    context: tuple[str, ...] = Field(min_length=1)


class LexiconRule(PolicyTable):
    """The Art. 9 tripwire: a word list and what a hit does. `words` is filled from the lexicon file when it is loaded."""

    enabled: bool = True
    action: Action = "quarantine"
    lexicon: Annotated[str, StringConstraints(pattern=r"^[a-z0-9_]+$")] = "art9_en"
    words: tuple[str, ...] = Field(default=(), repr=False)


class LanguageRule(PolicyTable):
    """How records of one more language are scanned. What is done about a finding is the same in all languages.

    `recognizers` are Presidio's own that are off unless they are named, by class, or `FrNirRecognizer` of this package.
    Without `art9` the list `art9_<language>` is used.
    """

    phone: PhoneRule
    art9: LexiconRule | None = None
    recognizers: tuple[str, ...] = ()
    disabled_recognizers: tuple[str, ...] = ()


class NearRule(PolicyTable):
    """What counts as a near copy (`lineage.nearness`), at a search and of an erased record.

    `threshold` is a Jaccard similarity of words. A word that records of `template_people` people hold tells nobody from
    anybody. What tells a record from others must be `min_words` words.
    """

    threshold: Annotated[float, Field(ge=0.3, le=1.0)] = 0.65
    template_people: Annotated[int, Field(ge=2, le=100)] = 4
    min_words: Annotated[int, Field(ge=1, le=100)] = 2


# Younger than the first policies: while one of these is unused, the digest is what it was before it existed.
_LATER = ("recognizers", "ner", "gazetteer", "languages", "near")


class Policy(PolicyTable):
    """One gate policy. Scores are Presidio's, in [0, 1]; `max_chars` counts code points over all segments of a record."""

    name: str
    language: LanguageCode = "en"
    min_score: _Score = 0.35
    # Presidio's phone search gives up silently after 65,535 tries; the worst text known costs 0.98 tries a character.
    max_chars: Annotated[int, Field(ge=1, le=65_535)] = 50_000
    recognizer_timeout_s: Annotated[int, Field(ge=1, le=60)] = 10
    on_error: Literal["quarantine", "block"] = "quarantine"
    default: Literal["redact", "quarantine", "block"] = "quarantine"
    ambiguous_name: Literal["redact", "quarantine", "block"] = "quarantine"
    require_ner: bool = False
    disabled_recognizers: tuple[str, ...] = ()
    recognizers: tuple[str, ...] = ()
    phone: PhoneRule
    art9: LexiconRule = LexiconRule()
    ner: NerRule = NerRule()
    gazetteer: GazetteerRule = GazetteerRule()
    near: NearRule = NearRule()
    languages: dict[LanguageCode, LanguageRule] = Field(default_factory=dict)
    entities: dict[str, EntityRule]

    @field_validator("entities")
    @classmethod
    def _pseudonyms_are_of_people(cls, value: dict[str, EntityRule]) -> dict[str, EntityRule]:
        if any(rule.operator == "pseudonym" and name not in PSEUDONYMOUS for name, rule in value.items()):
            raise ValueError(f"only these types can have pseudonyms: {', '.join(PSEUDONYMOUS)}")
        return value

    @model_validator(mode="after")
    def _languages_fit(self) -> Policy:
        if self.language in self.languages:
            raise ValueError("the policy's own language is no further language")
        if unused := set(self.ner.models) - {self.language, *self.languages}:
            raise ValueError(f"ner.models names languages that the policy does not cover: {', '.join(sorted(unused))}")
        return self

    @property
    def digest(self) -> str:
        """SHA-256 (hex) of the canonical JSON of every field; of a model the last part of its name."""
        fields = _as_first_written(self.model_dump(mode="json"))
        for language, model in self.ner.models.items():
            fields["ner"]["models"][language] = Path(model).name
        for later in _LATER:
            if getattr(self, later) == Policy.model_fields[later].get_default(call_default_factory=True):
                del fields[later]
        return hashlib.sha256(rfc8785.dumps(fields)).hexdigest()

    def in_language(self, language: str) -> Policy:
        """The policy as it is for records of one language, its own or a further one.

        Raises:
            KeyError: a language that the policy does not cover.
        """
        if language == self.language:
            return self.model_copy(update={"languages": {}})
        rule = self.languages[language]
        scanned = {name: getattr(rule, name) for name in LanguageRule.model_fields}
        return self.model_copy(update={**scanned, "language": language, "languages": {}})

    def constant(self, entity_type: str) -> str:
        """What stands in a redacted text for a value of this type."""
        rule = self.entities.get(entity_type)
        return rule.constant if rule and rule.constant else "[REDACTED]"

    def operator(self, entity_type: str) -> Operator:
        """What replaces a declared subject's value of this type."""
        rule = self.entities.get(entity_type)
        return rule.operator if rule else "constant"


def load_gate_policy(settings: Settings) -> Policy:
    """The policy in force in a workspace: shipped by name, or a file relative to the workspace."""
    if settings.policy in SHIPPED:
        return load_policy(settings.policy)
    return load_policy(settings.workspace / settings.policy)


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
    languages = {
        language: rule.model_copy(update={"art9": _with_words(rule.art9 or LexiconRule(lexicon=f"art9_{language}"))})
        for language, rule in policy.languages.items()
    }
    ner = policy.ner if name_or_path in SHIPPED else policy.ner.resolved(Path(name_or_path).parent)
    return policy.model_copy(update={"art9": _with_words(policy.art9), "languages": languages, "ner": ner})


def _as_first_written(fields: dict[str, Any]) -> dict[str, Any]:
    """`operator` is younger than the first policies: unused, it leaves their digests as they were."""
    for rule in fields["entities"].values():
        if rule["operator"] == "constant":
            del rule["operator"]
    return fields


def _read(name_or_path: str | Path) -> str:
    if isinstance(name_or_path, str) and name_or_path in SHIPPED:
        return shipped_text(name_or_path)
    try:
        return Path(name_or_path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        close = get_close_matches(str(name_or_path), SHIPPED, n=1)
        hint = f"Give a path, or one of the shipped policies: {', '.join(SHIPPED)}."
        hint += f" Did you mean {close[0]}?" if close else ""
        raise WrongUsage("The gate's policy file cannot be read.", hint=hint) from None


def shipped_text(name: str) -> str:
    """The text of a shipped policy, lexicon or name list."""
    return resources.files("lineage").joinpath("policies", f"{name}.toml").read_text(encoding="utf-8")


def _with_words(rule: LexiconRule) -> LexiconRule:
    if not rule.enabled or rule.words:
        return rule
    try:
        groups = tomllib.loads(shipped_text(rule.lexicon))
    except FileNotFoundError:
        raise WrongUsage(
            "The policy names an Art. 9 lexicon that is not shipped.", hint="Give art9.words instead."
        ) from None
    words = sorted({word.casefold() for group in groups.values() for word in group})
    return rule.model_copy(update={"words": tuple(words)})
