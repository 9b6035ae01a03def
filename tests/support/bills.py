"""Bills made a second time, from Kubernetes' own timestamps, by the rules of DESIGN 4 ("Evidence", "Price", "Axes").

Nothing here knows `farthing.ledger`: raw objects come in, seconds are counted one by one, money is exact fractions. What a
spend record says must be what this fold says, to the second and to the millionth.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from itertools import pairwise
from math import ceil
from typing import Any

from tests.support.evidence import Evidence, Sighting

Item = Mapping[str, Any]

SECOND = timedelta(seconds=1)
MILLION = 10**6
LOST_EXIT_CODE = 255


@dataclass(frozen=True, slots=True)
class Bill:
    """What one attempt held and owes."""

    start: datetime
    end: datetime
    prices: tuple[Fraction, ...]
    """Of the whole gang, second by second."""
    cost: Fraction
    accelerator_hours: Fraction
    overrun: int = 0
    """Seconds that its containers ran past the hard end."""
    outlived: tuple[str, ...] = ()
    """Pods that ran on although the bill ended there: seen alive after it was settled, or with a later end."""
    unpaid: Fraction = Fraction(0)
    """Money that they cost beyond what was held: the pool's loss."""

    @property
    def seconds(self) -> int:
        """Whole seconds held."""
        return len(self.prices)


def audit(evidence: Evidence, records: Iterable[Item], limits: Mapping[str, str] | None = None) -> dict[str, Bill]:
    """Hold the settled spend records of one job against the evidence; its bills by attempt. AssertionError where they differ.

    Checked: each bill to the second; every pod that was ever bound is on exactly one record, no attempt ran twice, no second is
    billed twice, nothing ran past what was held for it; and with `limits` (a spec's, by axis) that no axis was passed.
    """
    evidence.catch_up()
    records = sorted(records, key=lambda record: record["spec"]["number"])
    bills = {record["spec"]["attempt"]: audit_record(evidence, record) for record in records}
    _check_every_second_once(evidence, records, bills)
    for axis, limit in (limits or {}).items():
        assert spent(records, axis) <= Fraction(limit), f"{axis}: {float(spent(records, axis))} spent of {limit}"
    return bills


def audit_record(evidence: Evidence, record: Item) -> Bill:
    """The bill of one settled record, made anew; AssertionError where the record says something else."""
    name, status = record["spec"]["attempt"], record["status"]
    assert status["phase"] == "Settled", f"{name} is {status.get('phase')}"
    bill = make_bill(evidence, record)
    pieces, charged = status.get("intervals") or [], status.get("charged") or {}
    if not bill.seconds:
        assert sum(piece["seconds"] for piece in pieces) == 0, f"{name}: billed {pieces}, but nothing was bound"
        return bill
    told = (_time(pieces[0]["from"]), _time(pieces[-1]["to"]), sum(piece["seconds"] for piece in pieces))
    assert told == (bill.start, bill.end, bill.seconds), f"{name}: billed {told}, Kubernetes says {bill}"
    assert all(left["to"] == right["from"] for left, right in pairwise(pieces)), f"{name}: gaps between {pieces}"
    for piece in pieces:
        _check_price(name, record, piece, bill)
    assert Fraction(charged["acceleratorHours"]) == bill.accelerator_hours, f"{name}: {charged}, not {bill}"
    if "cost" in charged:
        assert Fraction(charged["cost"]) == sum(Fraction(piece["cost"]) for piece in pieces) == bill.cost, (
            f"{name}: {charged}, {pieces}, not {float(bill.cost)}"
        )
    return bill


def make_bill(evidence: Evidence, record: Item) -> Bill:
    """What the attempt held from its first bind to its last container's end, at the quotes of its record."""
    start, ran_until = held(evidence, record)
    end = min(ran_until, start + timedelta(seconds=record["spec"]["ends"]["hard"]))
    seconds = round((end - start).total_seconds())
    prices = _prices(record, start, seconds)
    accelerators, rent = _accelerators(record), _up(sum(prices, Fraction(0)))
    cost = min(rent, _held(record, "cost"))
    return Bill(
        start=start,
        end=end,
        prices=prices,
        cost=cost,
        accelerator_hours=min(_up(Fraction(accelerators * seconds, 3600)), _held(record, "acceleratorHours")),
        overrun=round((ran_until - end).total_seconds()),
        outlived=tuple(_outlived(evidence, record, end)),
        unpaid=rent - cost,
    )


