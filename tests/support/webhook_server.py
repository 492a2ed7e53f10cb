"""A party's webhook: a real HTTP server on this machine that answers each request as the next reply of a script says."""

from __future__ import annotations

import json
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


@dataclass(frozen=True)
class Received:
    """A request as the party got it."""

    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def id(self) -> str:
        return json.loads(self.body)["id"]


@dataclass(frozen=True)
class Reply:
    """What is answered; `body` may ask for the request. With `drip_s` it comes a byte at a time, at that pace."""

    status: int = 200
    body: Callable[[Received], bytes] = lambda got: json.dumps({"id": got.id, "ok": True}).encode()
    headers: tuple[tuple[str, str], ...] = ()
    drip_s: float = 0.0


ACKNOWLEDGE = Reply()
REFUSE = Reply(body=lambda got: json.dumps({"id": got.id, "ok": False}).encode())


@dataclass
class Party:
    """The server, what it received so far, and what it answers: the script, and then its last reply for ever."""

    url: str
    script: list[Reply] = field(default_factory=lambda: [ACKNOWLEDGE])
    received: list[Received] = field(default_factory=list)

    def next_reply(self) -> Reply:
        return self.script.pop(0) if len(self.script) > 1 else self.script[0]


@contextmanager
def listening(*script: Reply, tls: Path | None = None) -> Iterator[Party]:
    """A party that listens for the block; with `tls`, a PEM file with key and certificate for localhost, by https."""
    party = Party("", list(script) or [ACKNOWLEDGE])

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            got = Received(self.path, dict(self.headers.items()), body)
            party.received.append(got)
            reply = party.next_reply()
            said = reply.body(got)
            self.send_response(reply.status)
            for name, value in (*reply.headers, ("Content-Length", str(len(said)))):
                self.send_header(name, value)
            self.end_headers()
            self._say(said, reply.drip_s)

        def _say(self, said: bytes, drip_s: float) -> None:
            try:
                for byte in [said] if not drip_s else [said[n : n + 1] for n in range(len(said))]:
                    self.wfile.write(byte)
                    self.wfile.flush()
                    time.sleep(drip_s)
            except OSError:
                pass  # the sender hung up

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    where = f"http://127.0.0.1:{server.server_address[1]}"
    if tls is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(tls)
        server.socket = context.wrap_socket(server.socket, server_side=True)
        where = f"https://localhost:{server.server_address[1]}"
    party.url = f"{where}/hooks/erasure?token=s3cret"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield party
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
