"""Dashboard and alerts ask for what the program tells, and the runbook says what to do about each alert."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from datetime import UTC, datetime
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
import yaml

from bot.messages import load_messages
from bot.metrics import Metrics
from bot.standing import Standing
from generation.engine.protocol import Batch, Painted, Task, WorkerInfo, WorkerState
from generation.errors import OutOfMemory
from generation.job import JobKind, JobStatus, Priority
from tests.promql import Aggregation, Call, Mistake, Selector, parse, selectors, walk
from tests.test_metrics import JOB, NOON, POCKET, RECIPE, STANDING

FOLDER = Path(__file__).parent.parent / "docs"
RUNBOOK = (FOLDER / "operating.md").read_text(encoding="utf-8")
DASHBOARD: dict[str, Any] = json.loads((FOLDER / "operating" / "dashboard.json").read_text(encoding="utf-8"))
[GROUP] = yaml.safe_load((FOLDER / "operating" / "alerts.yaml").read_text(encoding="utf-8"))["groups"]
ALERTS: list[dict[str, Any]] = GROUP["rules"]
PANELS: list[dict[str, Any]] = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
# What Prometheus puts on all that it scrapes.
SCRAPED = {"job", "instance"}
WIDTH = 24  # of a dashboard


def every_metric() -> Metrics:
    """Metrics to which everything has happened once."""
    metrics = Metrics()
    worker = WorkerInfo(name="w/cpu", device="cpu", state=WorkerState.IDLE)
    metrics.watch(lambda: replace(STANDING, workers=(worker,)))
    metrics.ordered(JOB)
    metrics.ended(replace(JOB, status=JobStatus.DONE, started_at=NOON, finished_at=NOON), promised_seconds=9)
    metrics.ended(replace(JOB, status=JobStatus.FAILED, error="worker_lost"))
    batch = Batch(tasks=(Task(job_id=1, recipe=RECIPE),), model=POCKET)
    metrics.batch_painted(batch, Painted(pictures=(), seconds=1.0))
    metrics.batch_failed(OutOfMemory(detail=""))
    metrics.answered(0.1)
    return metrics


def told() -> dict[str, set[str]]:
    """What can be asked for: each series' name, and its labels."""
    series: dict[str, set[str]] = {"up": set()}
    for metric in every_metric().registry.collect():
        for sample in metric.samples:
            series.setdefault(sample.name, set()).update(sample.labels)
    return series


SERIES = told()
# Labels whose values are known beforehand.
VALUES = {
    "status": {str(status) for status in JobStatus},
    "kind": {str(kind) for kind in JobKind},
    "state": {str(state) for state in WorkerState},
    "priority": {priority.name.lower() for priority in Priority},
    "movement": {"held", "spent", "returned"},
    "job": {"limner"},
}
ALERT_QUERIES = {alert["alert"]: alert["expr"] for alert in ALERTS}
PANEL_QUERIES = {
    f"{panel['title']} {target['refId']}": target["expr"].replace("$__rate_interval", "5m")
    for panel in PANELS
    for target in panel["targets"]
}
QUERIES = ALERT_QUERIES | PANEL_QUERIES


@pytest.mark.parametrize("name", QUERIES)
def test_every_query_asks_for_what_is_told(name: str) -> None:
    node = parse(QUERIES[name])
    assert selectors(node)
    for selector in selectors(node):
        assert selector.metric in SERIES, selector.metric
        labels = SERIES[selector.metric] | SCRAPED
        for matcher in selector.matchers:
            assert matcher.label in labels, matcher
            values = re.split(r"\|", matcher.value) if "~" in matcher.operator else [matcher.value]
            assert set(values) <= VALUES.get(matcher.label, set(values)), matcher
            if matcher.label == "error":
                assert all(load_messages().has(f"endings.{value}") for value in values), matcher
            if matcher.label == "le":
                assert float(matcher.value) in bounds_of(selector.metric)
    for found in walk(node):
        if isinstance(found, Aggregation):
            below = set[str]().union(*(SERIES[selector.metric] for selector in selectors(found.inner)))
            assert set(found.labels) <= below | SCRAPED, found.labels


