"""The trainer's Prometheus metrics: every family of contract/metrics.py, in a registry of its own, with its four labels."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from farthing.contract.metrics import LABELS, PREFIX, TRAINER_METRICS
from farthing.contract.runconfig import JobIdentity

_SECONDS_BUCKETS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0)


class Metrics:
    """Set, add and observe by the names of the contract. A gauge that was never set is not exposed."""

    def __init__(self, job: JobIdentity, rank: int) -> None:
        self.registry = CollectorRegistry()
        self._labels = (job.name, job.namespace, job.attempt, str(rank))
        self._families = {metric.name: self._family(metric.name, metric.kind, metric.help) for metric in TRAINER_METRICS}

    def _family(self, name: str, kind: str, text: str) -> Counter | Gauge | Histogram:
        if kind == "histogram":
            return Histogram(PREFIX + name, text, LABELS, registry=self.registry, buckets=_SECONDS_BUCKETS)
        plain = Counter if kind == "counter" else Gauge
        return plain(PREFIX + name, text, LABELS, registry=self.registry)

    def set(self, name: str, value: float | None) -> None:
        """Set a gauge; None leaves it absent."""
        family = self._families[name]
        assert isinstance(family, Gauge), f"{name} is no gauge"
        if value is not None:
            family.labels(*self._labels).set(value)

    def add(self, name: str, amount: float) -> None:
        """Raise a counter by `amount` ≥ 0."""
        family = self._families[name]
        assert isinstance(family, Counter), f"{name} is no counter"
        family.labels(*self._labels).inc(amount)

    def observe(self, name: str, seconds: float) -> None:
        """Put one duration in seconds into a histogram."""
        family = self._families[name]
        assert isinstance(family, Histogram), f"{name} is no histogram"
        family.labels(*self._labels).observe(seconds)

    def expose(self) -> bytes:
        """The text exposition format, version 0.0.4."""
        return generate_latest(self.registry)
