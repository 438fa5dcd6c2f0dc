"""Metrics keep to Prometheus' naming rules and are served over HTTP."""

import re
from collections.abc import Iterator
from urllib.request import urlopen

import pytest
from prometheus_client import Metric

from milepost.observe import metrics
from milepost.observe.exposition import Exposition, expose


@pytest.fixture(scope="module")
def families() -> list[Metric]:
    found = list(metrics.REGISTRY.collect())
    assert len(found) >= 8
    return found


def test_every_metric_has_a_name_and_a_sentence(families: list[Metric]) -> None:
    for family in families:
        assert re.fullmatch(r"milepost(_[a-z]+)+", family.name)
        assert family.documentation.endswith("."), family.name
        assert not re.search(r"_(ms|millis|kb|mb|percent|minutes|hours)(_|$)", family.name), "base units only"


def test_every_metric_is_a_public_constant(families: list[Metric]) -> None:
    """A metric defined anywhere else would not be in `__all__`, and dashboards could not be checked against it."""
    constants = [getattr(metrics, name) for name in metrics.__all__]
    described = {
        family.name for constant in constants if hasattr(constant, "describe") for family in constant.describe()
    }
    assert described == {family.name for family in families}


def test_labels_are_bounded() -> None:
    constants = [getattr(metrics, name) for name in metrics.__all__]
    labels = {label for constant in constants for label in getattr(constant, "_labelnames", ())}
    assert labels <= {
        "topic", "reason", "outcome", "kind", "state", "route", "status", "adapter", "channel", "currency", "gate",
        "difference",
    }  # fmt: skip
    assert labels >= {"topic", "outcome"}


@pytest.fixture
def exposition() -> Iterator[Exposition]:
    running = expose("127.0.0.1", 0)
    yield running
    running.stop()


def scrape(exposition: Exposition) -> str:
    with urlopen(f"http://127.0.0.1:{exposition.port}/metrics", timeout=5) as answer:
        text: str = answer.read().decode()
    return text


def test_metrics_are_served(exposition: Exposition) -> None:
    metrics.announce(inputs=["test-topic"], outputs=["test-output"], ledger=["test-output"])
    before = scrape(exposition)
    assert 'milepost_join_events_in_total{topic="test-topic"} 0.0' in before
    assert 'milepost_join_transactions_total{outcome="fenced"}' in before  # there before the first one happens
    assert "# HELP milepost_join_batch_seconds Time from a polled batch" in before
    metrics.EVENTS_IN.labels("test-topic").inc(3)
    metrics.BATCH_SECONDS.observe(0.004)
    after = scrape(exposition)
    assert 'milepost_join_events_in_total{topic="test-topic"} 3.0' in after
    assert _observed(after) == _observed(before) + 1


def _observed(text: str) -> float:
    (line,) = [line for line in text.splitlines() if line.startswith('milepost_join_batch_seconds_bucket{le="0.005"}')]
    return float(line.rpartition(" ")[2])


def test_a_stopped_exposition_frees_its_port() -> None:
    first = expose("127.0.0.1", 0)
    with pytest.raises(OSError, match="in use"):
        expose("127.0.0.1", first.port)
    first.stop()
    second = expose("127.0.0.1", first.port)
    second.stop()
    assert second.port == first.port
