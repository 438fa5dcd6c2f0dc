"""E-mails to a real mail server, which takes them, refuses them, stalls and hangs up."""

import re
from collections.abc import AsyncIterator
from typing import Any

import pytest

from milepost.core.events import Evidence
from milepost.ledger.rows import rows_of
from milepost.notices.smtp import MailError, MailServer
from milepost.sql.engine import Engine
from milepost.sql.link_tokens import LinkKeys
from milepost.sql.links import Links
from milepost.sql.notice_log import attempts_of
from milepost.sql.people import Person, keep_people
from milepost.sql.writing import store
from tests.ledger import made
from tests.notices.mailing import Mailbox, html_of, mailbox, text_of
from tests.notices.world import World, settings_with
from tests.receiving import Certificates


@pytest.fixture
async def box() -> AsyncIterator[Mailbox]:
    async with mailbox() as made_box:
        yield made_box


def world_with(engine: Engine, box: Mailbox, **settings: Any) -> World:
    world = World(engine, settings_with(**{"smtp_host": "127.0.0.1", "smtp_port": box.port, **settings}))
    world.keep(ann="ann@client.test", bob="bob@client.test")
    return world


def ledger_knows(engine: Engine, world: World, *outputs: Any) -> None:
    """What the ledger stores of these, at the offsets that the topics gave them."""
    rows = rows_of(world.records(*outputs))
    store(engine, rows.added, rows.statuses, [])


async def test_people_get_their_own_letter_with_their_own_link(local: Engine, box: Mailbox) -> None:
    world = world_with(local, box)
    request = made.request(due_at=made.NOON)
    world.owe(request)
    assert await world.deliver() == 2
    (to_ann,), (to_bob,) = box.to("ann@client.test"), box.to("bob@client.test")
    assert to_ann["Subject"] == "Please sign: assessment of erp-rollout, 10,000.00 EUR"
    assert (to_ann["From"], to_ann["To"]) == ("Milepost <billing@milepost.test>", "ann@client.test")
    assert to_ann["Auto-Submitted"] == "auto-generated"
    ids = {row.recipient: row.delivery_id for row in world.rows()}
    assert to_ann["Message-ID"] == f"<{ids['ann']}@milepost.test>"
    text = text_of(to_ann)
    assert "Due by: 2026-05-29 12:00 UTC" in text
    for part in ("as sponsor", "2026-05-29 12:00 UTC", "as agreed", "protocol.pdf", "a" * 64):
        assert part in text
        assert part in html_of(to_ann)
    links = Links(local, LinkKeys.of(world.settings), 30)
    for person, message in (("ann", to_ann), ("bob", to_bob)):
        (url,) = set(re.findall(r"https://sign\.milepost\.test/approve/(\S+)", text_of(message)))
        assert f'href="https://sign.milepost.test/approve/{url}"' in html_of(message)
        link = links.look_up(url)
        assert link is not None
        assert (link.person, link.request_id) == (person, request.request_id)
    assert box.envelopes[0].mail_from == "billing@milepost.test"


@pytest.mark.parametrize("kind", ["GRANTED", "DEEMED", "REJECTED", "EXPIRED", "SUPERSEDED"])
async def test_how_it_ended_is_told_without_a_link(local: Engine, box: Mailbox, kind: str) -> None:
    world = world_with(local, box)
    world.owe(made.request(kind=kind))
    await world.deliver()
    (message,) = box.to("ann@client.test")
    assert "assessment of erp-rollout" in message["Subject"]
    assert "/approve/" not in text_of(message) + html_of(message)


@pytest.mark.parametrize("kind", ["REMINDED", "ESCALATED"])
async def test_a_reminder_repeats_the_link_while_it_is_unused(local: Engine, box: Mailbox, kind: str) -> None:
    world = world_with(local, box)
    world.owe(made.request())
    await world.deliver()
    world.owe(made.request(kind=kind, request_id=f"r-{kind}"))
    await world.deliver()
    first, second = ({*re.findall(r"/approve/\S+", text_of(each))} for each in box.to("ann@client.test"))
    assert first == second != set()


@pytest.mark.parametrize("end", ["GRANTED", "DEEMED", "REJECTED", "EXPIRED", "SUPERSEDED"])
@pytest.mark.parametrize("teller", ["ledger", "topic"])
async def test_nobody_is_asked_to_sign_what_is_settled(local: Engine, box: Mailbox, end: str, teller: str) -> None:
    world = world_with(local, box)
    world.owe(made.request(), made.request(kind="REMINDED", request_id="r2"))
    over = made.request(kind=end, request_id="r3", people=() if end == "SUPERSEDED" else ("ann",))
    if teller == "ledger":
        ledger_knows(local, world, over)
    else:
        world.owe(over)
    await world.deliver()
    asked = [message for message in box.received if "sign: " in message["Subject"]]
    assert asked == []
    with local.connect() as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM approval_links").scalar() == 0
    withdrawn = [row for row in world.rows() if row.kind in ("REQUESTED", "REMINDED")]
    assert {(row.state, row.reason) for row in withdrawn} == {("WITHDRAWN", f"not sent: the step was {end} meanwhile")}
    assert len(withdrawn) == 4


