"""Alerts and dashboard ask for numbers that `/metrics` really has."""

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import prometheus_client
import promql_parser
import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from jobs.connection import connect_for_a_look
from jobs.embedded_redis import embedded_redis
from jobs.metrics import COUNTERS, HISTOGRAMS, JOB_FAILURES
from jobs.metrics_store import MetricsStore
from jobs.settings import Settings
from jobs.stores import open_store
from service.exposition import make_registry

FOLDER = Path(__file__).resolve().parents[2] / "docker" / "monitoring"
OPERATIONS = FOLDER.parents[1] / "docs" / "operations.md"
SCRAPE_LABELS = {"job", "instance", "le"}
ALERTS: list[dict[str, Any]] = yaml.safe_load((FOLDER / "alerts.yml").read_text())["groups"][0]["rules"]
DASHBOARD: dict[str, Any] = json.loads((FOLDER / "grafana" / "dashboards" / "retint.json").read_text())


def dashboard_queries() -> Iterator[str]:
    for panel in DASHBOARD["panels"]:
        for target in panel["targets"]:
            yield target["expr"].replace("$__rate_interval", "5m")


QUERIES = [*(alert["expr"] for alert in ALERTS), *dashboard_queries()]


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, set[str]]:
    """Every name under which `/metrics` has numbers, with their labels."""
    with embedded_redis(tmp_path_factory.mktemp("redis")) as url:
        settings = Settings(redis_url=url, data_folder=tmp_path_factory.mktemp("data"))
        registry = make_registry(
            MetricsStore(connect_for_a_look(url), settings), store=open_store(settings), at_zero={}
        )
        text = prometheus_client.generate_latest(registry).decode()
    defined = {entry.name.removesuffix("_total"): set(entry.labels) for entry in (*COUNTERS, *HISTOGRAMS)}
    found = {}
    for family in text_string_to_metric_families(text):
        labels = defined.get(family.name) or {label for sample in family.samples for label in sample.labels}
        suffixes = {"counter": ("_total",), "histogram": ("_bucket", "_sum", "_count"), "gauge": ("",)}[family.type]
        found |= {family.name + suffix: labels for suffix in suffixes}
    return found


def selectors(query: str) -> list[promql_parser.VectorSelector]:
    found: list[promql_parser.VectorSelector] = []

    def look(expression: object) -> None:
        if isinstance(expression, promql_parser.MatrixSelector):
            expression = expression.vector_selector
        if isinstance(expression, promql_parser.VectorSelector):
            found.append(expression)

    promql_parser.walk(promql_parser.parse(query), look)
    return found


@pytest.mark.parametrize("query", QUERIES)
def test_a_query_asks_for_numbers_and_labels_that_are_told(query: str, told: Mapping[str, set[str]]) -> None:
    asked = selectors(query)
    assert asked
    for selector in asked:
        if selector.name == "up":
            continue
        assert selector.name in told
        labels = {matcher.name for matcher in selector.matchers.matchers}
        labels |= set(re.findall(r"\w+", " ".join(re.findall(r"by \(([^)]*)\)", query))))
        assert labels <= told[selector.name] | SCRAPE_LABELS


@pytest.mark.parametrize("query", QUERIES)
def test_the_codes_and_states_that_a_query_picks_exist(query: str) -> None:
    codes = {series[1] for series in JOB_FAILURES.known}
    for selector in selectors(query):
        for matcher in selector.matchers.matchers:
            if matcher.name == "code":
                assert set(matcher.value.split("|")) <= codes


def test_every_number_and_every_alert_is_explained(told: Mapping[str, set[str]]) -> None:
    page = OPERATIONS.read_text()
    families = {re.sub(r"_(bucket|sum|count)$", "", name) for name in told}
    missing = [name for name in (*families, *(alert["alert"] for alert in ALERTS)) if f"`{name}`" not in page]
    assert missing == []


def test_failures_that_are_the_operators_to_mend_page_somebody() -> None:
    """A new code must be sorted: is it the user's film, or the machine?"""
    of_users = {
        "video_undecodable", "video_unsupported", "video_too_large", "video_too_long", "reference_undecodable",
        "reference_not_color", "reference_unplaced", "picture_undecodable", "strokes_unusable", "frame_not_found",
        "too_many_frames", "weights_missing",
    }  # fmt: skip
    alerted: set[str] = set()
    for alert in ALERTS:
        for selector in selectors(alert["expr"]):
            alerted |= {code for m in selector.matchers.matchers if m.name == "code" for code in m.value.split("|")}
    assert alerted | of_users == {series[1] for series in JOB_FAILURES.known}


def test_alerts_say_how_bad_it_is_and_what_it_is() -> None:
    for alert in ALERTS:
        assert alert["labels"]["severity"] in ("page", "warn")
        assert alert["annotations"]["summary"].endswith(".")


def test_the_dashboard_asks_the_source_that_is_provisioned() -> None:
    sources = yaml.safe_load((FOLDER / "grafana" / "provisioning" / "datasources" / "prometheus.yml").read_text())
    (uid,) = {source["uid"] for source in sources["datasources"]}
    assert {panel["datasource"]["uid"] for panel in DASHBOARD["panels"]} == {uid}
    places = [(p["gridPos"]["x"], p["gridPos"]["y"]) for p in DASHBOARD["panels"]]
    assert len(set(places)) == len(places)
    assert all(p["gridPos"]["x"] + p["gridPos"]["w"] <= 24 for p in DASHBOARD["panels"])


def test_prometheus_loads_the_alerts_and_sends_a_key() -> None:
    config = yaml.safe_load((FOLDER / "prometheus.yml").read_text())
    assert config["rule_files"] == ["alerts.yml"]
    (job,) = config["scrape_configs"]
    assert job["job_name"] == "retint"
    assert job["authorization"]["credentials_file"] == "/run/secrets/metrics.key"
