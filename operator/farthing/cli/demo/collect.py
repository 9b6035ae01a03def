"""What the API server and the checkpoint volume hold about a job, as the demo's result."""

import hashlib
from collections.abc import Mapping
from pathlib import Path

from pydantic import ValidationError

from farthing.api import BudgetedTrainingJob, SpendRecord
from farthing.api.job import CheckpointStatus, Estimate
from farthing.cli.demo.result import AttemptResult, CheckpointResult, JobResult, PredictionResult
from farthing.cli.demo.setting import Setting
from farthing.cli.predictions import estimates, relative_error
from farthing.contract.checkpoint import MANIFEST_NAME, Manifest


def job_result(
    job: BudgetedTrainingJob, records: list[SpendRecord], seen: Mapping[int, CheckpointStatus], setting: Setting
) -> JobResult:
    """Everything about one job; `seen` are the checkpoints that its status named while it ran."""
    status = job.status
    progress = status.progress
    losses = [record.status.validation_loss for record in records if record.status.validation_loss]
    loss = (progress.validation_loss if progress else None) or (losses[-1] if losses else None)
    return JobResult(
        name=job.metadata.name,
        state=status.state or "",
        limit=job.spec.budget.limits.to_dict(),
        spent=status.spent.to_dict() if status.spent else {},
        spend_records=[{"spec": record.spec.to_dict(), "status": record.status.to_dict()} for record in records],
        attempts=[_attempt(record) for record in records],
        checkpoints=checkpoints(seen, on_volume(setting.checkpoints, job.metadata.uid)),
        predictions=_predictions(estimates(status.plan, records)),
        validation_loss=float(loss) if loss else None,
        bits_per_byte=float(progress.bits_per_byte) if progress and progress.bits_per_byte else None,
        weights=str(setting.on_host(status.output_uri)) if status.output_uri else None,
        decisions=[decision.to_dict() for decision in status.decisions],
    )


def checkpoints(seen: Mapping[int, CheckpointStatus], kept: Mapping[int, CheckpointResult]) -> list[CheckpointResult]:
    """Those that were seen and those that lie on the volume, by step; the volume knows better."""
    told = {
        step: CheckpointResult(
            step=step, digest=status.digest, seconds=float(status.seconds) if status.seconds else None, kept=False
        )
        for step, status in seen.items()
    }
    return [checkpoint for _, checkpoint in sorted({**told, **kept}.items())]


def on_volume(root: Path, job_uid: str) -> dict[int, CheckpointResult]:
    """The committed checkpoints of a job below `root`, by step. A manifest that cannot be read is no checkpoint."""
    found = {}
    for file in root.rglob(MANIFEST_NAME):
        manifest = _read(file)
        if manifest is not None and manifest.job_uid == job_uid and ".tmp" not in file.parent.name:
            digest = hashlib.sha256(file.read_bytes()).hexdigest()
            found[manifest.step] = CheckpointResult(
                step=manifest.step, digest=digest, seconds=manifest.duration_seconds, kept=True
            )
    return found


def _read(file: Path) -> Manifest | None:
    """A checkpoint's manifest, or None: the products of the prepare stage have manifests of another form."""
    try:
        return Manifest.model_validate_json(file.read_bytes())
    except ValidationError:
        return None


def _attempt(record: SpendRecord) -> AttemptResult:
    status = record.status
    return AttemptResult.model_validate(
        {
            "name": record.spec.attempt,
            "stage": record.spec.stage,
            "from": status.started_at,
            "to": status.ended_at,
            "first_step": status.first_step,
            "last_step": status.last_step,
            "resumed_from": status.resumed_from,
            "why_ended": status.outcome or status.phase,
            "message": status.message,
            "lost_steps": status.lost_steps,
            "cost": status.charged.cost if status.charged else None,
        }
    )


def _predictions(found: Mapping[str, Estimate]) -> list[PredictionResult]:
    return [
        PredictionResult(
            name=name, unit=estimate.unit, predicted=estimate.value, low=estimate.low, high=estimate.high,
            measured=estimate.measured, error=relative_error(estimate),
        )
        for name, estimate in found.items()
    ]  # fmt: skip
