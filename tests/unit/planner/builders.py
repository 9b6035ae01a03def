"""Questions to the planner, built in one place."""

from decimal import Decimal

from farthing.api.amounts import Axis
from farthing.api.job import StrategySpec
from farthing.catalog import accelerator, preset
from farthing.contract.shape import shape_from_config
from farthing.domain.planning import PlanRequest, PoolOffer
from farthing.units import GIB


def offer_of(name: str = "laptop", row: str = "cpu-slot", **changes: object) -> PoolOffer:
    cpu = row == "cpu-slot"
    values = {
        "name": name,
        "accelerator": accelerator(row),
        "accelerators_per_node": 2 if cpu else 8,
        "accelerators": 2 if cpu else 64,
        "price_per_accelerator_hour": Decimal("0.5"),
        "currency": "USD",
        "spot": False,
        "memory_bytes": 4 * GIB if cpu else None,
        "measured_flops_per_second": 4.0e10 if cpu else None,
    }
    return PoolOffer(**{**values, **changes})


def ask_of(model: str = "llama-1m", **changes: object) -> PlanRequest:
    values = {
        "shape": shape_from_config(preset(model)),
        "adapter": "None",
        "adapter_parameters": 0,
        "pretrained": False,
        "sequence_length": 256,
        "global_batch": 4,
        "pools": (offer_of(),),
        "min_accelerators": 1,
        "max_accelerators": 8,
        "fixed": StrategySpec(),
        "remaining": {Axis.COST: Decimal("0.06")},
        "seconds_left": None,
    }
    return PlanRequest(**{**values, **changes})