def bounds_of(bucket: str) -> set[float]:
    return {
        float(sample.labels["le"])
        for metric in every_metric().registry.collect()
        for sample in metric.samples
        if sample.name == bucket
    }


@pytest.mark.parametrize("name", QUERIES)
def test_counters_are_asked_for_their_rates_and_histograms_for_their_buckets(name: str) -> None:
    node = parse(QUERIES[name])
    rated = {
        argument.metric
        for call in walk(node)
        if isinstance(call, Call) and call.function in ("rate", "increase")
        for argument in call.arguments
        if isinstance(argument, Selector)
    }
    counting = {
        selector.metric for selector in selectors(node) if re.search(r"_(total|bucket|sum|count)$", selector.metric)
    }
    assert rated == counting
    for call in walk(node):
        if isinstance(call, Call) and call.function == "histogram_quantile":
            assert all(selector.metric.endswith("_bucket") for selector in selectors(call))
            for found in walk(call):
                if isinstance(found, Aggregation):  # the buckets' bounds must come through
                    assert ("le" in found.labels) is found.by


def test_failures_that_alerts_look_for_are_there_from_the_start() -> None:
    """Prometheus sees no rise from nothing to one."""
    known = {
        (sample.name, sample.labels.get("error"))
        for metric in Metrics().registry.collect()
        for sample in metric.samples
    }
    asked = {
        (selector.metric, matcher.value)
        for query in ALERT_QUERIES.values()
        for selector in selectors(parse(query))
        for matcher in selector.matchers
        if (matcher.label, matcher.operator) == ("error", "=")
    }
    assert asked
    assert asked <= known


def test_the_parser_finds_slips_of_the_pen() -> None:
    for slip in (
        "sum(limner_jobs_waiting",
        "rate(limner_pictures_total)",
        "rate(limner_pictures_total[5])",
        "rte(limner_pictures_total[5m])",
        "limner_jobs_waiting{priority='fast',,}",
        "limner_jobs_waiting{priority<'fast'}",
        "histogram_quantile(limner_job_wait_seconds_bucket, 0.5)",
        "limner_jobs_waiting[5m] > 1",
        "limner_jobs_waiting > > 1",
        "limner_jobs_waiting and 1",
        "limner_jobs_waiting 1",
        "sum by priority (limner_jobs_waiting)",
    ):
        with pytest.raises(Mistake):
            parse(slip)


def test_every_metric_of_ours_is_shown() -> None:
    asked = {selector.metric for query in PANEL_QUERIES.values() for selector in selectors(parse(query))}
    families = {
        re.sub(r"_(total|bucket|sum|count|created)$", "", name) for name in SERIES if name.startswith("limner_")
    }
    assert families == {re.sub(r"_(total|bucket|sum|count)$", "", name) for name in asked if name.startswith("limner_")}


def test_the_runbook_explains_every_metric_and_names_no_other() -> None:
    ours = {re.sub(r"_(bucket|sum|count|created)$", "", name) for name in SERIES if name.startswith("limner_")}
    ours = {name for name in ours if f"{name}_total" not in ours}
    assert set(re.findall(r"`(limner_\w+)", RUNBOOK)) == ours


def test_what_the_runbook_says_of_logs_and_errors_is_in_the_code() -> None:
    root = FOLDER.parent
    code = "\n".join(
        path.read_text(encoding="utf-8")
        for room in ("bot", "generation", "storage")
        for path in (root / room).rglob("*.py")
    )
    _, _, chapter = RUNBOOK.partition("## When an alert rings")
    named = set(re.findall(r"`([a-z]+(?:_[a-z]+)+)`", chapter))
    assert len(named) > 10
    for name in named:
        assert f'"{name}"' in code or f"{name}=" in code, name


