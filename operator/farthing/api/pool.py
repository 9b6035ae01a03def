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
    currency: Currency
    source: Annotated[str, Field(min_length=1, max_length=256)]
    as_of: Timestamp | None = None


class RateSpec(ApiModel):
    """What one accelerator of this pool was measured to do; overrides the catalogue."""

    flops_per_second: BigNumber
    memory_bytes_per_second: BigNumber | None = None
    source: Annotated[str, Field(min_length=1, max_length=256)] = "measured"
    as_of: Timestamp | None = None


class GPUNodePoolSpec(ApiModel):
    """Nodes of one kind. Accelerators not in the catalogue stall the pool; they are no schema enum."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            rule("self.minNodes <= self.maxNodes", "minNodes must not be above maxNodes"),
        )
    )
    accelerator: Annotated[str, Field(min_length=1, max_length=64)]
    accelerators_per_node: Annotated[int, Field(ge=1, le=1024)] = 8
    accelerator_memory: Quantity | None = None
    """Memory that one accelerator's share of a node may use; absent: the catalogue's."""
    price: PriceSpec | None = None
    rate: RateSpec | None = None
    spot: bool = False
    provider: Literal["Static", "Scale", "Karpenter", "ProvisioningRequest"] = "Static"
    min_nodes: Annotated[int, Field(ge=0, le=10_000)] = 0
    max_nodes: Annotated[int, Field(ge=0, le=10_000)] = 1
    node_selector: LabelMap = Field(default_factory=dict)
    tolerations: Annotated[
        list[Annotated[dict[str, Any], Field(json_schema_extra={"x-kubernetes-preserve-unknown-fields": True})]],
        Field(max_length=16),
    ] = Field(default_factory=list)
    resource_name: Annotated[str, Field(min_length=1, max_length=253)] = "nvidia.com/gpu"
    namespace_selector: LabelSelector | None = None
    """Namespaces that may use the pool; absent: none; `{}`: every one."""
    mean_time_between_failures: Duration = "24h"
    """Of one node; drives the checkpoint interval (Young/Daly)."""


class GPUNodePoolStatus(StatusModel):
    """Accelerators seen on the pool's nodes."""

    observed_generation: int | None = Field(default=None, ge=0)
    nodes: int = 0
    accelerators: int = 0
    free: int = 0
    held: int = 0
    price_text: ShortText | None = None
    startup_seconds: ShortText | None = None
    """Bound to first step, smoothed over this pool's attempts."""
    conditions: Annotated[list[Condition], Field(max_length=16)] = Field(default_factory=list)


class GPUNodePool(ApiModel):
    """Accelerators of one kind at one price."""

    model_config = ConfigDict(extra="ignore")
    api_version: Literal["farthing.dev/v1alpha1"] = "farthing.dev/v1alpha1"
    kind: Literal["GPUNodePool"] = "GPUNodePool"
    metadata: ObjectMeta
    spec: GPUNodePoolSpec
    status: GPUNodePoolStatus = GPUNodePoolStatus()
