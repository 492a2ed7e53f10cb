"""Where a party is told: the URL of its webhook, which may hold a token, so it is sealed at rest and masked in `repr`."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from sqlmodel import Session

from lineage.errors import WrongUsage
from lineage.tables import PartyRow
from lineage.workspace import Workspace

__all__ = ["Endpoint", "open_endpoint", "parse_endpoint", "seal_endpoint"]

MAX_URL_CHARS = 2000


@dataclass(frozen=True)
class Endpoint:
    """A webhook's parts; `secure` is https. `target` is path and query as they go into the request."""

    secure: bool
    host: str
    port: int
    target: str = field(repr=False)


def parse_endpoint(url: str) -> Endpoint:
    """The parts of a URL: https anywhere, http to this machine only, because what goes out must not be read on the way.

    Raises:
        WrongUsage: anything else; the sentence does not repeat the URL.
    """
    try:
        parts = urlsplit(url.strip())
        host, port = parts.hostname or "", parts.port
    except ValueError:
        host, port, parts = "", None, urlsplit("")
    plain = not url.strip().isascii() or not url.strip().isprintable() or " " in url.strip()
    if plain or not host or parts.username is not None or parts.fragment or len(url) > MAX_URL_CHARS:
        raise WrongUsage("That is not the URL of a webhook.", hint="Such as https://company.example/hooks/erasure")
    if parts.scheme != "https" and not (parts.scheme == "http" and _is_loopback(host)):
        raise WrongUsage("A webhook is told by https, or by http on this machine only.")
    secure = parts.scheme == "https"
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return Endpoint(secure, host, port or (443 if secure else 80), target)


def seal_endpoint(workspace: Workspace, party: str, url: str) -> bytes:
    """The URL of a party's webhook, encrypted under `party:NAME`, for `inventory.put_party`.

    Raises:
        WrongUsage: as `parse_endpoint`.
    """
    parse_endpoint(url)
    return workspace.keystore.seal([(f"party:{party}", url.strip().encode())])[0]


def open_endpoint(session: Session, workspace: Workspace, party: str) -> Endpoint:
    """Where a party is told.

    Raises:
        WrongUsage: it is told by hand.
        Shredded, NotAcceptable: its key is gone, or it was sealed under another name.
    """
    row = session.get(PartyRow, party)
    if row is None or not row.endpoint:
        raise WrongUsage(f"The party {party} has no webhook.", hint="It is told by hand: lethe notice ack")
    return parse_endpoint(workspace.keystore.open([(f"party:{party}", row.endpoint)])[0].decode())


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
