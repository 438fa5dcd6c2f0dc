"""Which value is in force (rule 8), on hand-made values."""

from datetime import date

import pytest

from milepost.core.contract import KpiGate
from milepost.core.facts import KpiValue
from milepost.core.rules import kpis

ZONE = "Europe/Berlin"
MAY = {"start": date(2026, 5, 1), "end": date(2026, 5, 31)}
JUNE = {"start": date(2026, 6, 1), "end": date(2026, 6, 30)}


def value(at: int, number: str, source: str = "a", revision: int = 1, final: bool = True, **period: date) -> KpiValue:
    return KpiValue(at, source, number, revision, final, f"{source}/{at}", **period)


def in_force(values: list[KpiValue], **gate: object) -> list[tuple[int, str | None]]:
    forces = kpis.in_force(KpiGate("k", **gate), values, ZONE, 10**18)  # type: ignore[arg-type]
    return [(since, found.value if found else None) for since, found in forces]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        pytest.param([value(1, "5"), value(3, "7")], [(1, "5"), (3, "7")], id="readings by observed_at"),
        pytest.param([value(3, "7"), value(1, "5")], [(1, "5"), (3, "7")], id="in whatever order they arrive"),
        pytest.param([value(1, "5"), value(1, "6", revision=2)], [(1, "6")], id="a reading is revised from the start"),
        pytest.param(
            [value(1, "5", **MAY), value(4, "6", revision=2, **MAY)],
            [(1, "5"), (4, "6")],
            id="a period's revision holds from its own time",
        ),
        pytest.param(
            [value(1, "5", revision=2, **MAY), value(4, "6", **MAY)], [(1, "5")], id="the highest revision wins"
        ),
        pytest.param(
            [value(1, "5", final=False, **MAY), value(4, "6", **MAY)], [(1, "5"), (4, "6")], id="final over provisional"
        ),
        pytest.param(
            [value(1, "5", **JUNE), value(4, "6", **MAY)], [(1, "5")], id="the latest period, not the last observed"
        ),
        pytest.param(
            [value(1, "5", "a", **MAY), value(2, "6", "b", **MAY)], [(1, "5"), (2, None)], id="sources that disagree"
        ),
        pytest.param([value(1, "5.0", "a", **MAY), value(2, "5", "b", **MAY)], [(1, "5.0")], id="sources that agree"),
    ],
)
def test_in_force(values: list[KpiValue], expected: list[tuple[int, str | None]]) -> None:
    assert in_force(values) == expected


def test_what_a_gate_does_not_admit_is_left_out_first() -> None:
    values = [value(1, "5", "a", **MAY), value(2, "6", "b", **MAY), value(3, "7", "b", final=False, **JUNE)]
    assert in_force(values, sources=("b",), status="final") == [(2, "6")]
    assert in_force(values, period_from=date(2026, 5, 1), period_to=date(2026, 5, 31), sources=("a",)) == [(1, "5")]
    assert in_force(values, period_from=date(2026, 5, 2)) == [(3, "7")]
    assert in_force([*values, value(4, "8")], period_from=date(1970, 1, 1)) == [(1, "5"), (2, None), (3, "7")]
    assert in_force(values, unit="percent") == []


def test_bounds_are_exact() -> None:
    gate = KpiGate("k", at_least="99.9", below="100")
    assert not kpis.satisfies(gate, value(1, "99.8999999999999999999999999999999999"))
    assert kpis.satisfies(gate, value(1, "99.9"))
    assert not kpis.satisfies(gate, value(1, "100"))
