"""The lease that the books of a job and of its account allow for a plan now."""

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal

from farthing.api import GPUNodePool, TrainingBudget
from farthing.api.amounts import Axis
from farthing.api.conditions import Reason
from farthing.api.spend import Quote
from farthing.domain.decision import Lease
from farthing.domain.plan import Plan
from farthing.domain.snapshot import JobView, Snapshot
from farthing.engine.standing import Standing, next_attempt_name
from farthing.errors import InvalidSpec
from farthing.ledger import account as accounts
from farthing.ledger.lease import grant
from farthing.settings import Settings
from farthing.units import format_time, parse_duration

P90 = 0.9


def lease_for(
    view: JobView,
    books: Standing,
    plan: Plan,
    pool: GPUNodePool,
    snapshot: Snapshot,
    settings: Settings,
    *,
    on_account: bool = True,
) -> Lease:
    """The lease that the books allow for this plan now. Raises InsufficientBudget, MissingPrice, or InvalidSpec (currency)."""
    spec = view.job.spec
    tokens = spec.budget.limits.as_decimals().get(Axis.TOKENS)
    name = spec.budget.account_ref.name if spec.budget.account_ref and on_account else None
    account = None if name is None else snapshot.account(view.namespace, name)
    if account is not None:
        _check_currency(account, pool)
    return grant(
        plan,
        books.balance.remaining,
        account_remaining=None if account is None else _account_remaining(account, view, snapshot.now),
        account_name=name,
        quote=quote_of(pool, snapshot.now),
        seconds_to_deadline=books.seconds_left,
        seconds_wanted=_seconds_wanted(plan, books, settings),
        control_period=settings.cycle.control_period,
        controller_lag=settings.cycle.controller_lag,
        startup_timeout=parse_duration(spec.compute.startup_timeout),
        tokens_limit=None if tokens is None else int(tokens),
        tokens_done=books.tokens_done,
    )


def _check_currency(account: TrainingBudget, pool: GPUNodePool) -> None:
    """Raise InvalidSpec where the account counts another money than the pool is paid in: the numbers cannot be compared."""
    price = pool.spec.price
    if price is not None and account.spec.limits.cost is not None and price.currency != account.spec.currency:
        name, where = account.metadata.name, pool.metadata.name
        remedy = f"pool {where} is priced in {price.currency}; name an account in that currency, or select another pool"
        said = f"{name} ({account.spec.currency})"
        raise InvalidSpec("spec.budget.accountRef.name", said, remedy, reason=Reason.CURRENCY_MISMATCH)


def _account_remaining(account: TrainingBudget, view: JobView, now: datetime) -> Mapping[Axis, Decimal]:
    """What the account has left for the next attempt: a hold of its own, left by a start that was cut off, is its own."""
    status = accounts.without_hold(account.status, next_attempt_name(view))
    return accounts.remaining(account.model_copy(update={"status": status}), now)


def quote_of(pool: GPUNodePool, now: datetime) -> Quote:
    """The pool's price, fixed from now on."""
    price = pool.spec.price
    if price is None:
        return Quote(from_time=format_time(now))
    return Quote(
        from_time=format_time(now),
        per_accelerator_hour=price.per_accelerator_hour,
        currency=price.currency,
        source=price.source,
    )


def _seconds_wanted(plan: Plan, books: Standing, settings: Settings) -> float | None:
    """None: all that the budget buys. Where something else ends the run, enough of it, so that an account stays free."""
    if books.stage == "Prepare":
        return settings.attempt.prepare_seconds
    if plan.binding in (Axis.TOKENS, Axis.FLOPS):
        return plan.seconds.quantile(P90) * settings.attempt.lease_margin + settings.attempt.minimum_lease
    return None
