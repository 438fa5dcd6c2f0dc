"""Which reports of an occurrence are in force, one after another, by the order in which they arrive (rule 7)."""

from milepost.core import money
from milepost.core.engagement import Engagement
from milepost.core.facts import Occurrence, Report

__all__ = ["enter", "terminate"]


def enter(part: Occurrence, report: Report) -> str | None:
    """Put a report in force after those that are; else it is kept aside, and the reason is why it has no effect."""
    last = part.reports[-1] if part.reports else None
    if last is not None and report.at < last.at:
        part.superseded.append(report)
        return "SUPERSEDED"
    lower = last is not None and money.percent(report.completion) < money.percent(last.completion)
    if lower and report.kind == "REPORTED":
        part.lower.append(report)
        return "LOWER_COMPLETION"
    part.reports.append(report)
    return None


def terminate(engagement: Engagement, at: int) -> None:
    """Leave out what is dated after the termination, as if it had never come: what it superseded is in force."""
    for milestone in engagement.agreed.ordered:
        for place in engagement.known(milestone):
            part = engagement.occurrence(place)
            if not part.reports or part.reports[-1].at <= at:
                continue
            part.reports = [report for report in part.reports if report.at <= at]
            aside, part.superseded = part.superseded, []
            for report in aside:
                if report.at <= at:
                    enter(part, report)
            engagement.save_occurrence(place, part)
