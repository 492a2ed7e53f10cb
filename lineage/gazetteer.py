"""A tripwire on lists of common names: a listed first name before another name stops a record for a human.

It is no detector. It knows the names of one culture and stops at products that are called like people. A hit is a span
of type PERSON by the recogniser `Gazetteer`: the register may still say who it is.
"""

from __future__ import annotations

import hashlib
import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, field

from lineage.errors import WrongUsage
from lineage.policy import Policy, shipped_text
from lineage.spans import Interval

__all__ = ["FULL_NAME_SCORE", "SINGLE_NAME_SCORE", "Gazetteer"]

FULL_NAME_SCORE = 0.6
SINGLE_NAME_SCORE = 0.4

# A word as names are written: a capital, then small letters; hyphens and apostrophes join such words.
_CAPITALISED = r"[^\W\d_][^\W\d_]*(?:['’-][^\W\d_]+)*"
_WORDS = re.compile(rf"(?<!\w){_CAPITALISED}(?!\w)")
_BETWEEN = re.compile(r" (?:[A-Z]\. )?")


@dataclass(frozen=True, slots=True)
class Gazetteer:
    """The lists of one policy; empty when the policy does not want them."""

    first: frozenset[str] = field(default=frozenset(), repr=False)
    last: frozenset[str] = field(default=frozenset(), repr=False)
    single: bool = False

    @classmethod
    def of(cls, policy: Policy) -> Gazetteer:
        """The lists of the policy's own language.

        Raises:
            WrongUsage: none are shipped for it.
        """
        if not policy.gazetteer.enabled:
            return cls()
        try:
            lists = tomllib.loads(shipped_text(f"names_{policy.language}"))
        except FileNotFoundError:
            raise WrongUsage(
                f"There are no name lists for {policy.language!r}.", hint="Set gazetteer.enabled = false."
            ) from None
        return cls(frozenset(lists["first"]), frozenset(lists["last"]), policy.gazetteer.single)

    def names(self, text: str) -> Iterator[tuple[Interval, float]]:
        """Each hit's half-open span and score: a listed first name with a listed last name, or alone if so wished."""
        if not self.first:
            return
        words = [word for word in _WORDS.finditer(text) if len(word.group()) > 1]
        taken = -1
        for index, word in enumerate(words):
            if word.start() < taken or word.group() not in self.first:
                continue
            after = words[index + 1] if index + 1 < len(words) else None
            if after and after.group() in self.last and _BETWEEN.fullmatch(text, word.end(), after.start()):
                taken = after.end()
                yield (word.start(), taken), FULL_NAME_SCORE
            elif self.single:
                yield word.span(), SINGLE_NAME_SCORE

    def described(self) -> dict[str, object]:
        """What its findings depend on."""
        names = "\n".join((*sorted(self.first), "", *sorted(self.last)))
        return {"names_sha256": hashlib.sha256(names.encode()).hexdigest(), "single": self.single}
