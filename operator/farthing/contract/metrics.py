"""Names of the trainer's Prometheus metrics, their kind and help, and the only labels they carry."""

from typing import Final, Literal, NamedTuple

LABELS: Final = ("job", "namespace", "attempt", "rank")
PREFIX: Final = "farthing_trainer_"


class Metric(NamedTuple):
    """One metric family: `name` without the prefix, as exposed."""

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    help: str


TRAINER_METRICS: Final = (
    Metric("tokens_total", "counter", "Tokens trained on by this attempt, replays included."),
    Metric("flops_total", "counter", "Floating-point operations executed by this attempt, recomputation included."),
    Metric("samples_total", "counter", "Sequences trained on by this attempt."),
    Metric("steps_total", "counter", "Optimizer steps made by this attempt."),
    Metric("step_duration_seconds", "histogram", "Wall time of one optimizer step."),
    Metric("tokens_per_second", "gauge", "Tokens per second of the whole gang, smoothed over recent steps."),
    Metric("loss", "gauge", "Training cross-entropy of the last step in nats per token."),
    Metric("validation_loss", "gauge", "Validation cross-entropy in nats per token."),
    Metric("learning_rate", "gauge", "Learning rate of the last step."),
    Metric("gradient_norm", "gauge", "Global gradient norm before clipping."),
    Metric("memory_allocated_bytes", "gauge", "Memory in use: device allocator, or resident set on a CPU."),
    Metric("memory_reserved_bytes", "gauge", "Memory reserved by the device allocator; equals allocated on a CPU."),
    Metric("memory_peak_bytes", "gauge", "Peak of the memory in use since the attempt started."),
    Metric("memory_limit_bytes", "gauge", "Memory that this process may use."),
    Metric("mfu_ratio", "gauge", "Model FLOPs utilisation: 6N + attention, over the dense peak; absent if unknown."),
    Metric("goodput_ratio", "gauge", "Step time of surviving steps over held time."),
    Metric("checkpoint_duration_seconds", "histogram", "Wall time of one checkpoint, request to manifest."),
    Metric("checkpoint_bytes", "gauge", "Bytes of the newest checkpoint."),
    Metric("lost_steps_total", "counter", "Steps replayed because an earlier attempt lost them."),
)
