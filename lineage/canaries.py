"""A scanner proves itself before its first scan: one canary for each type it claims to find."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Protocol

from lineage.errors import GateClosed
from lineage.policy import Policy

__all__ = ["CANARIES", "prove"]

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

    Raises:
        GateClosed: a type is missed, or has no canary.
    """
    for entity_type in sorted(claimed):
        _expect(scan, entity_type, CANARIES.get(entity_type, ""), 0.0)
    if "PHONE_NUMBER" in claimed:
        for region in policy.phone.regions:
            _expect(scan, "PHONE_NUMBER", _example_phone(region), 0.0)
        if policy.language == "en":
            text = f"{policy.phone.context[0]} {CANARIES['PHONE_NUMBER']}"
            _expect(scan, "PHONE_NUMBER", text, CONTEXT_BOOSTED_SCORE)


def _expect(scan: Callable[[str], Sequence[Found]], entity_type: str, canary: str, min_score: float) -> None:
    found = scan(canary) if canary else ()
    if not any(s.entity_type == entity_type and s.score >= min_score for s in found):
        hint = "The gate stays closed: disable the recogniser in the policy, or repair the installation."
        raise GateClosed(f"The scanner's self-test missed {entity_type}.", hint=hint)


def _example_phone(region: str) -> str:
    import phonenumbers

    number = phonenumbers.example_number(region)
    return f"phone {phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.NATIONAL)}" if number else ""
