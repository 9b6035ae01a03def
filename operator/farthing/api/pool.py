"""GPUNodePool (gnp; cluster-scoped): accelerators of one kind at one price."""

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field

from farthing.api.base import (
    ApiModel,
    BigNumber,
    Currency,
    Duration,
    LabelMap,
    LabelSelector,
    Money,
    ObjectMeta,
    Quantity,
    ShortText,
    StatusModel,
    Timestamp,
    rule,
    rules,
)
from farthing.api.conditions import Condition


class PriceSpec(ApiModel):
    """What one accelerator costs per hour, and who says so. `asOf` is provenance: it never rates the past."""

    per_accelerator_hour: Money
    """What one accelerator costs for one hour."""
    currency: Currency
    """ISO 4217 code, for example USD."""
    source: Annotated[str, Field(min_length=1, max_length=256)]
    """Who says so: a price list's name or address."""
    as_of: Timestamp | None = None
    """When the source said so."""


class RateSpec(ApiModel):
    """What one accelerator of this pool was measured to do; overrides the catalogue."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            rule(
                "double(self.flopsPerSecond) > 0.0",
                'rate.flopsPerSecond must be above 0, for example "5e10"; leave rate out if unknown',
            ),
            rule(
                "!has(self.memoryBytesPerSecond) || double(self.memoryBytesPerSecond) > 0.0",
                "rate.memoryBytesPerSecond must be above 0; leave it out if unknown",
            ),
        )
    )
    flops_per_second: BigNumber
    """Dense matrix products, in FLOPs per second."""
    memory_bytes_per_second: BigNumber | None = None
    """Memory bandwidth, in bytes per second."""
    source: Annotated[str, Field(min_length=1, max_length=256)] = "measured"
    """How the rate is known."""
    as_of: Timestamp | None = None
    """When it was measured."""


class GPUNodePoolSpec(ApiModel):
    """Nodes of one kind. Accelerators not in the catalogue stall the pool; they are no schema enum."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            rule("self.minNodes <= self.maxNodes", "minNodes must not be above maxNodes"),
            rule(
                "!has(self.networkBytesPerSecond) || double(self.networkBytesPerSecond) > 0.0",
                'networkBytesPerSecond must be above 0, for example "5e10"; leave it out if unknown',
            ),
        )
    )
    accelerator: Annotated[str, Field(min_length=1, max_length=64)]
    """A name of the catalogue, for example H100-SXM or cpu-slot."""
    accelerators_per_node: Annotated[int, Field(ge=1, le=1024)] = 8
    """Accelerators on each node."""
    accelerator_memory: Quantity | None = None
    """Memory that one accelerator's share of a node may use; absent: the catalogue's."""
    price: PriceSpec | None = None
    """Absent: no job with a money budget can use the pool."""
    rate: RateSpec | None = None
    """A measured speed that overrides the catalogue's."""
    network_bytes_per_second: BigNumber | None = None
    """From one node to others, one way, in bytes per second (400 Gbit/s is 5e10); absent: 5e10 for each of its accelerators."""
    spot: bool = False
    """Capacity that its owner may take back."""
    provider: Literal["Static", "Scale", "Karpenter", "ProvisioningRequest"] = "Static"
    """Who brings nodes: Static pools have the nodes that are there."""
    min_nodes: Annotated[int, Field(ge=0, le=10_000)] = 0
    """Nodes that are always kept."""
    max_nodes: Annotated[int, Field(ge=0, le=10_000)] = 1
    """Never more nodes than this."""
    node_selector: LabelMap = Field(default_factory=dict)
    """Labels of the pool's nodes."""
    tolerations: Annotated[
        list[Annotated[dict[str, Any], Field(json_schema_extra={"x-kubernetes-preserve-unknown-fields": True})]],
        Field(max_length=16),
    ] = Field(default_factory=list)
    """Tolerations that pods on the pool need, as in a pod's spec."""
    resource_name: Annotated[str, Field(min_length=1, max_length=253)] = "nvidia.com/gpu"
    """The extended resource that counts the accelerators."""
    namespace_selector: LabelSelector | None = None
    """Namespaces that may use the pool; absent: none; `{}`: every one."""
    mean_time_between_failures: Duration = "24h"
    """Of one node; drives the checkpoint interval (Young/Daly)."""


class GPUNodePoolStatus(StatusModel):
    """Accelerators seen on the pool's nodes."""

    observed_generation: int | None = Field(default=None, ge=0)
    """The generation of the spec that this status is about."""
    nodes: int = 0
    """The pool's nodes that are there."""
    accelerators: int = 0
    """Accelerators on them."""
    free: int = 0
    """Accelerators that nothing holds."""
    held: int = 0
    """Accelerators that attempts hold."""
    desired_nodes: int = 0
    """Nodes that the jobs which run or want to run ask for now: what an autoscaler should bring up, up to maxNodes."""
    one_node_more: ShortText | None = None
    """What a node beyond maxNodes would do for the jobs that wait; absent where none could start on it."""
    price_text: ShortText | None = None
    """For the printer column."""
    startup_seconds: ShortText | None = None
    """Bound to first step, smoothed over this pool's attempts."""
    conditions: Annotated[list[Condition], Field(max_length=16)] = Field(default_factory=list)
    """What is observed, by type."""


class GPUNodePool(ApiModel):
    """Accelerators of one kind at one price."""

    model_config = ConfigDict(extra="ignore")
    api_version: Literal["farthing.dev/v1alpha1"] = "farthing.dev/v1alpha1"
    kind: Literal["GPUNodePool"] = "GPUNodePool"
    metadata: ObjectMeta
    spec: GPUNodePoolSpec
    status: GPUNodePoolStatus = GPUNodePoolStatus()
