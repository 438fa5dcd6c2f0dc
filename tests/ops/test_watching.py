"""Rules, alerts and dashboards: valid, about metrics that exist, each alert with a test and a way out.

And alive: a real Prometheus scrapes the running pipeline.
"""

import asyncio
import json
import re
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode
from urllib.request import urlopen

import promql_parser
import pytest
from prometheus_client.metrics_core import Metric
from ruamel.yaml import YAML

from milepost.core.outputs import InvoiceLine
from milepost.demo import play
from milepost.demo.examples import alone, examples_dir, read_examples
from milepost.demo.pipeline import Pipeline
from milepost.observe import metrics
from milepost.observe.exposition import expose
from milepost.settings import Settings
from tests.brokers import free_ports
from tests.demo.conftest import settings_for

__all__ = ["settings_for"]

ROOT = Path(__file__).parents[2]
PROMETHEUS = ROOT / "ops/prometheus"
DASHBOARDS = sorted((ROOT / "ops/grafana/dashboards").glob("*.json"))
UNIT_TESTS = [PROMETHEUS / "alerts_test.yml", PROMETHEUS / "slow_alerts_test.yml"]
_SUFFIXES = ("_total", "_bucket", "_sum", "_count", "_created")
# What Prometheus itself says of a target.
ITS_OWN = {"up"}


def load(path: Path) -> Any:
    return YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8"))


def rules(name: str) -> list[dict[str, Any]]:
    return [rule for group in load(PROMETHEUS / name)["groups"] for rule in group["rules"]]


RECORDED = {rule["record"]: rule["expr"] for rule in rules("rules.yml")}
ALERTS = {rule["alert"]: rule for rule in rules("alerts.yml")}


def panels() -> Iterator[tuple[str, str]]:
    for path in DASHBOARDS:
        for panel in json.loads(path.read_text(encoding="utf-8"))["panels"]:
            for target in panel["targets"]:
                yield f"{path.stem}: {panel['title']}", target["expr"]


QUERIES = [
    *panels(),
    *RECORDED.items(),
    *((name, rule["expr"]) for name, rule in ALERTS.items()),
]


def series_of(families: list[Metric]) -> set[str]:
    """Every name that a scrape of our metrics can have."""
    names = set()
    for family in families:
        names |= {family.name} | {family.name + suffix for suffix in _SUFFIXES}
    return names


def named(query: str) -> set[str]:
    """The metrics that a query reads, once it is parsed."""
    promql_parser.parse(query)
    bare = re.sub(r'"[^"]*"|\{[^}]*\}|\[[^]]*\]|\b(by|without|on)\s*\([^)]*\)', " ", query)
    return set(re.findall(r"\b[a-z_]+(?::[a-z0-9_]+)+|\bmilepost_[a-z_]+|\bup\b", bare))


@pytest.mark.parametrize(("where", "query"), QUERIES, ids=[where for where, _ in QUERIES])
def test_every_query_reads_metrics_that_exist(where: str, query: str) -> None:
    known = series_of(list(metrics.REGISTRY.collect())) | set(RECORDED) | ITS_OWN
    found = named(query)
    assert found, where
    assert found <= known, f"{where} reads {sorted(found - known)}, which nothing exposes"


def test_a_query_about_something_else_would_be_seen() -> None:
    known = series_of(list(metrics.REGISTRY.collect())) | set(RECORDED)
    assert named("sum(rate(milepost_join_event_in_total[5m]))") - known == {"milepost_join_event_in_total"}
    with pytest.raises(ValueError, match="unclosed"):
        named("sum(rate(")


def test_labels_in_queries_are_those_of_the_metrics() -> None:
    known = {"instance", "job", "process", "le", "outcome", "topic"}
    known |= {name for constant in vars(metrics).values() for name in getattr(constant, "_labelnames", ())}
    looked = 0
    for where, query in QUERIES:
        for labels in re.findall(r"\{([^}]*)\}", query):
            for label in re.findall(r"(\w+)\s*=~?", labels):
                looked += 1
                assert label in known, f"{where}: {label}"
    assert looked > 15


@pytest.mark.prometheus
@pytest.mark.parametrize(
    "arguments",
    [
        ["check", "config", "prometheus.yml"],
        ["check", "rules", "rules.yml", "alerts.yml"],
        ["test", "rules", *(path.name for path in UNIT_TESTS)],
    ],
    ids=["config", "rules", "unit tests"],
)
def test_promtool_agrees(arguments: list[str]) -> None:
    found = subprocess.run(["promtool", *arguments], cwd=PROMETHEUS, capture_output=True, text=True, timeout=120)
    assert found.returncode == 0, found.stdout + found.stderr
    assert "SUCCESS" in found.stdout


