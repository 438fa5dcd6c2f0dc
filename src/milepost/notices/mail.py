"""E-mails: to people by the directory, to configured addresses as they are.

A request to sign is not sent once the step has ended, whatever the reason for the delay; a link is made for a mail that
is about to go out and for nothing else. `Message-ID` is the delivery's id, the same in every attempt.
"""

import asyncio
import json
from datetime import UTC, datetime
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime, parseaddr
from typing import Any

from milepost.codec.json_forms import output_from_json
from milepost.core.outputs import ApprovalRequest
from milepost.notices.channels import Outcome, plain
from milepost.notices.letters import Letter, letter, many
from milepost.notices.messages import REQUESTS
from milepost.notices.smtp import MailError, MailServer
from milepost.sql.asking import settled_by
from milepost.sql.engine import Engine
from milepost.sql.links import Links
from milepost.sql.notices import Claimed
from milepost.sql.occurrences import ASKING
from milepost.sql.people import Person, person_of

__all__ = ["Mail"]


class Mail:
    """The channel to people. `links` None: e-mails carry no links; `public_url` is where links lead."""

    def __init__(self, engine: Engine, server: MailServer, sender: str, links: Links | None, public_url: str) -> None:
        self._engine, self._server, self._links, self._public_url = engine, server, links, public_url
        name, spec = parseaddr(sender)
        self._sender = Address(name, addr_spec=spec)

    async def attempt(self, claimed: Claimed, now: int) -> Outcome:
        """Send one e-mail."""
        payload: dict[str, Any] = json.loads(claimed.payload)
        request = _request(claimed, payload)
        if request is not None and claimed.step_id is not None:
            end = await asyncio.to_thread(settled_by, self._engine, request, claimed.step_id)
            if end is not None:
                return Outcome("withdrawn", "settled", f"not sent: the step was {end} meanwhile")
        person = await self._person(claimed)
        if person is None:
            return Outcome(
                "retry", "no address", f"no address of {claimed.recipient}; add it: milepost notices people add"
            )
        link = None
        if request is not None and self._links is not None and claimed.recipient in request.people:
            issued = await asyncio.to_thread(self._links.issue, request, claimed.recipient, now)
            link = f"{self._public_url}/approve/{issued.token}"
        if claimed.joined:
            written = many(claimed.topic, [payload, *map(json.loads, claimed.joined)])
        else:
            written = letter(claimed.topic, payload, link)
        try:
            answer = await self._server.send(self._message(claimed, person, written, now), person.address)
        except MailError as error:
            return Outcome("failed" if error.final else "retry", error.why, plain(str(error)))
        return Outcome("sent", "sent", plain(answer))

    async def _person(self, claimed: Claimed) -> Person | None:
        if claimed.address is not None:
            return Person(claimed.recipient, claimed.address, None, 0)
        return await asyncio.to_thread(person_of, self._engine, claimed.recipient)

    def _message(self, claimed: Claimed, person: Person, written: Letter, now: int) -> EmailMessage:
        message = EmailMessage(policy=SMTP)
        message["From"] = self._sender
        message["To"] = Address(plain(person.name or ""), addr_spec=person.address)
        message["Subject"] = written.subject
        message["Date"] = format_datetime(datetime.fromtimestamp(now / 1e6, UTC))
        message["Message-ID"] = f"<{claimed.delivery_id}@{self._sender.domain}>"
        # RFC 3834: nobody's absence is to be told to us.
        message["Auto-Submitted"] = "auto-generated"
        message.set_content(written.text)
        message.add_alternative(written.html, subtype="html")
        return message


def _request(claimed: Claimed, payload: dict[str, Any]) -> ApprovalRequest | None:
    """The request that asks somebody to sign, if it is one."""
    if claimed.topic != REQUESTS or claimed.kind not in ASKING:
        return None
    request = output_from_json(REQUESTS, payload["data"])
    assert isinstance(request, ApprovalRequest)
    return request
