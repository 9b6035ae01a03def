"""Every metric of the operator, declared once (DESIGN 14). Trainers expose their own, named in `contract.metrics`."""

from collections.abc import Iterable, Mapping
from typing import Any, Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from farthing.api import BudgetedTrainingJob, GPUNodePool, TrainingBudget
from farthing.api.amounts import Amounts, Axis

CONTENT_TYPE: Final = CONTENT_TYPE_LATEST

CYCLE_BUCKETS: Final = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)

JOB: Final = ("namespace", "job")
ACCOUNT: Final = ("namespace", "account")


class OperatorMetrics:
    """`engine.ports.Metrics` on a registry of its own, so that two operators in one process do not meet."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._declare_loop()
        self._declare_jobs()
        self._declare_accounts_and_pools()
        self._labels: dict[tuple[str, str], set[tuple[Gauge, tuple[str, ...]]]] = {}

    def _declare_loop(self) -> None:
        registry = self.registry
        self._cycles = Histogram(
            "farthing_cycle_duration_seconds", "Wall time of a finished cycle.", buckets=CYCLE_BUCKETS, registry=registry
        )
        self._phases = Gauge(
            "farthing_cycle_phase_seconds", "Wall time of each phase of the last cycle.", ("phase",), registry=registry
        )
        self._decisions = Counter(
            "farthing_decisions_total", "Decisions that were carried out.", ("action", "reason"), registry=registry
        )
        self._failures = Counter(
            "farthing_cycle_failures_total", "Cycles that ended with an error.", ("error",), registry=registry
        )
        self._leader = Gauge("farthing_leader", "1 in the operator that acts, 0 in one that stands by.", registry=registry)

    def _declare_jobs(self) -> None:
        registry = self.registry
        currency = (*JOB, "currency")
        self._cost = Gauge("farthing_job_cost", "Money charged or held.", currency, registry=registry)
        self._cost_limit = Gauge("farthing_job_cost_limit", "Limit of the job's money budget.", currency, registry=registry)
        self._spent = Gauge(
            "farthing_job_spent_ratio", "Spent over limit, by axis; never above 1.", (*JOB, "axis"), registry=registry
        )
        self._state = Gauge("farthing_job_state", "1 for the state that the job is in.", (*JOB, "state"), registry=registry)
        self._memory_error = Gauge(
            "farthing_plan_memory_error_ratio", "Predicted over measured peak memory, less 1.", JOB, registry=registry
        )
        self._throughput_error = Gauge(
            "farthing_plan_throughput_error_ratio", "Predicted over measured tokens per second, less 1.", JOB, registry=registry
        )

    def _declare_accounts_and_pools(self) -> None:
        registry = self.registry
        axis = (*ACCOUNT, "axis")
        self._account_limit = Gauge("farthing_account_limit", "Limit of an account.", axis, registry=registry)
        self._account_spent = Gauge("farthing_account_spent", "Settled in the open window.", axis, registry=registry)
        self._account_held = Gauge("farthing_account_held", "Held for attempts under way.", axis, registry=registry)
        self._pool_accelerators = Gauge(
            "farthing_pool_accelerators",
            "Accelerators of a pool by state: total, free, held.",
            ("pool", "state"),
            registry=registry,
        )
        self._pool_nodes = Gauge("farthing_pool_nodes", "Nodes of a pool.", ("pool",), registry=registry)
        self._pool_price = Gauge(
            "farthing_pool_price_per_accelerator_hour", "Price now in force.", ("pool", "currency"), registry=registry
        )

    def cycle(self, seconds: float, phases: dict[str, float]) -> None:
        """Duration of a finished cycle and of its phases, in seconds."""
        self._cycles.observe(seconds)
        for phase, duration in phases.items():
            self._phases.labels(phase).set(duration)

    def failure(self, error: Exception) -> None:
        """A cycle that ended with an error."""
        self._failures.labels(type(error).__name__).inc()

    def leader(self, leading: bool) -> None:
        """Whether this operator acts."""
        self._leader.set(1 if leading else 0)

    def decision(self, action: str, reason: str) -> None:
        """One decision that was carried out."""
        self._decisions.labels(action, reason).inc()

    def job(self, job: BudgetedTrainingJob, status: dict[str, Any]) -> None:
        """Spent, limits, state and estimate errors of a job. Series of an earlier state or plan go."""
        key = (job.metadata.namespace or "default", job.metadata.name)
        series: set[tuple[Gauge, tuple[str, ...]]] = set()

        def put(gauge: Gauge, value: float, *labels: str) -> None:
            gauge.labels(*key, *labels).set(value)
            series.add((gauge, (*key, *labels)))

        put(self._state, 1, str(status.get("state") or "Unknown"))
        spent = Amounts.model_validate(status.get("spent") or {}).as_decimals()
        limits = job.spec.budget.limits.as_decimals()
        for axis, limit in limits.items():
            if limit > 0:
                put(self._spent, float(spent.get(axis, 0) / limit), axis.value)
        currency = job.spec.budget.currency
        if currency is not None:
            put(self._cost, float(spent.get(Axis.COST, 0)), currency)
            if Axis.COST in limits:
                put(self._cost_limit, float(limits[Axis.COST]), currency)
        predictions = (status.get("plan") or {}).get("predictions") or {}
        for gauge, name in ((self._memory_error, "memory"), (self._throughput_error, "tokensPerSecond")):
            error = _relative_error(predictions.get(name))
            if error is not None:
                put(gauge, error)
        self._drop(self._labels.get(key, set()) - series)
        self._labels[key] = series

    def forget(self, namespace: str, name: str) -> None:
        """The job is gone: drop its series."""
        self._drop(self._labels.pop((namespace, name), set()))

    def accounts(self, accounts: Iterable[TrainingBudget]) -> None:
        """Limits and balances of every account there is; series of others go."""
        for gauge in (self._account_limit, self._account_spent, self._account_held):
            gauge.clear()
        for account in accounts:
            key = (account.metadata.namespace or "default", account.metadata.name)
            _put_all(self._account_limit, key, account.spec.limits)
            _put_all(self._account_spent, key, account.status.spent)
            for hold in account.status.holds:
                for axis, amount in hold.amounts.as_decimals().items():
                    self._account_held.labels(*key, axis.value).inc(float(amount))

    def pools(self, pools: Iterable[GPUNodePool]) -> None:
        """Size and price of every pool there is; series of others go."""
        for gauge in (self._pool_accelerators, self._pool_nodes, self._pool_price):
            gauge.clear()
        for pool in pools:
            name, status = pool.metadata.name, pool.status
            for state, value in (("total", status.accelerators), ("free", status.free), ("held", status.held)):
                self._pool_accelerators.labels(name, state).set(value)
            self._pool_nodes.labels(name).set(status.nodes)
            if pool.spec.price is not None:
                self._pool_price.labels(name, pool.spec.price.currency).set(float(pool.spec.price.per_accelerator_hour))

    def render(self) -> bytes:
        """The exposition that Prometheus scrapes; its content type is CONTENT_TYPE."""
        return generate_latest(self.registry)

    @staticmethod
    def _drop(series: Iterable[tuple[Gauge, tuple[str, ...]]]) -> None:
        for gauge, labels in series:
            gauge.remove(*labels)


def _put_all(gauge: Gauge, key: tuple[str, str], amounts: Amounts) -> None:
    for axis, amount in amounts.as_decimals().items():
        gauge.labels(*key, axis.value).set(float(amount))


def _relative_error(estimate: Mapping[str, Any] | None) -> float | None:
    """predicted ÷ measured − 1; None until it was measured."""
    if not estimate or not estimate.get("measured") or float(estimate["measured"]) == 0:
        return None
    return float(estimate["value"]) / float(estimate["measured"]) - 1
