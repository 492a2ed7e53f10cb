"""A scanner proves itself before its first scan: one canary for each type it claims to find."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Protocol

from lineage.errors import GateClosed
from lineage.policy import Policy
from lineage.tiers import has_model

__all__ = ["CANARIES", "COUNTRY_CANARIES", "PERSON_CANARIES", "prove"]

CONTEXT_BOOSTED_SCORE = 0.7

# Documentation values and well-known test numbers; none belongs to a person.
CANARIES: dict[str, str] = {
    "CREDIT_CARD": "card 4111 1111 1111 1111",
    "CRYPTO": "wallet 16Yeky6GMjeNkAiNcBY7ZhrLoMSgg1BoyZ",
    "DATE_TIME": "date 2024-03-12",
    "EMAIL_ADDRESS": "email canary@example.com",
    "IBAN_CODE": "iban DE89370400440532013000",
    "IP_ADDRESS": "ip 192.0.2.17",
    "MAC_ADDRESS": "mac 00:00:5E:00:53:AF",
    "MEDICAL_LICENSE": "DEA certificate BB1388568",
    "PHONE_NUMBER": "phone +44 20 7946 0958",
    "UK_NHS": "nhs 401-023-2137",
    "URL": "website https://example.com/path",
    "US_BANK_NUMBER": "bank account 945456787654",
    "US_DRIVER_LICENSE": "driver license H12234567",
    "US_ITIN": "taxpayer itin 911-70-1234",
    "US_PASSPORT": "passport 912803456",
    "US_SSN": "social security ssn 078-05-1126",
    "UUID": "uuid 123e4567-e89b-42d3-a456-426614174000",
}

# Types of recognisers that are off unless a policy names them, or that belong to another language. Examples of authorities
# and of Presidio's own documentation, or computed so that the check digit fits; none belongs to a person.
COUNTRY_CANARIES: dict[str, str] = {
    "DE_FUEHRERSCHEIN": "Führerschein BO12345678A",
    "DE_HANDELSREGISTER": "Handelsregister HRB 123456",
    "DE_HEALTH_INSURANCE": "Krankenversicherungsnummer A000500015",
    "DE_ID_CARD": "Personalausweis L01X00T44",
    "DE_KFZ": "Kennzeichen M-AB 1234",
    "DE_PASSPORT": "Reisepass C01X00T41",
    "DE_SOCIAL_SECURITY": "Sozialversicherungsnummer 15070649C103",
    "DE_TAX_ID": "Steueridentifikationsnummer 86095742719",
    "DE_TAX_NUMBER": "Steuernummer 181/815/08155",
    "DE_VAT_ID": "USt-IdNr. DE123456788",
    "ES_NIE": "NIE X1234567L",
    "ES_NIF": "DNI 12345678Z",
    "ES_PASSPORT": "pasaporte AAA123456",
    "FR_NIR": "numéro de sécurité sociale 2 55 08 14 168 025 38",
    "IT_DRIVER_LICENSE": "patente AA1234567B",
    "IT_FISCAL_CODE": "codice fiscale MRTMTT91D08F205J",
    "IT_IDENTITY_CARD": "carta identità AA12345BB",
    "IT_PASSPORT": "passaporto AA1234567",
    "IT_VAT_CODE": "partita iva 01333550323",
    "UK_NINO": "national insurance number AB 12 34 56 C",
}

# A sentence in which any named-entity model of the language should find a person; the names are placeholders.
PERSON_CANARIES: dict[str, str] = {
    "de": "Mein Name ist Thomas Müller und ich wohne in Berlin.",
    "en": "My name is John Smith and I live in London.",
    "es": "Me llamo María García y vivo en Madrid.",
    "fr": "Je m'appelle Jean Dupont et j'habite à Paris.",
    "it": "Mi chiamo Mario Rossi e vivo a Roma.",
    "nl": "Mijn naam is Jan de Vries en ik woon in Utrecht.",
}


class Found(Protocol):
    """A finding, as far as the proof looks at it."""

    @property
    def entity_type(self) -> str:
        """Presidio's name of the type."""

    @property
    def score(self) -> float:
        """In [0, 1]."""


def prove(scan: Callable[[str], Sequence[Found]], claimed: Collection[str], policy: Policy) -> None:
    """Scan one canary per claimed type, one phone per region, and one that needs its context word.

    A type that only a named-entity model claims and that the policy allows whatever happens needs no proof.

    Raises:
        GateClosed: a type is missed, or has no canary.
    """
    for entity_type in sorted(claimed):
        canary = _canary(entity_type, policy)
        if canary or not _only_informs(entity_type, policy):
            _expect(scan, entity_type, canary, 0.0)
    if "PHONE_NUMBER" in claimed:
        for region in policy.phone.regions:
            _expect(scan, "PHONE_NUMBER", _example_phone(region), 0.0)
        text = f"{policy.phone.context[0]} {CANARIES['PHONE_NUMBER']}"
        _expect(scan, "PHONE_NUMBER", text, CONTEXT_BOOSTED_SCORE)


def _canary(entity_type: str, policy: Policy) -> str:
    if entity_type == "PERSON":
        return policy.ner.canaries.get(policy.language) or PERSON_CANARIES.get(policy.language, "")
    return CANARIES.get(entity_type) or COUNTRY_CANARIES.get(entity_type, "")


def _only_informs(entity_type: str, policy: Policy) -> bool:
    rule = policy.entities.get(entity_type)
    of_a_model = has_model(policy) and entity_type in policy.ner.labels.values()
    return (
        of_a_model and rule is not None and {rule.action, rule.declared_subject, rule.other_person} <= {"allow", None}
    )


def _expect(scan: Callable[[str], Sequence[Found]], entity_type: str, canary: str, min_score: float) -> None:
    found = scan(canary) if canary else ()
    if not any(s.entity_type == entity_type and s.score >= min_score for s in found):
        hint = "The gate stays closed: disable the recogniser in the policy, or repair the installation."
        raise GateClosed(f"The scanner's self-test missed {entity_type}.", hint=hint)


def _example_phone(region: str) -> str:
    import phonenumbers

    number = phonenumbers.example_number(region)
    return f"phone {phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.NATIONAL)}" if number else ""
