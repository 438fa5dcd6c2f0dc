"""Lines against what the ERP acknowledged: the last acknowledgement of a line counts, and all of them are looked at.

- rejected     the ERP refused a line, and nothing newer takes that back
- twice        the ERP took a line into two documents: it is invoiced twice
- unnumbered   the ERP took a line, and does not say into which document
- elsewhere    the ERP acknowledged the line of another engagement
- contradicted one event id, two statements
- unknown      the ERP acknowledged a line that was never raised
- unanswered   the ERP has not said anything about a line for longer than the grace
"""

from collections import defaultdict
from collections.abc import Iterator

from milepost.core.events import InvoiceAcknowledgement
from milepost.core.outputs import InvoiceLine
from milepost.operations.reconcile import Difference, Reconciliation
from milepost.sql.engine import Engine
from milepost.sql.reading import LedgerReading

__all__ = ["compare_erp"]

_TOPIC = "invoice-acknowledgements"


def compare_erp(engine: Engine, now: int, grace: int, found: Reconciliation) -> None:
    """Every line against the acknowledgements of it; `now` and `grace` in microseconds.

    An ERP that never acknowledged anything is not connected: nothing is unanswered then. Raises `UnavailableError`.
    """
    ledger = LedgerReading(engine)
    answers: dict[str, list[InvoiceAcknowledgement]] = defaultdict(list)
    known: dict[tuple[str, str], InvoiceAcknowledgement] = {}
    for answer in ledger.acknowledgements():
        found.acknowledgements += 1
        first = known.setdefault((answer.source, answer.event_id), answer)
        if first != answer:
            message = f"event {answer.source}/{answer.event_id} was sent with other contents before; the first counts"
            found.differences.append(_said(answer, "contradicted", message))
        elif first is answer:
            answers[answer.line_id].append(answer)
    for engagement in ledger.engagements():
        for line in ledger.lines(engagement):
            answered = answers.pop(line.line_id, [])
            found.differences.extend(_judged(line, answered, found))
            if not answered and found.acknowledgements and now - line.accepted_at > grace:
                found.differences.append(_of_line(line, "unanswered", "the ERP has said nothing about it"))
    for answer in (max(some, key=lambda one: one.occurred_at) for some in answers.values()):
        words = f"the ERP {answer.status.lower()} a line that was never raised"
        found.differences.append(_said(answer, "unknown", f"{words} (event {answer.source}/{answer.event_id})"))


def _judged(line: InvoiceLine, answered: list[InvoiceAcknowledgement], found: Reconciliation) -> Iterator[Difference]:
    own = []
    for answer in answered:
        if answer.engagement_id == line.engagement_id:
            own.append(answer)
        else:
            message = f"it is a line of {line.engagement_id} (event {answer.source}/{answer.event_id})"
            yield _said(answer, "elsewhere", message)
    if not own:
        return
    newest = max(reversed(own), key=lambda one: one.occurred_at)  # of one instant, what came last
    if newest.status != "ACCEPTED":
        yield _of_line(line, "rejected", f"the ERP rejected it: {newest.reason or 'no reason given'}")
        return
    group = (line.engagement_id, line.currency, line.currency_exponent)
    found.add_up(group).accepted_minor += line.payable_minor
    since = max((one.occurred_at for one in own if one.status != "ACCEPTED"), default=None)
    standing = [one for one in own if one.status == "ACCEPTED" and (since is None or one.occurred_at > since)]
    numbers = sorted({one.document_number for one in standing if one.document_number})
    if len(numbers) > 1:
        yield _of_line(line, "twice", f"the ERP took it into {len(numbers)} documents: {', '.join(numbers)}")
    if not numbers:
        yield _of_line(line, "unnumbered", "the ERP accepted it and does not say in which document")


def _of_line(line: InvoiceLine, kind: str, message: str) -> Difference:
    return Difference(kind, "invoice-lines", line.engagement_id, line.line_id, message)


def _said(answer: InvoiceAcknowledgement, kind: str, message: str) -> Difference:
    return Difference(kind, _TOPIC, answer.engagement_id, answer.line_id, message)