def test_every_alert_fires_in_a_test_and_has_a_section_in_the_runbook() -> None:
    tested = [test["alert_rule_test"][0] for path in UNIT_TESTS for test in load(path)["tests"]]
    fires = {one["alertname"] for one in tested if one["exp_alerts"]}
    silent = {one["alertname"] for one in tested if not one["exp_alerts"]}
    runbook = (ROOT / "ops/RUNBOOK.md").read_text(encoding="utf-8")
    sections = set(re.findall(r"^## (\w+)$", runbook, re.MULTILINE))
    assert set(ALERTS) == fires == silent == sections
    for name, rule in ALERTS.items():
        assert rule["annotations"]["runbook"] == f"ops/RUNBOOK.md#{name.lower()}"
        assert rule["labels"]["severity"] in ("page", "ticket", "inform")


def test_dashboards_are_provisioned_from_their_folder_and_their_source() -> None:
    provider = load(ROOT / "ops/grafana/provisioning/dashboards/milepost.yml")["providers"][0]
    source = load(ROOT / "ops/grafana/provisioning/datasources/prometheus.yml")["datasources"][0]
    assert provider["options"]["path"] == "/var/lib/grafana/dashboards"
    assert len(DASHBOARDS) == 3
    for path in DASHBOARDS:
        dashboard = json.loads(path.read_text(encoding="utf-8"))
        assert dashboard["uid"] == f"milepost-{path.stem}"
        assert len({panel["id"] for panel in dashboard["panels"]}) == len(dashboard["panels"]) >= 8
        assert {panel["datasource"]["uid"] for panel in dashboard["panels"]} == {source["uid"]}
        assert all(panel["description"].endswith(".") for panel in dashboard["panels"])


@pytest.mark.prometheus
def test_a_real_prometheus_scrapes_the_running_pipeline(
    embedded_broker: str, settings_for: Callable[[str], Settings], tmp_path: Path
) -> None:
    chosen = settings_for(embedded_broker).model_copy(update={"gauges_interval_s": 1})
    play.apply_topics(chosen)
    exposition, port = expose("127.0.0.1", 0), free_ports(1)
    config = load(PROMETHEUS / "prometheus.yml")
    config["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
    config["rule_files"] = [str(PROMETHEUS / name) for name in config["rule_files"]]
    config["scrape_configs"][0]["static_configs"] = [{"targets": [f"127.0.0.1:{exposition.port}"]}]
    del config["alerting"]
    (tmp_path / "prometheus.yml").write_text(json.dumps(config))
    command = ["prometheus", f"--config.file={tmp_path}/prometheus.yml", f"--storage.tsdb.path={tmp_path}/data"]
    command += [f"--web.listen-address=127.0.0.1:{port}", "--log.level=error"]
    with (tmp_path / "log").open("w") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        asyncio.run(_watched(chosen, f"http://127.0.0.1:{port}", exposition.port))
    finally:
        process.terminate()
        process.wait(30)
        exposition.stop()


async def _watched(chosen: Settings, prometheus: str, port: int) -> None:
    example = next(one for one in read_examples(examples_dir()) if not alone(one))
    async with Pipeline(chosen) as pipeline:
        found = await play.play(chosen, pipeline, [example], lambda count: None)
        assert await pipeline.stored(lambda: True)
        lines: list[InvoiceLine] = list(found.picture.lines)
        assert len({line.currency for line in lines}) == 1
        billed = sum(line.gross_minor for line in lines) / 10 ** lines[0].currency_exponent
        wanted = {
            'currency_kind:milepost_ledger_money_amount:max{kind="billed"}': billed,
            "sum(topic:milepost_join_lag_records:sum)": 0.0,
            "sum(milepost_join_conservation_violations_total)": 0.0,
            'up{job="milepost"}': 1.0,
        }
        until = time.monotonic() + 90
        while (seen := {query: await asyncio.to_thread(_ask, prometheus, query) for query in wanted}) != wanted:
            assert time.monotonic() < until, seen
            await asyncio.sleep(0.5)
        with await asyncio.to_thread(urlopen, f"http://127.0.0.1:{port}/ready") as answer:
            assert answer.read() == b"ready\n"


def _ask(prometheus: str, query: str) -> float | None:
    try:
        address = f"{prometheus}/api/v1/query?{urlencode({'query': query})}"
        with urlopen(address, timeout=10) as answer:  # noqa: S310 (this machine's own)
            result = json.loads(answer.read())["data"]["result"]
    except OSError:
        return None  # not up yet
    return float(result[0]["value"][1]) if result else None
