"""Where a purge may delete derived files, and every reason why it leaves one alone."""

from __future__ import annotations

import os
import pwd
import sys
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from urllib.parse import unquote, urlsplit

from lineage.settings import Settings

__all__ = ["REASONS", "Bounds", "Spared", "Why", "bounds_of"]

Why = Literal[
    "outside", "guarded", "link", "linked", "mount", "special", "large", "missing", "changed", "permission", "left",
    "refused", "unreadable",
]  # fmt: skip
REASONS: dict[Why, str] = {
    "outside": "it lies under no folder of [purge] derived_roots in lethe.toml",
    "guarded": "it is, holds or lies in something that is never deleted: the workspace, a base model, a home, a checkout",
    "link": "a symbolic link stands in it or on the way to it",
    "linked": "it has a second name (a hard link), under which it would stay",
    "mount": "a file system is mounted there",
    "special": "it holds something that is neither a file nor a folder",
    "large": "it has more than 10,000 entries, or folders more than 32 deep",
    "missing": "nothing stands there",
    "changed": "what stands there is not what was registered",
    "permission": "the machine may not read or delete it",
    "left": "it was deleted and is still there",
    "refused": "the file system refused",
    "unreadable": "nobody can read any more where it lies: the key is gone",
}
"""Why a file was left alone, in words that fit "NAME was not reached: ..."."""

MOUNTS = Path("/proc/self/mountinfo")  # Linux; elsewhere only the device numbers tell


class Spared(Exception):
    """A place is left alone; `why` is a key of `REASONS`. It says nothing of the path, which may hold a name or a token, and
    goes no further than `lineage.derived`, which makes a result of it."""

    def __init__(self, why: Why) -> None:
        super().__init__(REASONS[why])
        self.why = why


@dataclass(frozen=True, slots=True)
class Bounds:
    """Where anything may be deleted: strictly inside one of `roots`. What is, holds or lies in a `guarded` path never is;
    what is or holds one of `homes` neither."""

    roots: tuple[Path, ...]
    guarded: tuple[Path, ...]
    homes: tuple[Path, ...] = ()

    def require(self, path: Path) -> None:
        """Whatever it is: may it be deleted?

        Raises:
            Spared: no.
        """
        inside = any(path != root and path.is_relative_to(root) for root in self.roots)
        if not inside or ".." in path.parts:
            raise Spared("outside")
        holds = any(kept.is_relative_to(path) for kept in (*self.guarded, *self.homes))
        if holds or any(path.is_relative_to(kept) for kept in self.guarded) or ".git" in path.parts:
            raise Spared("guarded")
        if any(Path(mounted).is_relative_to(path) for mounted in _mounts()):
            raise Spared("mount")


def bounds_of(settings: Settings) -> Bounds:
    """Where this workspace lets a purge delete, and what is never deleted."""
    urls = [urlsplit(url) for url in (settings.store(), settings.database(), settings.keystore())]
    own = [Path("/" + unquote(url.path).lstrip("/")) for url in urls if url.scheme in ("file", "sqlite")]
    bases = [settings.workspace / Path(adapter.base_model) for adapter in settings.adapters.values()]
    code = [Path(sys.prefix), Path(__file__).parents[1]]
    guarded = [settings.workspace, settings.home, *own, *bases, *code]
    homes = {Path.home(), *(Path(user.pw_dir) for user in pwd.getpwall())}
    real = [tuple(sorted({Path(os.path.realpath(path)) for path in paths})) for paths in (guarded, homes)]
    return Bounds(tuple(settings.purge.derived_roots), *real)


def _mounts() -> Iterator[str]:
    """Where file systems are mounted, also those that the device number does not tell (bind mounts)."""
    with suppress(OSError), closing(MOUNTS.open("rb")) as lines:
        for line in lines:
            yield os.fsdecode(line.split()[4].decode("unicode_escape").encode("latin-1"))
