"""One scanner per language of a policy: a record's language chooses, and a language that nobody scans is not covered.

Actions, scores and limits are the same in all languages; what differs is what is looked for. All scanners prove themselves
before the first record, each is built when its language is first met, and one fingerprint covers them all.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cached_property

import rfc8785

from lineage.policy import Policy
from lineage.scan import Fingerprint, Scanner

__all__ = ["Scanners", "primary"]


def primary(language: str) -> str:
    """The language of a tag such as `en-GB`: its first part, in small letters."""
    return language.replace("_", "-").split("-")[0].lower()


class Scanners:
    """The scanners of a policy. Cheap to make: a scanner is built on its first use."""

    def __init__(self, policy: Policy) -> None:
        languages = (policy.language, *policy.languages)
        self.by_language: Mapping[str, Scanner] = {code: Scanner(policy.in_language(code)) for code in languages}
        self._main = policy.language

    @property
    def main(self) -> Scanner:
        """The scanner of the policy's own language."""
        return self.by_language[self._main]

    @property
    def others(self) -> Mapping[str, Scanner]:
        """The scanners of the further languages."""
        return {code: scanner for code, scanner in self.by_language.items() if code != self._main}

    def self_test(self) -> None:
        """Let every scanner prove itself.

        Raises:
            GateClosed: one does not find what it claims to find, or its model is not there.
        """
        for scanner in self.by_language.values():
            scanner.self_test()

    @cached_property
    def fingerprint(self) -> Fingerprint:
        """What produced the findings in any of the languages; with one language, its scanner's own."""
        prints = {code: scanner.fingerprint for code, scanner in self.by_language.items()}
        if len(prints) == 1:
            return self.main.fingerprint
        recognizers = {code: found.recognizers_sha256 for code, found in prints.items()}
        return replace(
            self.main.fingerprint,
            recognizers_sha256=hashlib.sha256(rfc8785.dumps(recognizers)).hexdigest(),
            tier=self.tier,
            models=tuple(model for found in prints.values() for model in found.models),
        )

    @property
    def tier(self) -> str:
        """The tier that runs, by language where there are several: `patterns+register (de, en)`."""
        return self._said("tier", lambda tier, where: f"{tier} ({where})", "; ")

    @property
    def blind_spots(self) -> str:
        """What the tiers do not see."""
        return self._said("blind_spots", lambda said, where: f"In {where}: {said}", " ")

    def _said(self, attribute: str, form: Callable[[str, str], str], between: str) -> str:
        groups: dict[str, list[str]] = {}
        for code, scanner in sorted(self.by_language.items()):
            groups.setdefault(getattr(scanner, attribute), []).append(code)
        if len(self.by_language) == 1:
            return next(iter(groups))
        return between.join(form(said, ", ".join(codes)) for said, codes in groups.items())
