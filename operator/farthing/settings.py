"""Every setting of the operator, in one tree: unknown keys are refused, each has a default that works on a small cluster.

Order of values: a key in the YAML file that the environment variable FARTHING_SETTINGS names, else the default here. Nothing
else sets a setting; the chart renders that file. Durations are in seconds. Keys are camelCase in YAML.
"""

from typing import Annotated, Any, Final, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel

from farthing.errors import InvalidSpec

ENV_SETTINGS: Final = "FARTHING_SETTINGS"
"""Path of the YAML file; absent: the defaults."""

PositiveSeconds = Annotated[float, Field(gt=0, le=86400 * 30)]


class Section(BaseModel):
    """Part of the tree."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, extra="forbid", frozen=True)


class CycleSettings(Section):
    """How often the loop turns and how late it may be."""

    control_period: PositiveSeconds = 5.0
    """Longest time between two cycles; an event makes the next one come at once."""
    controller_lag: PositiveSeconds = 5.0
    """How late the Job controller may act on a deadline (2–3 s measured, research/local_cluster.md)."""
    resync: PositiveSeconds = 300.0
    """Everything is listed anew this often, whatever the watches said."""
    progress_throttle: PositiveSeconds = 15.0
    """Fast numbers (`status.progress`, spent) are written at most this often (DESIGN 3)."""
    refused_retry: PositiveSeconds = 30.0
    """What the API server refused is tried again this much later, or at once when the spec changed."""
    port_concurrency: Annotated[int, Field(ge=1, le=256)] = 16
    """Trainers that are asked for their progress at the same time."""


class HandshakeSettings(Section):
    """The checkpoint handshake (DESIGN 5)."""

    deadline: PositiveSeconds = 120.0
    """From the request to the acknowledgement; past it the Job's deadline is lowered to now."""
    failed_posts: Annotated[int, Field(ge=1, le=100)] = 2
    """Failed POSTs after which the operator stops asking and lowers the Job's deadline."""
    http_timeout: PositiveSeconds = 5.0


class AttemptSettings(Section):
    """Sizes and times of attempts."""

    prepare_seconds: PositiveSeconds = 3600.0
    """Longest lease of one prepare attempt; prepare is resumable, so a longer one takes two."""
    prepare_memory: str = "1Gi"
    """Memory of the prepare stage: tokeniser and shards, no torch."""
    lease_margin: Annotated[float, Field(ge=1.0, le=100.0)] = 3.0
    """Where time is not what binds, a lease is this many times as long as the run is predicted to take (at p90)."""
    minimum_lease: PositiveSeconds = 120.0
    """Added to such a lease, so that a tiny run outlives its own start-up."""
    cpu_request: str = "500m"
    """CPU request of one accelerator's share of a pod, where the accelerator is not itself a CPU slot."""
    grace_margin: PositiveSeconds = 30.0
    """A node's own account of an end may lag this far behind the hard end before the bill is closed without it."""


class WorkerSettings(Section):
    """What every pod of an attempt carries."""

    trainer_image: str = "farthing-trainer:latest"
    image_pull_policy: Literal["Always", "IfNotPresent", "Never"] = "IfNotPresent"
    priority_class: str | None = "farthing-worker"
    """The chart's class with `preemptionPolicy: Never`; None: the cluster's default."""
    run_as_user: Annotated[int, Field(ge=1, le=2**31 - 1)] = 10001


class LeadershipSettings(Section):
    """The coordination.k8s.io Lease that one operator holds."""

    name: str = "farthing-operator"
    duration: PositiveSeconds = 10.0
    renew_every: PositiveSeconds = 2.0
    """A leader that could not renew for two thirds of `duration` stops acting (DESIGN 4)."""


class Settings(Section):
    """The whole tree."""

    operator_namespace: str = "farthing-system"
    prometheus_namespace: str = "monitoring"
    """Pods of this namespace may scrape the trainers."""
    cycle: CycleSettings = CycleSettings()
    handshake: HandshakeSettings = HandshakeSettings()
    attempt: AttemptSettings = AttemptSettings()
    worker: WorkerSettings = WorkerSettings()
    leadership: LeadershipSettings = LeadershipSettings()


def parse_settings(text: str) -> Settings:
    """The tree from YAML; empty text means the defaults. Raises InvalidSpec that names the key and what is wrong with it."""
    try:
        loaded: Any = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise InvalidSpec("settings", text[:80], f"write YAML ({error})") from error
    try:
        return Settings.model_validate({} if loaded is None else loaded)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"]) or "settings"
        raise InvalidSpec(field, first.get("input"), first["msg"]) from error
