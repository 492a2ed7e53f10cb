"""What an HTML page would fetch: nothing, if it stands alone."""

from __future__ import annotations

import re
from html.parser import HTMLParser

FETCHING = {"src", "srcset", "href", "xlink:href", "data", "poster", "action", "formaction", "background", "ping"}
FETCHED_TAGS = {"script", "link", "iframe", "frame", "object", "embed", "base", "img", "audio", "video", "form"}


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in FETCHED_TAGS:
            self.found.append(f"<{tag}>")
        named = [(name, value or "") for name, value in attrs]
        self.found += [f"{tag} {name}" for name, value in named if name in FETCHING and not value.startswith("#")]
        self.found += [f"{tag} {name}" for name, value in named if name == "http-equiv" or name.startswith("on")]


def outside_of(page: str) -> list[str]:
    """Everything on a page that reaches outside of it, or runs; in SVG and CSS too, where "#" stays inside."""
    reader = _Reader()
    reader.feed(page)
    styles = [found for found in re.findall(r"url\(\s*['\"]?([^)]*)", page) if not found.startswith("#")]
    return [*reader.found, *styles, *re.findall(r"@import|javascript:", page)]
