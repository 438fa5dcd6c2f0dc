"""A real mail server in this process, that takes e-mails or does not, as mail servers do."""

import asyncio
import email
import email.policy
import ssl
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from email.message import EmailMessage
from typing import Any

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session


@dataclass
class Mailbox:
    """Listens on 127.0.0.1. `recipients` and `contents` answer RCPT and DATA, one a command, then 250.

    An answer is a text, or None to hang up without one.
    """

    port: int = 0
    received: list[EmailMessage] = field(default_factory=list)
    envelopes: list[Envelope] = field(default_factory=list)
    recipients: deque[str | None] = field(default_factory=deque)
    contents: deque[str | None] = field(default_factory=deque)
    # What is taken although the answer never arrives.
    keep_what_is_cut: bool = False
    silent: bool = False
    sessions: int = 0

    async def handle_EHLO(  # noqa: N802  # the library's names
        self, server: SMTP, session: Session, envelope: Envelope, hostname: str, responses: list[str]
    ) -> list[str]:
        self.sessions += 1
        session.host_name = hostname
        while self.silent:
            await asyncio.sleep(0.01)
        return responses

    async def handle_RCPT(  # noqa: N802
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        answer = self.recipients.popleft() if self.recipients else "250 OK"
        if answer is None:
            return self._hang_up(server)
        if answer.startswith("250"):
            envelope.rcpt_tos.append(address)
        return answer

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
        answer = self.contents.popleft() if self.contents else "250 queued as 4711"
        if (answer or "").startswith("250") or (answer is None and self.keep_what_is_cut):
            content = envelope.content
            assert isinstance(content, bytes)
            self.received.append(email.message_from_bytes(content, policy=email.policy.default))  # type: ignore[arg-type]
            self.envelopes.append(envelope)
        return self._hang_up(server) if answer is None else answer

    @staticmethod
    def _hang_up(server: SMTP) -> str:
        transport = server.transport
        assert isinstance(transport, asyncio.Transport)
        transport.abort()
        return "421 never arrives"

    def to(self, address: str) -> list[EmailMessage]:
        """What arrived for an address."""
        return [
            message
            for message, envelope in zip(self.received, self.envelopes, strict=True)
            if envelope.rcpt_tos == [address]
        ]


def text_of(message: EmailMessage) -> str:
    """The plain text of an e-mail."""
    body = message.get_body(("plain",))
    assert body is not None
    content: str = body.get_content()
    return content


def html_of(message: EmailMessage) -> str:
    """The HTML of an e-mail."""
    body = message.get_body(("html",))
    assert body is not None
    content: str = body.get_content()
    return content


@asynccontextmanager
async def mailbox(
    *, tls: ssl.SSLContext | None = None, starttls: ssl.SSLContext | None = None, password: str | None = None
) -> AsyncIterator[Mailbox]:
    """A mail server at work; with `password` it wants to know who sends."""
    made = Mailbox()

    def authenticate(server: SMTP, session: Session, envelope: Envelope, mechanism: str, data: Any) -> AuthResult:
        assert isinstance(data, LoginPassword)
        return AuthResult(success=password is not None and data.password == password.encode(), handled=False)

    def serve() -> SMTP:
        return SMTP(
            made,
            hostname="mail.test",
            tls_context=starttls,
            require_starttls=starttls is not None,
            authenticator=authenticate,
            auth_required=password is not None,
            auth_require_tls=tls is None,
            loop=asyncio.get_running_loop(),
        )

    server = await asyncio.get_running_loop().create_server(serve, "127.0.0.1", 0, ssl=tls)
    made.port = server.sockets[0].getsockname()[1]
    try:
        yield made
    finally:
        made.silent = False
        server.close()
        await server.wait_closed()
