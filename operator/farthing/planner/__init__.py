"""The planner: what would each way of running a job buy, and which is best? Pure and deterministic.

`request.plan_request` gathers the question, `plan` answers it, `explain` and `marginal` read the answer.
"""

from farthing.planner.explain import explain, marginal, refusal
from farthing.planner.request import plan_request
from farthing.planner.search import plan

__all__ = ["explain", "marginal", "plan", "plan_request", "refusal"]
