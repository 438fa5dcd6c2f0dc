"""A mail server that delivers nothing: what is sent to it becomes files in a folder, for whoever tries things out.

Only what a client says to send one mail after another; no TLS, no names, this machine alone.
"""

import asyncio
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from itertools import count
from pathlib import Path

__all__ = ["Outbox"]

# A mail with links and no attachments has a few thousand bytes.
MOST_BYTES = 1_000_000
HOST = "127.0.0.1"


class Outbox:
    """Async context manager: each mail and recipient is two files, the mail as it came and its text for people.

    Their names are `NUMBER-RECIPIENT.eml` and `.txt`; a file that is there is complete.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self.port = folder, 0
        self._numbers = count(1)
        self._server: asyncio.Server | None = None
        self._talks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> "Outbox":
        """Listen on a free port."""
        self.folder.mkdir(exist_ok=True)
        self._server = await asyncio.start_server(self._talk, HOST, 0, limit=MOST_BYTES)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        for talk in self._talks:
            talk.cancel()
        await asyncio.gather(*self._talks, return_exceptions=True)

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._talks.add(task)
        try:
            await self._listen(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass  # whoever sends tries again
        finally:
            self._talks.discard(task)
            writer.close()

    async def _listen(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        def answer(line: str) -> None:
            writer.write(f"{line}\r\n".encode())

        answer("220 outbox")
        recipients: list[str] = []
        while line := (await reader.readline()).decode("latin-1"):
            command = line.split(":")[0].split()[:1]
            match [word.upper() for word in command]:
                case ["EHLO"]:
                    answer(f"250-outbox\r\n250-8BITMIME\r\n250 SIZE {MOST_BYTES}")
                case ["MAIL"]:
                    recipients.clear()
                    answer("250 ok")
                case ["RCPT"]:
                    recipients.append(line.partition("<")[2].partition(">")[0])
                    answer("250 ok")
                case ["DATA"]:
                    answer("354 go on")
                    raw = (await reader.readuntil(b"\r\n.\r\n"))[:-3].replace(b"\r\n..", b"\r\n.")
                    for recipient in recipients:
                        self._keep(recipient, raw)
                    answer("250 kept")
                case ["QUIT"]:
                    answer("221 bye")
                    return
                case ["HELO" | "RSET" | "NOOP"]:
                    answer("250 ok")
                case _:
                    answer("502 not here")
            await writer.drain()

    def _keep(self, recipient: str, raw: bytes) -> None:
        mail = message_from_bytes(raw, policy=default)
        assert isinstance(mail, EmailMessage)
        part = mail.get_body(("plain",))
        text = part.get_content().replace("\r\n", "\n") if part is not None else ""
        heads = "".join(f"{name}: {mail[name]}\n" for name in ("From", "To", "Subject"))
        safe = "".join(character if character.isalnum() or character in "@.-_" else "_" for character in recipient)
        name = f"{next(self._numbers):03}-{safe}"
        for suffix, content in (
            (".eml", raw),
            (".txt", f"{heads}\n{text}".encode()),
        ):
            half = self.folder / f".{name}{suffix}"
            half.write_bytes(content)
            half.rename(self.folder / f"{name}{suffix}")
