"""The sandbox's mail server keeps what any client sends, complete or not at all."""

import asyncio
from email.message import EmailMessage
from email.policy import SMTP
from pathlib import Path

import aiosmtplib

from milepost.demo.outbox import MOST_BYTES, Outbox


def mail(text: str, to: str = "ana@example.org") -> EmailMessage:
    message = EmailMessage(policy=SMTP)
    message["From"], message["To"], message["Subject"] = "billing@example.org", to, "Zur Unterschrift: Prüfung"
    message.set_content(text)
    return message


async def send(outbox: Outbox, *messages: EmailMessage, recipients: list[str] | None = None) -> None:
    async with aiosmtplib.SMTP(hostname="127.0.0.1", port=outbox.port, start_tls=False, use_tls=False) as client:
        for message in messages:
            await client.send_message(message, recipients=recipients)


async def test_mails_become_files_with_their_text(tmp_path: Path) -> None:
    text = "Bitte prüfen:\nhttp://127.0.0.1:8080/approve/" + "x" * 200 + "\n.\n..zwei Punkte\n"
    async with Outbox(tmp_path / "outbox") as outbox:
        await send(outbox, mail(text), mail("second"), recipients=["ana@example.org", "ben/../x@example.org"])
    names = sorted(file.name for file in (tmp_path / "outbox").iterdir())
    assert names == [
        f"00{number}-{who}.{suffix}"
        for number, who in enumerate(["ana@example.org", "ben_.._x@example.org"] * 2, 1)
        for suffix in ("eml", "txt")
    ]
    first = (tmp_path / "outbox" / "001-ana@example.org.txt").read_text()
    assert first.startswith("From: billing@example.org\nTo: ana@example.org\nSubject: Zur Unterschrift: Prüfung\n\n")
    assert first.endswith(text)


async def test_many_at_the_same_time_are_all_kept(tmp_path: Path) -> None:
    async with Outbox(tmp_path / "outbox") as outbox:
        await asyncio.gather(*(send(outbox, mail(f"number {number}")) for number in range(20)))
    texts = [file.read_text().rsplit("\n", 2)[-2] for file in (tmp_path / "outbox").glob("*.txt")]
    assert sorted(texts) == sorted(f"number {number}" for number in range(20))


async def test_what_breaks_off_or_is_too_large_leaves_nothing_and_the_next_is_taken(tmp_path: Path) -> None:
    async with Outbox(tmp_path / "outbox") as outbox:
        for raw in (b"DATA\r\nhalf", b"NONSENSE\r\n", b"DATA\r\n" + b"x" * (2 * MOST_BYTES)):
            _, writer = await asyncio.open_connection("127.0.0.1", outbox.port)
            writer.write(raw)
            try:
                await writer.drain()
                writer.close()
                await writer.wait_closed()
            except ConnectionError:
                pass
        assert list(outbox.folder.iterdir()) == []
        await send(outbox, mail("fine"))
        assert len(list(outbox.folder.iterdir())) == 2