def held(evidence: Evidence, record: Item) -> tuple[datetime, datetime]:
    """From the earliest PodScheduled or startTime to the latest finishedAt + 1 s; what has no end ends at the hard end."""
    name, settled = record["spec"]["attempt"], _time(record["status"]["settledAt"])
    pods = [(sighting, _as_of(sighting, settled)) for sighting in _of(evidence.pods, name)]
    left = [pod for sighting, pod in pods if not _gone(sighting, settled)]
    binds = [time for _, pod in pods for time in _bind_times(pod)]
    if not binds:
        opened = _time(record["spec"]["openedAt"])
        return opened, opened
    start = min(binds)
    hard_end = start + timedelta(seconds=record["spec"]["ends"]["hard"])
    ends = [_pod_end(pod) or hard_end for pod in left if _bind_times(pod)]
    if not ends or len(left) < record["spec"]["pods"]:
        ends.append(_job_end(evidence, name, settled) or hard_end)
    return start, max(start, *ends)


def spent(records: Iterable[Item], axis: str) -> Fraction:
    """What the settled records of a job add up to; on `tokens` the newest lineage that one of them knows."""
    newest_first = sorted(records, key=lambda record: -record["spec"]["number"])
    if axis == "tokens":
        lineages = (record["status"].get("lineageTokens") for record in newest_first)
        return Fraction(next((told for told in lineages if told), "0"))
    return sum((Fraction((record["status"].get("charged") or {}).get(axis, "0")) for record in newest_first), Fraction(0))


def _check_every_second_once(evidence: Evidence, records: Sequence[Item], bills: Mapping[str, Bill]) -> None:
    """One record an attempt, one Job an attempt, every bound pod inside its record's time, and no two bills at one time."""
    names = Counter(record["spec"]["attempt"] for record in records)
    jobs = Counter(sighting.attempt for sighting in evidence.jobs.values())
    for name, bill in bills.items():
        assert names[name] == 1, f"{name} has {names[name]} records"
        assert jobs[name] <= 1, f"{name} ran {jobs[name]} times"
        assert not bill.overrun, f"{name} ran {bill.overrun} s past its hard end"
        assert not bill.outlived, f"{bill.outlived} ran on after the bill of {name} had ended at its hard end"
        assert not bill.unpaid, f"{name} cost {float(bill.unpaid)} more than was held"
        for pod in _newest(_of(evidence.pods, name)):
            assert all(bill.start <= time for time in _bind_times(pod)), f"{pod['metadata']['name']} held before its bill"
    uids = {record["spec"]["job"]["uid"] for record in records}
    unbilled = {each.attempt for each in evidence.pods.values() if each.job_uid in uids} - set(bills)
    assert not unbilled, f"pods without a record: {unbilled}"
    times = sorted((bill.start, bill.end) for bill in bills.values() if bill.seconds)
    # A bill ends with the second in which its last container did, and Kubernetes' times are whole seconds: an attempt that
    # begins in that very second starts there.
    assert all(end - SECOND <= start for (_, end), (start, _) in pairwise(times)), f"billed twice: {times}"


def _outlived(evidence: Evidence, record: Item, end: datetime) -> Iterator[str]:
    """Names of bound pods whose newest version says that they ran past `end`; a node that was lost knows no better."""
    for sighting in _of(evidence.pods, record["spec"]["attempt"]):
        pod = sighting.versions[-1]
        finished = _pod_end(pod)
        runs_on = sighting.gone_at is None if finished is None else finished > end and not _lost(pod)
        if _bind_times(pod) and runs_on:
            yield pod["metadata"]["name"]


def _lost(pod: Item) -> bool:
    """Whether its node came back and reported its own return."""
    states = ((each.get("state") or {}).get("terminated") or {} for each in pod["status"].get("containerStatuses") or ())
    return any(state.get("exitCode") == LOST_EXIT_CODE for state in states)


def _newest(sightings: Iterable[Sighting]) -> list[Item]:
    return [sighting.versions[-1] for sighting in sightings]


def _check_price(name: str, record: Item, piece: Item, bill: Bill) -> None:
    """An interval has one price from its first to its last second, and it is that of the fold."""
    begin = round((_time(piece["from"]) - bill.start).total_seconds())
    told = Fraction(piece.get("perAcceleratorHour") or "0") * _accelerators(record) / 3600
    assert set(bill.prices[begin : begin + piece["seconds"]]) <= {told}, f"{name}: {piece} is not at the quoted price"


