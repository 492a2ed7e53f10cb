"""Write the gazetteer's name lists from the package Faker: pip install faker==40.63.0, then python benchmarks/lists/name_lists.py.

Faker is no dependency: its lists are copied once, so that the gate's findings depend on bytes that the fingerprint covers.
"""

from __future__ import annotations

import textwrap
from importlib import import_module
from importlib.metadata import version
from pathlib import Path

LOCALES = {"en": ("en_US", "en_GB"), "de": ("de_DE",), "fr": ("fr_FR",), "es": ("es_ES",)}
POLICIES = Path(__file__).parents[2] / "lineage" / "policies"
HEADER = """\
# Common names, for the gate's tripwire on names (docs/policy-languages.md). Written by benchmarks/lists/name_lists.py from
# Faker {version}, whose licence follows.
#
# Copyright (c) 2012 Daniele Faraglia
#
# Permission is hereby granted, free of charge, to any person obtaining a copy of this software and associated
# documentation files (the "Software"), to deal in the Software without restriction, including without limitation the
# rights to use, copy, modify, merge, publish, distribute, sublicense, and/or sell copies of the Software, and to permit
# persons to whom the Software is furnished to do so, subject to the following conditions:
#
# The above copyright notice and this permission notice shall be included in all copies or substantial portions of the
# Software.
#
# THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR IMPLIED, INCLUDING BUT NOT LIMITED TO THE
# WARRANTIES OF MERCHANTABILITY, FITNESS FOR A PARTICULAR PURPOSE AND NONINFRINGEMENT. IN NO EVENT SHALL THE AUTHORS OR
# COPYRIGHT HOLDERS BE LIABLE FOR ANY CLAIM, DAMAGES OR OTHER LIABILITY, WHETHER IN AN ACTION OF CONTRACT, TORT OR
# OTHERWISE, ARISING FROM, OUT OF OR IN CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS IN THE SOFTWARE.
"""


def main() -> None:
    """One file per language."""
    for language, locales in LOCALES.items():
        providers = [import_module(f"faker.providers.person.{locale}").Provider for locale in locales]
        first = sorted({name for p in providers for name in p.first_names if len(name) > 1})
        last = sorted({name for p in providers for name in p.last_names if len(name) > 1})
        text = HEADER.format(version=version("faker"))
        text += "".join(f"{kind} = [\n{_wrapped(names)}\n]\n" for kind, names in (("first", first), ("last", last)))
        (POLICIES / f"names_{language}.toml").write_text(text, encoding="utf-8")


def _wrapped(names: list[str]) -> str:
    glued = (name.replace(" ", "\N{NO-BREAK SPACE}") for name in names)  # a line must not break inside a name
    listed = ", ".join(f'"{name}"' for name in glued)
    wrapped = textwrap.fill(listed, 120, initial_indent="    ", subsequent_indent="    ", break_on_hyphens=False)
    return wrapped.replace("\N{NO-BREAK SPACE}", " ") + ","


if __name__ == "__main__":
    main()
