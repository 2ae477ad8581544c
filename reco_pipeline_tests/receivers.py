"""Real receivers of alerts on this machine: an HTTP server and an SMTP server that keep what they got.

Belongs here: starting and stopping them. Does not belong here: any claim.
"""

import asyncio
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from email import message_from_bytes, policy
from email.message import EmailMessage
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from aiosmtpd.smtp import SMTP


class Webhook:
    """What came in, and with which status it is answered."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.status = 200
        self.tried = 0
        self.got: list[dict[str, Any]] = []
        self.asked: list[str] = []

    @property
    def url(self) -> str:
        """As a target, with a password that nobody may see."""
        return f"json://duty:planted-secret@127.0.0.1:{self.port}/planted-token"


@contextmanager
def running_webhook() -> Iterator[Webhook]:
    """An HTTP server that takes messages, until the block ends."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            hook.tried += 1
            if hook.status == 200:
                hook.got.append(json.loads(body))
            self.send_response(hook.status)
            self.end_headers()
            refused = f"planted-token is wrong, and so is {self.headers['Authorization']}"
            self.wfile.write(refused.encode() if hook.status != 200 else b"")

        def do_GET(self) -> None:
            hook.asked.append(self.path)
            self.send_response(hook.status)
            self.end_headers()

        def log_message(self, *args: Any) -> None:
            """Nothing on stderr."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    hook = Webhook(server.server_address[1])
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield hook
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class Mailbox:
    """The messages that came."""

    def __init__(self) -> None:
        self.port = 0
        self.got: list[EmailMessage] = []

    async def handle_DATA(  # noqa: N802 - aiosmtpd calls it so
        self, server: Any, session: Any, envelope: Any
    ) -> str:
        """Keeps a message."""
        found = message_from_bytes(envelope.content, policy=policy.default)
        assert isinstance(found, EmailMessage)
        self.got.append(found)
        return "250 taken"


@contextmanager
def running_mailbox() -> Iterator[Mailbox]:
    """An SMTP server on a free port, until the block ends."""
    box = Mailbox()
    loop = asyncio.new_event_loop()
    server = loop.run_until_complete(loop.create_server(lambda: SMTP(box, loop=loop), "127.0.0.1", 0))
    box.port = server.sockets[0].getsockname()[1]
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        yield box
    finally:
        loop.call_soon_threadsafe(server.close)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
