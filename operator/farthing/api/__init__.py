"""The resources of `farthing.dev/v1alpha1`: what users say. One file a kind; there is no second copy of these fields."""

from farthing.api.budget import TrainingBudget, TrainingBudgetSpec, TrainingBudgetStatus
from farthing.api.job import BudgetedTrainingJob, BudgetedTrainingJobSpec, BudgetedTrainingJobStatus
from farthing.api.pool import GPUNodePool, GPUNodePoolSpec, GPUNodePoolStatus
from farthing.api.spend import SpendRecord, SpendRecordSpec, SpendRecordStatus

__all__ = [
    "BudgetedTrainingJob", "BudgetedTrainingJobSpec", "BudgetedTrainingJobStatus",
    "GPUNodePool", "GPUNodePoolSpec", "GPUNodePoolStatus",
    "SpendRecord", "SpendRecordSpec", "SpendRecordStatus",
    "TrainingBudget", "TrainingBudgetSpec", "TrainingBudgetStatus",
]  # fmt: skip

GROUP = "farthing.dev"
VERSION = "v1alpha1"
API_VERSION = f"{GROUP}/{VERSION}"
