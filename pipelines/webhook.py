"""The one doorway to other people's machines: a notice is sent once, signed, and its answer judged.

The signature is Ed25519 by the pipeline's key over ``id.timestamp.body``, in the headers of Standard Webhooks
(``webhook-id``, ``webhook-timestamp``, ``webhook-signature: v1a,<base64>``; standardwebhooks.com). Redirects are not followed:
they would carry a signed notice to somebody else, and are a failed try like everything that is no acknowledgement.
"""

from __future__ import annotations

import base64
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from threading import Event, Timer

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from lineage.endpoints import Endpoint
from lineage.notices import Notice, refusal

__all__ = ["TIMEOUT_S", "deliver", "signed_headers"]

TIMEOUT_S = 10.0
MAX_ANSWER_BYTES = 65_536


def deliver(
    endpoint: Endpoint, notice: Notice, *, key: Ed25519PrivateKey, at: datetime, timeout_s: float = TIMEOUT_S
) -> str:
    """Send a notice; returns why it was not acknowledged, without a word of the answer, and nothing if it was."""
    too_late = Event()
    try:
        with _connected(endpoint, timeout_s, too_late) as connection:
            headers = signed_headers(notice, key=key, at=at)
            connection.request("POST", endpoint.target, notice.body.encode(), headers)
            answer = connection.getresponse()
            said = answer.read(MAX_ANSWER_BYTES + 1)
    except (OSError, HTTPException, ValueError) as error:
        if not too_late.is_set() and not isinstance(error, TimeoutError):
            return f"no answer ({type(error).__name__})"
        too_late.set()
    if too_late.is_set():
        return f"no whole answer within {timeout_s:g} s"
    return "an answer that is too long" if len(said) > MAX_ANSWER_BYTES else refusal(notice.id, answer.status, said)


def signed_headers(notice: Notice, *, key: Ed25519PrivateKey, at: datetime) -> dict[str, str]:
    """The headers of one try at this time."""
    stamp = str(int(at.timestamp()))
    signature = key.sign(f"{notice.id}.{stamp}.{notice.body}".encode())
    return {
        "Content-Type": "application/json", "User-Agent": "lethe", "Connection": "close", "webhook-id": notice.id,
        "webhook-timestamp": stamp, "webhook-signature": f"v1a,{base64.b64encode(signature).decode()}",
    }  # fmt: skip


@contextmanager
def _connected(endpoint: Endpoint, timeout_s: float, too_late: Event) -> Iterator[HTTPConnection]:
    """A connection that is cut off when the time is over: its own timeout begins anew with every byte that arrives."""
    connection = (
        HTTPSConnection(endpoint.host, endpoint.port, timeout=timeout_s, context=ssl.create_default_context())
        if endpoint.secure
        else HTTPConnection(endpoint.host, endpoint.port, timeout=timeout_s)
    )
    connection.connect()
    line: socket.socket = connection.sock  # an answer that closes the connection takes it out of there

    def cut_off() -> None:
        too_late.set()
        with suppress(OSError):  # it ended by itself just now
            socket.socket.shutdown(line, socket.SHUT_RDWR)  # below TLS, which is not for two threads

    timer = Timer(timeout_s, cut_off)
    timer.start()
    try:
        yield connection
    finally:
        timer.cancel()
        connection.close()