def test_every_alert_has_its_section_and_every_section_its_alert() -> None:
    sections = re.findall(r"^### (Limner\w+)$", RUNBOOK, flags=re.MULTILINE)
    assert sorted(sections) == sorted(ALERT_QUERIES)
    assert len(set(ALERT_QUERIES)) == len(ALERTS)
    for alert in ALERTS:
        assert set(alert) <= {"alert", "expr", "for", "labels", "annotations"}
        assert re.fullmatch(r"\d+[mh]", alert.get("for", "0m"))
        assert alert["labels"]["severity"] in ("critical", "warning")
        assert alert["annotations"]["runbook"] == f"docs/operating.md#{alert['alert'].lower()}"
        assert alert["annotations"]["summary"].count("{{") == alert["annotations"]["summary"].count("}}")


@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: alert["alert"])
def test_summaries_name_labels_that_are_there(alert: dict[str, Any]) -> None:
    node = parse(alert["expr"])
    summed_away = {label for found in walk(node) if isinstance(found, Aggregation) for label in found.labels}
    labels = set[str]().union(*(SERIES[selector.metric] for selector in selectors(node))) - summed_away | SCRAPED
    assert set(re.findall(r"\$labels\.(\w+)", alert["annotations"]["summary"])) <= labels


def test_the_dashboard_can_be_imported() -> None:
    ids = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(set(ids)) == len(ids)
    assert {variable["name"] for variable in DASHBOARD["templating"]["list"]} == {"datasource", "instance"}
    [asked] = re.findall(r"label_values\((\w+), instance\)", json.dumps(DASHBOARD["templating"]))
    assert asked in SERIES
    for panel in PANELS:
        assert panel["datasource"]["uid"] == "${datasource}"
        for target in panel["targets"]:
            assert 'instance=~"$instance"' in target["expr"]
            labels = set(re.findall(r"{{(\w+)}}", target["legendFormat"]))
            expression = target["expr"].replace("$__rate_interval", "5m")
            assert labels <= left_over(expression)
    for one, other in combinations((panel["gridPos"] for panel in DASHBOARD["panels"]), 2):
        apart = one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
        assert apart or one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"]
    assert all(panel["gridPos"]["x"] + panel["gridPos"]["w"] <= WIDTH for panel in DASHBOARD["panels"])


def left_over(expression: str) -> set[str]:
    """The labels of what comes out: those of the outermost sum, or all."""
    sums = [found for found in walk(parse(expression)) if isinstance(found, Aggregation)]
    if not sums:
        return SCRAPED.union(*(SERIES[selector.metric] for selector in selectors(parse(expression))))
    assert all(found.by is not False for found in sums)
    return {label for found in sums for label in found.labels}


def test_a_standing_has_no_field_that_nobody_is_told() -> None:
    """What monitoring gets changes with each field."""
    changed: dict[str, Any] = {
        "connected": False,
        "servers": 77,
        "draining": True,
        "waiting": {Priority.FAST: 77, Priority.RELAX: 0},
        "paused": 77,
        "running": 77,
        "undelivered": 77,
        "workers": (WorkerInfo(name="w", device="cpu", state=WorkerState.DEAD),),
        "free_bytes": 77,
        "started_at": datetime(2020, 1, 1, tzinfo=UTC),
    }
    assert set(changed) == set(Standing.__slots__)
    for name, value in changed.items():
        if name != "started_at":  # Prometheus has it as process_start_time_seconds
            assert gauges(replace(STANDING, **{name: value})) != gauges(STANDING), name


def gauges(standing: Standing) -> list[tuple[str, dict[str, str], float]]:
    metrics = Metrics()
    metrics.watch(lambda: standing)
    return [
        (sample.name, sample.labels, sample.value)
        for metric in metrics.registry.collect()
        for sample in metric.samples
        if not sample.name.startswith("process_") and not sample.name.endswith("_created")
    ]