def _prices(record: Item, start: datetime, seconds: int) -> tuple[Fraction, ...]:
    """The gang's price of each second: the newest quote; in the reserve the first.

    The reserve begins at the trainer's end, or as soon as another second at a dearer price would eat into its rent.
    """
    spec = record["spec"]
    ladder = [(start, spec["quote"]), *((_time(quote["from"]), quote) for quote in record["status"].get("quotes") or ())]
    first = _per_second(spec["quote"], record)
    reserve = (spec["ends"]["hard"] - spec["ends"]["trainer"]) * first
    purse = Fraction(spec["held"]["cost"]) - reserve if "cost" in spec["held"] else None
    prices: list[Fraction] = []
    paid, in_reserve = Fraction(0), False
    for second in range(seconds):
        quote = [quote for begins, quote in ladder if begins <= start + second * SECOND][-1]
        price = _per_second(quote, record)
        in_reserve = in_reserve or second >= spec["ends"]["trainer"] or (purse is not None and paid + price > purse)
        prices.append(first if in_reserve else price)
        paid += prices[-1]
    return tuple(prices)


def _per_second(quote: Item, record: Item) -> Fraction:
    return Fraction(quote.get("perAcceleratorHour") or "0") * _accelerators(record) / 3600


def _accelerators(record: Item) -> int:
    return int(record["spec"]["pods"] * record["spec"]["acceleratorsPerPod"])


def _held(record: Item, axis: str) -> Fraction:
    """What was set aside; an axis that nothing limits is held without end."""
    return Fraction(record["spec"]["held"].get(axis, 10**18))


def _up(amount: Fraction) -> Fraction:
    return Fraction(ceil(amount * MILLION), MILLION)


def _of(sightings: Mapping[str, Sighting], attempt: str) -> list[Sighting]:
    return [sighting for sighting in sightings.values() if sighting.attempt == attempt]


def _as_of(sighting: Sighting, moment: datetime) -> Item:
    """The newest version that had been written by then."""
    return next((each for each in reversed(sighting.versions) if _written(each) <= moment), sighting.versions[0])


def _gone(sighting: Sighting, moment: datetime) -> bool:
    return sighting.gone_at is not None and sighting.gone_at < moment


def _written(item: Item) -> datetime:
    """When this version was written, as the API server noted it."""
    metadata = item["metadata"]
    times = [_time(entry["time"]) for entry in metadata.get("managedFields") or () if entry.get("time")]
    return max([_time(metadata["creationTimestamp"]), *times])


def _bind_times(pod: Item) -> list[datetime]:
    """PodScheduled and startTime, where they stand."""
    status = pod.get("status") or {}
    scheduled = [
        condition["lastTransitionTime"]
        for condition in status.get("conditions") or ()
        if condition["type"] == "PodScheduled" and condition["status"] == "True"
    ]
    return [_time(text) for text in [*scheduled, *([status["startTime"]] if status.get("startTime") else [])]]


def _pod_end(pod: Item) -> datetime | None:
    """The latest container's finishedAt + 1 s; without any, the terminal transition; None while it is not terminal."""
    status = pod.get("status") or {}
    if status.get("phase") not in ("Succeeded", "Failed"):
        return None
    every = [*(status.get("containerStatuses") or ()), *(status.get("initContainerStatuses") or ())]
    finished = [
        _time(text) for each in every if (text := ((each.get("state") or {}).get("terminated") or {}).get("finishedAt"))
    ]
    if finished:
        return max(finished) + SECOND
    transitions = [_time(condition["lastTransitionTime"]) for condition in status.get("conditions") or ()]
    return max([*transitions, _written(pod)])


def _job_end(evidence: Evidence, attempt: str, settled: datetime) -> datetime | None:
    """The Job's final transition; None where it is gone or never ended."""
    for sighting in _of(evidence.jobs, attempt):
        if _gone(sighting, settled):
            continue
        for condition in (_as_of(sighting, settled).get("status") or {}).get("conditions") or ():
            if condition["type"] in ("Complete", "Failed") and condition["status"] == "True":
                return _time(condition["lastTransitionTime"])
    return None


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text.replace("Z", "+00:00")).astimezone(UTC).replace(microsecond=0)
