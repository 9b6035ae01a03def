"""Nested ends: each stop lies before the one that covers its failure (DESIGN 4).

`trainerEnd < supervisorEnd < podEnd < jobEnd < hard`, all in whole seconds from the first pod bound. Whatever stops the
attempt, its last container is gone before `hard`, the second for which the money was set aside.
"""

from math import ceil, floor
from typing import Final

from farthing.domain.decision import NestedEnds
from farthing.domain.plan import Plan
from farthing.errors import InsufficientBudget

SPARE_SECONDS: Final = 2
"""DESIGN 4: `jobEnd = floor(hard) − grace − controller lag − 2 s`. Kubernetes' times have whole seconds, so the start may lie
up to a second later than it reads, and the last second that is billed is one more than the last that is read."""
KUBELET_LEAD_SECONDS: Final = 2
"""A pod's deadline counts from when the kubelet saw it, up to 2 s after it was bound, and is enforced within 2 s (measured,
research/local_cluster.md): it must act before the Job controller does, since it keeps the last word and the exit code."""
SUPERVISOR_LEAD_SECONDS: Final = 3
"""From the supervisor's end to the pod's: the supervisor's own TERM → KILL takes as long (`farthing_trainer.supervisor`)."""
MINIMUM_TRAINER_SECONDS: Final = 1
"""A lease that leaves the trainer less buys nothing."""
MINIMUM_GRACE_SECONDS: Final = 10
"""Python alone needs a second or two to leave in order; a third of Kubernetes' default of 30 s."""
GRACE_MARGIN_SECONDS: Final = 2
"""From SIGTERM to the flag that rides on the next step's collective."""
WORST_QUANTILE: Final = 0.99
"""DESIGN 4 sizes what must fit before an end by its p99."""


def nested_ends(
    hard_seconds: float,
    *,
    grace: float,
    checkpoint_seconds: float,
    control_period: float,
    controller_lag: float,
    startup_timeout: float,
) -> NestedEnds:
    """The ends inside a lease of `hard_seconds`; every argument in seconds, `checkpoint_seconds` the p99 of one write.

    Raises InsufficientBudget when nothing is left for the trainer.
    """
    hard, term = floor(hard_seconds), max(1, ceil(grace))
    job = hard - term - ceil(controller_lag) - SPARE_SECONDS
    pod = job - KUBELET_LEAD_SECONDS
    supervisor = pod - SUPERVISOR_LEAD_SECONDS
    trainer = supervisor - max(1, ceil(checkpoint_seconds + control_period))
    if trainer < MINIMUM_TRAINER_SECONDS:
        leads = SPARE_SECONDS + KUBELET_LEAD_SECONDS + SUPERVISOR_LEAD_SECONDS
        raise InsufficientBudget(
            f"what is left buys {hard} s of the gang, and {hard - trainer} s of them are the reserve for an orderly end"
            f" (grace {term} s, controller lag {ceil(controller_lag)} s, checkpoint {checkpoint_seconds:.1f} s,"
            f" control period {control_period:.1f} s, leads {leads} s):"
            f" raise the budget by at least {MINIMUM_TRAINER_SECONDS - trainer} s of the gang, or use fewer accelerators"
        )
    return NestedEnds(trainer, supervisor, pod, job, hard, term, max(1, ceil(startup_timeout)))


def grace_seconds(plan: Plan) -> int:
    """The attempt's terminationGracePeriodSeconds: one step and one write at their p99, so that a notice costs no step."""
    step, write = plan.step_seconds.quantile(WORST_QUANTILE), plan.checkpoint_seconds.quantile(WORST_QUANTILE)
    return max(MINIMUM_GRACE_SECONDS, ceil(step + write) + GRACE_MARGIN_SECONDS)