async def test_what_was_opened_again_is_asked_again(local: Engine, box: Mailbox) -> None:
    world = world_with(local, box)
    ledger_knows(local, world, made.request(), made.request(kind="GRANTED", request_id="r2"))
    world.owe(made.request(request_id="r3"))
    assert await world.deliver() == 2
    assert len(box.received) == 2


async def test_another_step_or_submission_settles_nothing(local: Engine, box: Mailbox) -> None:
    world = world_with(local, box)
    world.owe(made.request())
    others = ({"step": 2}, {"submission": 2}, {"occurrence_id": "2026-01"}, {"milestone": "build"}, {"engagement": "x"})
    for number, change in enumerate(others):
        world.owe(made.request(kind="GRANTED", request_id=f"r{number}", people=(), **change))
    await world.deliver()
    assert len([message for message in box.received if message["Subject"].startswith("Please sign")]) == 2


async def test_a_taken_back_submission_is_told_to_those_who_were_asked(local: Engine, box: Mailbox) -> None:
    world = world_with(local, box)
    world.owe(made.request(people=("ann",)))
    await world.deliver()
    world.owe(made.request(kind="SUPERSEDED", request_id="r2", people=(), role=""))
    await world.deliver()
    assert [message["Subject"][:22] for message in box.to("ann@client.test")] == [
        "Please sign: assessmen",
        "Nothing to sign any mo",
    ]
    assert box.to("bob@client.test") == []


async def test_a_person_without_an_address_waits_for_one(local: Engine, box: Mailbox) -> None:
    world = world_with(local, box)
    world.owe(made.request(people=("cy",)))
    await world.deliver()
    (row,) = world.rows()
    assert (row.state, row.reason) == ("OWED", "no address of cy; add it: milepost notices people add")
    keep_people(local, [Person("cy", "cy@client.test", "Cy, of the client", world.now)], world.now)
    assert await world.deliver() == 1
    assert box.to("cy@client.test")[0]["To"] == '"Cy, of the client" <cy@client.test>'


async def test_no_link_secret_no_link(local: Engine, box: Mailbox) -> None:
    world = world_with(local, box, link_secret="")
    world.owe(made.request())
    await world.deliver()
    assert "/approve/" not in text_of(box.received[0])


async def test_what_comes_together_is_told_together(local: Engine, box: Mailbox) -> None:
    """Ten thousand bad records are a few e-mails, not ten thousand."""
    world = world_with(local, box, notices_dead_letters_to="ops@x.test", notices_bundle_ms=60_000)
    world.owe(*[made.dead_letter(number) for number in range(1_200)])
    assert await world.deliver() == 0
    world.pass_time(60)
    assert await world.deliver() == 3
    assert [message["Subject"] for message in box.to("ops@x.test")] == [
        "500 dead letters",
        "500 dead letters",
        "200 dead letters",
    ]
    text = text_of(box.received[0])
    assert "UNDECODABLE: 500" in text
    assert text.count("UNDECODABLE from kpi-events[2] offset 41, engagement erp-rollout: a string is not UTF-8") == 50
    assert "and 450 more" in text
    assert {row.state for row in world.rows()} == {"SENT"}


async def test_retention_is_told_with_its_balance(local: Engine, box: Mailbox) -> None:
    world = world_with(local, box, notices_retention_to="cfo@x.test")
    line = made.line()
    world.owe(made.retention(line))
    await world.deliver()
    world.owe(made.retention(line, "RELEASED", 1_234_567_890, 0, retention_event_id="r2", milestone_id=None))
    await world.deliver()
    first, second = box.to("cfo@x.test")
    assert "erp-rollout, milestone assessment: 1,000.00 EUR held, balance 1,000.00 EUR" in text_of(first)
    assert "erp-rollout: 12,345,678.90 EUR released, balance 0.00 EUR" in text_of(second)


async def test_headers_and_html_cannot_be_injected(local: Engine, box: Mailbox) -> None:
    world = world_with(local, box)
    keep_people(local, [Person("eve", "eve@x.test", "Eve\r\nBcc: all@x.test", world.now)], world.now)
    nasty = "x\r\nBcc: all@x.test\r\n\r\n<script>alert(1)</script>\u202e\x1b[2J"
    paper = Evidence(nasty, nasty, 1, "a" * 64, nasty)
    world.owe(made.request(nasty, nasty, people=("eve",), role=nasty, criteria=nasty, evidence=(paper,)))
    await world.deliver()
    (message,) = box.received
    assert box.envelopes[0].rcpt_tos == ["eve@x.test"]
    assert message["Bcc"] is None
    assert len(message.get_all("Subject", [])) == 1
    assert "<script>" not in html_of(message)
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in html_of(message)
    assert not re.search(r"[\x00-\x09\x0b-\x1f\u202e]", message["Subject"] + text_of(message).replace("\r\n", "\n"))


