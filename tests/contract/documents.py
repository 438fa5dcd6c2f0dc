"""Random documents for the properties: good contracts as plain values, and ways to spoil them."""

import copy
from datetime import date
from typing import Any

from hypothesis import strategies as st

__all__ = ["good_documents", "json_values", "spoiled_documents"]

NAMES = st.text("abcdefghijklmnopqrstuvwxyz_-", min_size=1, max_size=8)
TEXTS = st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs")), min_size=1, max_size=30).filter(
    str.strip
)
DAYS = st.dates(date(1970, 1, 1), date(2199, 12, 31)).map(date.isoformat)
DECIMALS = st.decimals(-1000, 1000, places=3, allow_nan=False).map(
    lambda number: format(number, "f").replace("-0.000", "0")
)
AMOUNTS = st.integers(0, 10**9).map(lambda minor: f"{minor // 100}.{minor % 100:02}")
PERCENTAGES = st.integers(1, 10000).map(lambda share: f"{share // 100}.{share % 100:02}")
METADATA = st.dictionaries(NAMES, st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs"))), max_size=3)


def optional(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({}, optional=fields)


KPIS = st.builds(
    lambda id_, rest: {"kpi": {"id": id_} | rest},
    NAMES,
    optional(
        at_least=DECIMALS,
        below=DECIMALS,
        status=st.sampled_from(["any", "provisional", "final"]),
        sources=st.lists(NAMES, min_size=1, max_size=2, unique=True),
        unit=NAMES,
        period=st.just({"from": "2026-01-01", "to": "2026-12-31"}),
    ),
)
SIMPLE_GATES = st.one_of(
    st.just("completed"),
    st.builds(lambda names: {"evidence": names}, st.lists(NAMES, min_size=1, max_size=3, unique=True)),
    st.builds(lambda day: {"date": day}, DAYS),
    st.builds(lambda by, filing: {"regulator": {"by": [by], "filing": filing, "at_least": "validated"}}, NAMES, NAMES),
    KPIS,
)
GATES = st.recursive(
    SIMPLE_GATES,
    lambda inner: st.builds(
        lambda kind, gates: {kind: gates},
        st.sampled_from(["any_of", "all_of"]),
        st.lists(inner, min_size=1, max_size=3),
    ),
    max_leaves=4,
)
DURATIONS = st.one_of(
    st.sampled_from(["P10D", "P2W", "P6M", "P1Y", "P1Y2M3D", "PT24H", "PT90M", "PT1H30M"]),
    st.integers(1, 99).map(lambda days: {"business_days": days}),
)
MOMENTS = st.recursive(
    st.one_of(
        st.just("signoff"),
        st.builds(lambda length: {"signoff": length}, DURATIONS),
        st.builds(lambda day: {"date": day}, DAYS),
    ),
    lambda inner: st.builds(
        lambda kind, moments: {kind: moments},
        st.sampled_from(["later_of", "earlier_of"]),
        st.lists(inner, min_size=1, max_size=3),
    ),
    max_leaves=4,
)
CARDS = st.one_of(
    st.builds(lambda share: {"percent_of_charge": share, "pays_after": "P30D"}, PERCENTAGES),
    st.builds(
        lambda prices, rest: {"procedures": prices, "otherwise": rest},
        st.dictionaries(NAMES, AMOUNTS, max_size=2),
        st.one_of(st.just("refuse"), AMOUNTS),
    ),
)
RATES = st.builds(lambda price, unit: {"price": price, "unit": unit}, AMOUNTS, st.sampled_from(["HUR", "MIN"]))
HOURS = st.builds(
    lambda rates, rest: {"bill": "monthly", "rates": rates} | rest,
    st.dictionaries(NAMES, RATES, min_size=1, max_size=3),
    optional(not_to_exceed=AMOUNTS),
)
SUCCESS = st.builds(
    lambda kpi, rates, rest: {"success": {"kpi": {"id": kpi}} | rates | rest},
    NAMES,
    st.one_of(
        st.builds(lambda share: {"rate": share}, PERCENTAGES),
        st.builds(
            lambda share, bounds: {
                "tiers": [*({"rate": share, "up_to": str(bound)} for bound in bounds), {"rate": "1"}]
            },
            PERCENTAGES,
            st.lists(st.integers(1, 10**6), max_size=3, unique=True).map(sorted),
        ),
    ),
    optional(
        baseline=DECIMALS, mode=st.sampled_from(["marginal", "slab"]), floor=AMOUNTS, cap=AMOUNTS, to_date=st.booleans()
    ),
)
CLAWBACK = st.builds(
    lambda kpi, window, share: {"when": kpi, "share": share} | window,
    KPIS,
    st.sampled_from([{"within": "P6M", "basis": "linear"}, {"within": "P90D"}, {"within": "P1Y", "basis": "flat"}]),
    PERCENTAGES,
)
TIMEOUTS = st.recursive(
    st.sampled_from([{}, {"within": "P2D"}, {"within": "P2D", "on_timeout": "accept", "grace": "PT4H"}]),
    lambda inner: st.builds(lambda rest: {"within": "PT24H", "rest": rest}, inner),
    max_leaves=3,
)


def deadline(plan: dict[str, Any], role: str) -> dict[str, Any]:
    """What a step holds beside its role: escalations nest inside `on_timeout`."""
    if "rest" not in plan:
        return dict(plan)
    inner = deadline(plan["rest"], role)
    inner.pop("grace", None)
    return {"within": plan["within"], "on_timeout": {"escalate_to": role} | inner}


RETENTION = st.builds(
    lambda rest, rate: {"rate": rate} | rest,
    optional(
        cap=st.one_of(
            st.builds(lambda amount: {"amount": amount}, AMOUNTS),
            st.builds(lambda share: {"percent_of_value": share, "basis": "revised"}, PERCENTAGES),
        ),
        exempt=st.lists(st.sampled_from(["milestones", "success_fees", "time_and_materials"]), max_size=3),
        release=st.sampled_from(
            [
                [{"when": "signoff"}],
                [{"id": "a", "share": "60", "when": "signoff"}, {"share": "40.00", "when": {"signoff": "P12M"}}],
            ]
        )
        | st.builds(lambda moment: [{"when": moment}], MOMENTS),
        step_down=st.just([{"from_percent_billed": "50", "rate": "5"}, {"from_percent_billed": "90.5", "rate": "0"}]),
    ),
    PERCENTAGES,
)


@st.composite
def milestones(draw: st.DrawFn, policies: list[str]) -> list[dict[str, Any]]:
    names = draw(st.lists(NAMES, min_size=1, max_size=5, unique=True))
    made: list[dict[str, Any]] = []
    for name in names:
        fee = draw(
            st.one_of(
                AMOUNTS.map(lambda it: {"fixed": it}),
                PERCENTAGES.map(lambda it: {"percent_of_value": it}),
                st.just({"rate_card": "payers"}),
                SUCCESS,
            )
        )
        milestone = {
            "id": name,
            "fee": fee,
            "requires": draw(st.lists(GATES, min_size=1, max_size=3)),
            "approval": draw(st.sampled_from(["none", *policies])),
        }
        milestone |= draw(
            optional(
                name=TEXTS,
                criteria=TEXTS,
                partial=st.sampled_from(["any", ["100"], ["33.3", "60", "100.00"]]),
                planned_on=DAYS,
                optional=st.booleans(),
                retention=st.just("none"),
                repeats=st.just("none"),
                metadata=METADATA,
                item=optional(id=NAMES, tax_category=NAMES, unit_code=st.sampled_from(["LS", "C62", "MON"])),
                bill_on=st.sampled_from(["next_invoice", "immediately"]),
                clawback=CLAWBACK,
            )
        )
        if not any("depends_on" in earlier for earlier in made) and draw(st.booleans()):
            milestone["repeats"] = draw(st.sampled_from(["monthly", "per_filing", "per_occurrence"]))
        elif any(earlier.get("repeats", "none") == "none" for earlier in made) and draw(st.booleans()):
            once = [earlier["id"] for earlier in made if earlier.get("repeats", "none") == "none"]
            earlier = st.sampled_from(once)
            needs = st.builds(lambda it, share: {"milestone": it, "at_least": share}, earlier, PERCENTAGES)
            milestone["depends_on"] = draw(st.lists(st.one_of(earlier, needs, KPIS), min_size=1, max_size=2))
        made.append(milestone)
    return made


@st.composite
def good_documents(draw: st.DrawFn) -> dict[str, Any]:
    roles = draw(st.lists(NAMES, min_size=1, max_size=3, unique=True))
    people = {role: [f"{role}-1", {"id": f"{role}-2", "from": "2026-01-01"}] for role in roles}
    policies = {
        name: {
            "order": draw(st.sampled_from(["parallel", "sequential"])),
            "distinct": draw(st.booleans()),
            "steps": [
                {"role": role, "quorum": draw(st.integers(1, 2))}
                | deadline(draw(TIMEOUTS), draw(st.sampled_from(roles)))
                | draw(optional(evidence=st.just(["photo"]), remind_every=DURATIONS, amount_at_least=AMOUNTS))
                for role in roles
            ],
        }
        for name in draw(st.lists(NAMES.filter(lambda name: name != "none"), max_size=2, unique=True))
    }
    document = {
        "milepost": 1,
        "engagement": draw(st.text("abzXYZ019._:-", min_size=1, max_size=128)),
        "version": draw(st.integers(1, 2**31 - 1)),
        "customer": {"id": draw(NAMES)} | draw(optional(name=TEXTS, metadata=METADATA)),
        "currency": draw(st.sampled_from(["EUR", "USD", "KWD"])),
        "value": draw(AMOUNTS),
        "timezone": draw(st.sampled_from(["UTC", "Europe/Berlin", "America/New_York", "Pacific/Apia"])),
        "calendar": draw(st.sampled_from(["DE", "US-NY"])),
        "effective_from": draw(DAYS.filter(lambda day: day < "2100")),
        "people": people,
        "approvals": policies,
        "milestones": draw(milestones(list(policies))),
        "rate_cards": {"payers": draw(st.dictionaries(NAMES, CARDS, min_size=1, max_size=2))},
    }
    return document | draw(
        optional(
            supplier=optional(id=NAMES, name=TEXTS),
            purchase_order=NAMES,
            buyer_reference=NAMES,
            rounding=st.sampled_from(["half_up", "half_even"]),
            bill_on=st.sampled_from(["next_invoice", "immediately"]),
            sides=st.just({"supplier": roles[:1], "customer": roles[-1:]}),
            amendments=st.sampled_from(["none", *policies]).map(lambda name: {"approval": name}),
            signoff=st.sampled_from(["none", *policies]).map(lambda name: {"approval": name}),
            amendment=st.builds(
                lambda mode, day: {"mode": mode, "from": day},
                st.sampled_from(["prospective", "catch_up", "separate"]),
                DAYS,
            ),
            time_and_materials=HOURS,
            retention=RETENTION,
            metadata=METADATA,
        )
    )


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The paths of all values inside `value`."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [found for key, item in items for found in ((*path, key), *places(item, (*path, key)))]


@st.composite
def spoiled_documents(draw: st.DrawFn) -> dict[str, Any]:
    """A good document in which up to three values were replaced, removed, or put under another key."""
    document = copy.deepcopy(draw(good_documents()))
    for _ in range(draw(st.integers(1, 3))):
        found = places(document)
        if not found:
            break
        *way, last = draw(st.sampled_from(found))
        holder = document
        for key in way:
            holder = holder[key]
        what = draw(st.sampled_from(["replace", "remove", "rename", "wrap"]))
        if what == "replace":
            holder[last] = draw(json_values)
        elif what == "wrap":
            holder[last] = draw(st.sampled_from([[holder[last]], {"kpi": holder[last]}]))
        else:
            value = holder.pop(last)
            if what == "rename" and isinstance(holder, dict):
                holder[draw(st.text(max_size=6))] = value
    return document
