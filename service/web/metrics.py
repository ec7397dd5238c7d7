"""What Prometheus is told: counted as it happens, or read from the service's parts when it asks."""

import time
from collections.abc import Iterator, Sequence

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from service.events import VOLATILE_TYPES
from service.runner import Runner
from service.snapshot import Status
from service.store.store import Store
from service.store.transaction import Change
from service.streaming import Hub
from service.workers.launcher import Launcher

PREFIX = "yolo_trainer"
#: Seconds; a commit takes some tenths of a millisecond, a disk that is being filled takes seconds.
BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class Metrics:
    """The metrics of one service, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._events = Counter(
            f"{PREFIX}_events", "Events that were committed and shown, by type.", ["type"], registry=self.registry
        )
        self._commits = Histogram(
            f"{PREFIX}_commit_seconds", "Length of a commit of the log.", buckets=BUCKETS, registry=self.registry
        )
        self._delays = Histogram(
            f"{PREFIX}_event_delay_seconds",
            "From a worker's event to its commit, when it is shown.",
            buckets=BUCKETS,
            registry=self.registry,
        )

    def count(self, changes: Sequence[Change]) -> None:
        """Committed changes. Any thread."""
        now = time.time()
        for job, record in changes:
            if record is not None:
                self._events.labels(record.type).inc()
                if record.type in VOLATILE_TYPES or record.type == "epoch_end":
                    self._delays.observe(max(0.0, now - job.updated_at))

    def observe_commit(self, seconds: float) -> None:
        self._commits.observe(seconds)

    def watch(self, store: Store, hub: Hub, runner: Runner, launcher: Launcher) -> None:
        """Read these whenever somebody asks."""
        self.registry.register(_Parts(store, hub, runner, launcher))

    def text(self) -> bytes:
        """All of them in Prometheus' text format. Waits for no disk, and takes about a millisecond."""
        return generate_latest(self.registry)


class _Parts(Collector):
    """What the parts of the service are at."""

    def __init__(self, store: Store, hub: Hub, runner: Runner, launcher: Launcher) -> None:
        self._store = store
        self._hub = hub
        self._runner = runner
        self._launcher = launcher

    def collect(self) -> Iterator[Metric]:
        jobs = GaugeMetricFamily(f"{PREFIX}_jobs", "Jobs in the log, by status.", labels=["status"])
        counts = self._store.counts()
        for status in Status:
            jobs.add_metric([status], counts.get(status, 0))
        yield jobs
        load = self._runner.load()
        yield GaugeMetricFamily(f"{PREFIX}_queue_length", "Jobs that wait for a slot.", load["waiting"])
        yield GaugeMetricFamily(f"{PREFIX}_slots", "Jobs that can run at once.", load["slots"])
        yield GaugeMetricFamily(f"{PREFIX}_slots_busy", "Jobs that run.", load["running"])
        yield GaugeMetricFamily(f"{PREFIX}_subscribers", "Event streams that are open.", self._hub.streams)
        yield CounterMetricFamily(f"{PREFIX}_replays", "Pages of the log read for a stream.", self._hub.replays)
        yield GaugeMetricFamily(
            f"{PREFIX}_appends_waiting", "Changes that wait for the log's writer.", self._store.waiting
        )
        yield GaugeMetricFamily(
            f"{PREFIX}_log_failing", "1 while the log cannot be written.", float(self._store.failing is not None)
        )
        yield CounterMetricFamily(f"{PREFIX}_worker_starts", "Processes that were started.", self._launcher.starts)
        yield GaugeMetricFamily(
            f"{PREFIX}_forkserver_up",
            "1 while the process that starts workers can be asked.",
            float(self._launcher.is_warm()),
        )
        yield CounterMetricFamily(
            f"{PREFIX}_forkserver_starts", "Forkservers that were started.", self._launcher.forkservers
        )
