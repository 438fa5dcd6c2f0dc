"""A contract as a picture: milestones with their money and gates, and what waits for what; as text and as mermaid."""

from typing import NamedTuple

from milepost.contract.show import money_text, worth_text
from milepost.contract.wording import gate as gate_text
from milepost.contract.wording import moment
from milepost.core.contract import Contract, Milestone, MilestoneGate
from milepost.core.gates import leaves

__all__ = ["Arrow", "Box", "Picture", "as_mermaid", "as_text", "draw"]


class Box(NamedTuple):
    """A milestone (or what else bills or pays out): its money, and what has to hold; `layer` counts from 0."""

    key: str
    title: str
    money: str
    conditions: tuple[str, ...]
    layer: int


class Arrow(NamedTuple):
    """`target` waits for `source`; the label is empty where it is simply accepted."""

    source: str
    target: str
    label: str


class Picture(NamedTuple):
    """Boxes in the contract's order, arrows in the order of their targets."""

    title: str
    boxes: tuple[Box, ...]
    arrows: tuple[Arrow, ...]


def draw(contract: Contract) -> Picture:
    """The boxes and arrows of a contract that was read without an error."""
    needs = {milestone.id: _dependencies(milestone) for milestone in contract.milestones}
    layers: dict[str, int] = {}
    waiting = list(needs)
    while waiting:
        # lint has refused cycles: each round finds one
        name = next(one for one in waiting if all(arrow.source in layers for arrow in needs[one]))
        layers[name] = max((layers[arrow.source] + 1 for arrow in needs[name]), default=0)
        waiting.remove(name)
    boxes = [_box(contract, milestone, layers[milestone.id]) for milestone in contract.milestones]
    arrows = [arrow for found in needs.values() for arrow in found]
    last = max(layers.values(), default=-1) + 1
    if contract.time_and_materials is not None:
        boxes.append(_time_and_materials(contract))
    if contract.retention is not None:
        rules = tuple(f"{rule.id}: {rule.share} % {moment(rule.when)}" for rule in contract.retention.release)
        boxes.append(Box("@retention", "Retention", f"{contract.retention.rate} % withheld", rules, last))
    title = f"{contract.engagement}, version {contract.version}, {contract.currency}"
    return Picture(title, tuple(boxes), tuple(arrows))


def _box(contract: Contract, milestone: Milestone, layer: int) -> Box:
    conditions = [gate_text(gate) for gate in milestone.requires]
    conditions += [gate_text(gate) for gate in milestone.depends_on if not isinstance(gate, MilestoneGate)]
    if milestone.approval:
        conditions.append(f"signed: {milestone.approval}")
    if milestone.repeats != "none":
        conditions.append(f"repeats {milestone.repeats.replace('_', ' ')}")
    title = milestone.id if milestone.name == milestone.id else f"{milestone.id}: {milestone.name}"
    return Box(milestone.id, title, worth_text(contract, milestone), tuple(conditions), layer)


def _time_and_materials(contract: Contract) -> Box:
    terms = contract.time_and_materials
    assert terms is not None
    rates = tuple(f"{name}: {rate.price} {contract.currency} per {rate.unit}" for name, rate in terms.rates.items())
    limit = terms.not_to_exceed_minor
    most = "" if limit is None else f", at most {money_text(contract, limit)}"
    return Box("@time", "Time and materials", f"monthly{most}", rates, 0)


def _dependencies(milestone: Milestone) -> list[Arrow]:
    found: dict[str, str] = {}
    for gate in leaves((*milestone.requires, *milestone.depends_on)):
        if isinstance(gate, MilestoneGate):
            found.setdefault(gate.milestone, "" if gate.at_least == "100" else f"at least {gate.at_least} %")
    return [Arrow(source, milestone.id, label) for source, label in found.items()]


def as_text(picture: Picture) -> str:
    """For a terminal: a block a box, in the order in which they can bill."""
    lines = [picture.title]
    for box in sorted(picture.boxes, key=lambda box: box.layer):
        lines += ["", f"{'  ' * box.layer}[{box.title}]  {box.money}"]
        indent = "  " * box.layer + "   "
        lines += [f"{indent}- {condition}" for condition in box.conditions]
        for arrow in picture.arrows:
            if arrow.target == box.key:
                lines.append(f"{indent}<- {arrow.source}{', ' + arrow.label if arrow.label else ''}")
    return "\n".join(lines) + "\n"


def as_mermaid(picture: Picture) -> str:
    """A mermaid flowchart, for pages that draw them."""
    names = {box.key: f"n{place}" for place, box in enumerate(picture.boxes)}
    lines = ["flowchart LR"]
    for box in picture.boxes:
        text = "<br/>".join(map(_mermaid, (f"<b>{_mermaid(box.title)}</b>", box.money, *box.conditions)))
        lines.append(f'  {names[box.key]}["{text}"]')
    for arrow in picture.arrows:
        label = f'|"{_mermaid(arrow.label)}"|' if arrow.label else ""
        lines.append(f"  {names[arrow.source]} -->{label} {names[arrow.target]}")
    return "\n".join(lines) + "\n"


def _mermaid(text: str) -> str:
    """Without what would end a label or begin a tag; `<b>` is made before."""
    if text.startswith("<b>"):
        return text
    return text.replace("&", "&amp;").replace('"', "&quot;").replace("<", "&lt;").replace(">", "&gt;")