@pytest.mark.parametrize(
    ("answers", "state", "reason"),
    [
        ({"recipients": "450 4.2.0 greylisted, come back"}, "OWED", "450 4.2.0 greylisted, come back"),
        ({"recipients": "550 5.1.1 <ann@client.test> unknown"}, "FAILED", "550 5.1.1 <ann@client.test> unknown"),
        ({"contents": "451 4.3.0 try again"}, "OWED", "451 4.3.0 try again"),
        ({"contents": "554 5.7.1 looks like spam"}, "FAILED", "554 5.7.1 looks like spam"),
        ({"recipients": None}, "OWED", "SMTPServerDisconnected"),
        ({"contents": None}, "OWED", "SMTPServerDisconnected"),
    ],
)
async def test_what_the_server_says_decides(
    local: Engine, box: Mailbox, answers: dict[str, str | None], state: str, reason: str
) -> None:
    world = world_with(local, box)
    for command, answer in answers.items():
        getattr(box, command).append(answer)
    world.owe(made.request(people=("ann",)))
    assert await world.deliver() == 1
    (row,) = world.rows()
    assert (row.state, (row.reason or "").startswith(reason)) == (state, True)
    assert box.received == []
    world.pass_time(6)
    assert await world.deliver() == (1 if state == "OWED" else 0)
    assert len(box.received) == (1 if state == "OWED" else 0)


async def test_greylisting_is_outlasted(local: Engine, box: Mailbox) -> None:
    world = world_with(local, box)
    box.recipients.extend(["451 greylisted"] * 3)
    world.owe(made.request(people=("ann",)))
    for seconds in (0, 5, 300, 1_800):
        world.pass_time(seconds)
        await world.deliver()
    (row,) = world.rows()
    assert [one.outcome for one in attempts_of(local, row.delivery_id)] == ["RETRY", "RETRY", "RETRY", "SENT"]


async def test_an_answer_that_never_arrives_sends_twice_with_one_id(local: Engine, box: Mailbox) -> None:
    """Taken, but the connection broke before the server's word came: at least once, and the reader can tell."""
    world = world_with(local, box)
    box.contents.append(None)
    box.keep_what_is_cut = True
    world.owe(made.request(people=("ann",)))
    await world.deliver()
    world.pass_time(6)
    await world.deliver()
    first, second = box.received
    assert first["Message-ID"] == second["Message-ID"]
    assert world.rows()[0].state == "SENT"


async def test_a_silent_server_is_left(local: Engine, box: Mailbox) -> None:
    world = world_with(local, box, notices_timeout_ms=500)
    box.silent = True
    world.owe(made.request(people=("ann",)))
    assert await world.deliver() == 1
    (row,) = world.rows()
    assert (row.state, row.reason) == ("OWED", "no answer within 0.5 s")
    box.silent = False


async def test_no_server(local: Engine) -> None:
    async with mailbox() as gone:
        pass
    world = world_with(local, gone)
    world.owe(made.request(people=("ann",)))
    await world.deliver()
    (row,) = world.rows()
    assert (row.state, (row.reason or "").partition(":")[0]) == ("OWED", "SMTPConnectError")


@pytest.mark.parametrize("security", ["tls", "starttls"])
@pytest.mark.parametrize(("kind", "arrives"), [("good", True), ("other-host", False), ("self-signed", False)])
async def test_s27_the_way_to_the_server_is_verified(
    local: Engine, certificates: Certificates, security: str, kind: str, arrives: bool
) -> None:
    async with mailbox(**{security: certificates.server(kind)}) as box:
        options = {"smtp_host": "localhost", "smtp_security": security, "smtp_ca_file": certificates.ca_file}
        world = world_with(local, box, **options)
        world.owe(made.request(people=("ann",)))
        await world.deliver()
    assert len(box.received) == arrives
    assert world.rows()[0].state == ("SENT" if arrives else "OWED")
    assert arrives or "ertificate" in (world.rows()[0].reason or "")


async def test_s27_no_falling_back_to_plain(local: Engine, box: Mailbox) -> None:
    world = world_with(local, box, smtp_security="starttls", smtp_user="milepost", smtp_password="hunter2hunter2")
    world.owe(made.request(people=("ann",)))
    await world.deliver()
    assert (world.rows()[0].state, box.received) == ("OWED", [])


async def test_the_server_knows_us(local: Engine, certificates: Certificates) -> None:
    async with mailbox(starttls=certificates.server(), password="hunter2hunter2") as box:
        options = {"smtp_security": "starttls", "smtp_ca_file": certificates.ca_file, "smtp_user": "milepost"}
        wrong = world_with(local, box, smtp_password="wrong", **options)
        wrong.owe(made.request(people=("ann",)))
        await wrong.deliver()
        (row,) = wrong.rows()
        assert (row.state, (row.reason or "")[:3]) == ("OWED", "535")  # an operator can put that right
        right = world_with(local, box, smtp_password="hunter2hunter2", **options)
        right.pass_time(6)
        await right.deliver()
        assert len(box.received) == 1


async def test_a_file_of_authorities_that_is_none() -> None:
    with pytest.raises(OSError, match=r"nowhere|No such file"):
        MailServer("x", 25, "tls", ca_file="/nowhere.pem", timeout_s=1)
    assert MailError("w", "m", final=True).final
