"""The schemas folder says the same thing everywhere: schemas, topics, ids, releases, examples and the core's types."""

import json
import tomllib
import typing
from datetime import date
from pathlib import Path
from typing import Any

import fastavro
import msgspec
import pytest

from milepost.codec import records
from milepost.codec.registry import Registry, installed, schemas_dir
from milepost.codec.shapes import REQUIRED, STRUCTS, RecordShape, Shape, record_shape, struct_fields
from milepost.codec.topics import INPUTS, OUTPUTS, PARTITIONS, PLACES, STATE_TOPIC, TOPIC_OF_RECORD, TOPICS

ROOT = schemas_dir()
CURRENT = sorted(path.stem for path in ROOT.glob("*.avsc"))
EXAMPLES = sorted(ROOT.glob("examples/*/*.json"))


def load(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def shape(record: str) -> RecordShape:
    return record_shape(load(ROOT / f"{record}.avsc"))


def named_types(definition: Any) -> list[dict[str, Any]]:
    """Every record and enum of a schema, nested ones included."""
    if isinstance(definition, list):
        return [found for entry in definition for found in named_types(entry)]
    if not isinstance(definition, dict):
        return []
    here = [definition] if definition["type"] in ("record", "enum") else []
    inner = [field["type"] for field in definition.get("fields", [])]
    inner += [definition[key] for key in ("type", "items", "values") if isinstance(definition.get(key), dict | list)]
    return here + [found for entry in inner for found in named_types(entry)]


def test_there_is_something_to_look_at() -> None:
    assert len(CURRENT) == 14
    assert len(EXAMPLES) >= 2 * len(CURRENT)


def test_no_schema_topic_id_or_example_is_an_orphan() -> None:
    ids = tomllib.loads((ROOT / "ids.toml").read_text())["ids"]
    assert sorted(ids.values()) == sorted(path.name for path in (ROOT / "released").glob("*"))
    assert {name.rpartition("-")[0] for name in ids.values()} == set(CURRENT)
    assert {topic.record for topic in TOPICS.values() if topic.record} == set(CURRENT)
    assert sorted(path.name for path in (ROOT / "examples").iterdir()) == CURRENT
    assert {path.name for path in ROOT.iterdir()} == {
        *(f"{record}.avsc" for record in CURRENT), "ids.toml", "topics.toml", "released", "examples",
        "contract.schema.json",
    }  # fmt: skip


def test_ids_count_from_one_without_gaps() -> None:
    ids = tomllib.loads((ROOT / "ids.toml").read_text())["ids"]
    assert [int(number) for number in ids] == list(range(1, len(ids) + 1))
    assert len(set(ids.values())) == len(ids)


@pytest.mark.parametrize("record", CURRENT)
def test_the_current_schema_is_the_newest_released_one(record: str) -> None:
    assert (ROOT / f"{record}.avsc").read_text() == installed().current(record).text


@pytest.mark.parametrize("record", CURRENT)
def test_a_schema_stands_alone_and_is_valid_avro(record: str) -> None:
    definition = load(ROOT / f"{record}.avsc")
    assert definition["name"] == record
    assert definition["namespace"] == "com.milepost.v1"
    fastavro.parse_schema(definition, expand=False, _write_hint=False)


@pytest.mark.parametrize("record", CURRENT)
def test_every_type_and_field_has_a_doc(record: str) -> None:
    found = named_types(load(ROOT / f"{record}.avsc"))
    assert found
    for definition in found:
        docs = {definition["name"]: definition.get("doc", "")}
        docs |= {
            f"{definition['name']}.{field['name']}": field.get("doc", "") for field in definition.get("fields", [])
        }
        assert [name for name, doc in docs.items() if len(doc.split()) < 3 or not doc.rstrip().endswith(".")] == []


@pytest.mark.parametrize("record", CURRENT)
def test_docs_say_what_null_means_and_which_unit_a_number_has(record: str) -> None:
    for definition in named_types(load(ROOT / f"{record}.avsc")):
        for field in definition.get("fields", []):
            kinds = field["type"] if isinstance(field["type"], list) else [field["type"]]
            doc, name = field["doc"].lower(), f"{definition['name']}.{field['name']}"
            if "null" in kinds:
                assert "null" in doc, f"{name} does not say what null means"
            if any(isinstance(kind, dict) and kind.get("logicalType") == "timestamp-micros" for kind in kinds):
                assert "microseconds" in doc or "1970" in doc, f"{name} does not say its unit"
            if field["name"].endswith("_minor"):
                assert "minor units" in doc or "gross_minor - retained_minor" in doc, f"{name} does not say its unit"


@pytest.mark.parametrize("record", CURRENT)
def test_nullable_fields_default_to_null(record: str) -> None:
    for definition in named_types(load(ROOT / f"{record}.avsc")):
        for field in definition.get("fields", []):
            if isinstance(field["type"], list):
                assert field["type"][0] == "null"
                assert field["default"] is None


# ------------------------------------------------------------------------------------------------- the core's types


def flat(annotation: Any) -> set[Any]:
    """The members of a union, else the type alone."""
    return (
        set(typing.get_args(annotation))
        if typing.get_origin(annotation) not in (tuple, dict)
        and typing.get_args(annotation)
        and typing.get_origin(annotation) is not typing.Literal
        else {annotation}
    )


def python_types(kind: Shape) -> set[Any]:
    """What a shape is in the core."""
    match kind.kind:
        case "null":
            return {type(None)}
        case "string":
            return {str}
        case "int" | "long" | "instant":
            return {int}
        case "date":
            return {date}
        case "map":
            return {dict[str, str]}
        case "enum":
            return {str, typing.Literal[kind.symbols]}
        case "array":
            assert kind.items is not None
            (item,) = python_types(kind.items)
            return {tuple[item, ...]}
        case "record":
            assert kind.record is not None
            return {STRUCTS[kind.record.name]}
        case _:
            return set().union(*(python_types(branch) for branch in kind.branches))


def nested_shapes(of: RecordShape) -> list[RecordShape]:
    inner = [field.shape.items.record for field in of.fields if field.shape.items and field.shape.items.record]
    return [of, *inner]


@pytest.mark.parametrize("record", CURRENT)
def test_core_and_schema_agree_on_names_types_and_nulls(record: str) -> None:
    for each in nested_shapes(shape(record)):
        hints = typing.get_type_hints(STRUCTS[each.name])
        assert {field.name for field in each.fields} == set(struct_fields(each.name))
        for field in each.fields:
            core, wire = flat(hints[field.name]), python_types(field.shape)
            assert core <= wire, f"{each.name}.{field.name}: the core has {core}, the schema {wire}"
            assert (type(None) in core) == (type(None) in wire)


@pytest.mark.parametrize("record", [TOPICS[topic].record for topic in (*INPUTS, "invoice-acknowledgements")])
def test_core_and_schema_agree_on_the_defaults_of_events(record: str) -> None:
    fields = {field.name: field for field in msgspec.structs.fields(STRUCTS[record])}
    for field in shape(record).fields:
        core = fields[field.name]
        if core.default_factory is not msgspec.NODEFAULT:
            assert field.default == core.default_factory()
        elif core.default is msgspec.NODEFAULT:
            assert field.default is REQUIRED
        else:
            assert field.default == ([] if core.default == () else core.default)


def test_every_core_record_has_a_schema() -> None:
    nested = {"Evidence", "Missing", "DeadLetter"}
    assert set(STRUCTS) - nested == set(CURRENT)


# ------------------------------------------------------------------------------------------------------------- topics


def test_inputs_are_eight_and_in_the_order_of_events_md() -> None:
    assert INPUTS == (
        "engagements", "milestone-events", "kpi-events", "regulator-acceptances", "approvals", "usage-events",
        "dispute-events", "clock-ticks",
    )  # fmt: skip
    assert [PLACES[name] for name in INPUTS] == list(range(8))


def test_outputs_are_those_of_events_md() -> None:
    assert set(OUTPUTS) == {
        "invoice-lines", "retention-events", "approval-requests", "milestone-status", "audit-trail", "dead-letters",
    }  # fmt: skip


def test_all_topics_have_the_same_number_of_partitions() -> None:
    assert {topic.partitions for topic in TOPICS.values()} == {PARTITIONS}


def test_topics_are_kept_as_their_readers_need() -> None:
    for name, topic in TOPICS.items():
        assert topic.cleanup_policy == ("compact" if name in ("milestone-status", STATE_TOPIC) else "delete"), name
        assert topic.timestamp_type == ("CreateTime" if topic.direction == "in" else "LogAppendTime"), name
        days = 1 if topic.direction == "internal" else 90 if name == "dead-letters" else None
        assert topic.retention_ms == (days * 24 * 3_600_000 if days else -1), name
        assert topic.producers or topic.direction == "internal", name
        assert topic.consumers or topic.direction == "internal", name
        assert len(topic.why.split()) >= 5, name
        assert topic.config()["cleanup.policy"] == topic.cleanup_policy
    assert set(TOPIC_OF_RECORD) == set(CURRENT)


# ----------------------------------------------------------------------------------------------------------- examples


@pytest.mark.parametrize("record", CURRENT)
def test_each_record_has_two_examples(record: str) -> None:
    assert len(list((ROOT / "examples" / record).glob("*.json"))) >= 2


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_an_example_survives_json_to_avro_to_json(path: Path) -> None:
    topic, stated = TOPIC_OF_RECORD[path.parent.name], load(path)
    if TOPICS[topic].direction == "in":
        event = records.event_from_json(topic, stated)
        encoded = records.encode_event(event)
        answered = records.event_to_json(event)
        assert records.event_from_json(topic, answered) == event
    else:
        output = records.output_from_json(topic, stated)
        encoded = records.encode(output)
        answered = records.output_to_json(output)
        assert records.output_from_json(topic, answered) == output
    again = records.read(topic, encoded)
    assert (records.event_to_json if TOPICS[topic].direction == "in" else records.output_to_json)(again) == answered
    full = not path.stem.endswith("minimal") and path.stem != "midnight-in-berlin"
    if full:  # these are spelt as Milepost spells them
        assert answered == stated
    else:
        assert set(stated) <= set(answered)


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_an_example_event_passes_the_checks(path: Path) -> None:
    from milepost.core.checks import check

    topic = TOPIC_OF_RECORD[path.parent.name]
    if TOPICS[topic].direction == "in":
        assert check(records.event_from_json(topic, load(path))) is None
    else:
        assert records.output_from_json(topic, load(path)) is not None


def test_a_registry_that_contradicts_itself_is_refused(tmp_path: Path) -> None:
    from milepost.codec.registry import RegistryError

    with pytest.raises(RegistryError, match="cannot read the schemas"):
        Registry(tmp_path)
    (tmp_path / "ids.toml").write_text('[ids]\n1 = "nonsense.avsc"\n')
    with pytest.raises(RegistryError, match="Record-VERSION"):
        Registry(tmp_path)
