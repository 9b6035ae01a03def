"""The free constants of the time estimate: what each means physically, its value, and how wide it is believed to lie.

Values were fitted by `fitting_time.fit_time` on `ground_truth/training_runs.csv`, every source with equal weight; `prior` is an
expectation from kernels and links of the kind, `spread` the standard deviation of its logarithm. A fit balances the two.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any


def _constant(value: float, prior: float, spread: float, meaning: str) -> Any:
    return field(default=value, metadata={"prior": prior, "spread": spread, "meaning": meaning})


@dataclass(frozen=True, slots=True)
class TimeConstants:
    """Positive numbers; those with `spread` 0 are not fitted."""

    gemm_efficiency: float = _constant(
        1.04, 0.85, 0.15, "rate of a layer's matmuls ÷ the best shape's, at 153 FLOP per byte (A100)"
    )
    balance_exponent: float = _constant(0.274, 0.15, 0.7, "power by which that share falls with peak ÷ memory bandwidth")
    gemm_fixed: float = _constant(2.47e-05, 1e-5, 0.7, "s per matmul: ramp, tail of the last wave")
    gemm_traffic: float = _constant(
        0.468, 0.3, 0.5, "share of a matmul's operand traffic that does not overlap with its arithmetic"
    )
    fp8_efficiency: float = _constant(0.729, 0.75, 0.2, "share of the 8-bit peak ÷ share of the 16-bit peak, casts included")
    flash_efficiency: float = _constant(0.319, 0.5, 0.3, "rate of fused attention ÷ rate of large matmuls")
    wide_attention: float = _constant(2.84, 2.0, 0.4, "time of attention's products in 4 bytes ÷ in 2: no tensor cores")
    score_traffic: float = _constant(
        2.35, 2.5, 0.5, "passes of ideal kernels over the s × s scores of eager attention, forward"
    )
    memory_efficiency: float = _constant(0.8, 0.8, 0.0, "share of the memory bandwidth that streaming kernels reach")
    cast_traffic: float = _constant(0.361, 0.5, 0.5, "operand traffic of casts to 8 bits ÷ the product's own")
    adapter_traffic: float = _constant(0.683, 0.3, 0.6, "traffic of adapters on all matrices ÷ those matrices' operands")
    eager_traffic: float = _constant(3.56, 3.0, 0.5, "elementwise traffic of unfused kernels (fp32 norms) ÷ the least possible")
    fused_traffic: float = _constant(1.46, 1.5, 0.5, "the same with fused norms and rotary positions")
    compiled_traffic: float = _constant(0.738, 0.9, 0.4, "the same after torch.compile")
    logit_traffic: float = _constant(0.915, 1.0, 0.5, "traffic of the loss ÷ the bytes counted for its implementation")
    launch_eager: float = _constant(0.000983, 7.5e-4, 0.25, "s of host time per pass of one layer, eager")
    launch_compiled: float = _constant(0.00016, 1.5e-4, 0.5, "the same after torch.compile")
    launch_adapter: float = _constant(2.19, 1.0, 0.4, "adapters' extra launches ÷ those of the layer")
    launch_unit: float = _constant(0.000788, 3e-4, 0.5, "s of host time per pass of one FSDP unit")
    launch_expert: float = _constant(2.03, 2.0, 0.5, "routing's extra launches ÷ those of the layer")
    dequantization: float = _constant(1.25, 2.0, 0.5, "passes over the 16-bit weights that dequantizing them costs")
    expert_overhead: float = _constant(
        1.09, 1.0, 0.5, "time of routing, permuting and uneven experts, in passes over routed tokens"
    )
    launch_overlap: float = _constant(
        1.76, 2.0, 0.4, "p − 1 of the norm that joins device and host time: 0 adds, large takes the larger"
    )
    network_overlap: float = _constant(0.241, 0.5, 0.5, "the same for arithmetic and the collectives that overlap with it")
    link_efficiency: float = _constant(0.48, 0.7, 0.2, "share of a link's one-way bandwidth in a node that collectives reach")
    shard_overhead: float = _constant(
        1.53, 2.0, 0.5, "time of FSDP collectives ÷ their ring's: copies in and out of flat buffers"
    )
    network_efficiency: float = _constant(0.937, 0.85, 0.06, "share of the bandwidth between nodes that collectives reach")
    network_default: float = _constant(5e10, 5e10, 0.0, "bytes/s per device between nodes where nobody says: 400 Gbit/s")
    hop_latency: float = _constant(7.19e-06, 4e-6, 0.5, "s per step of a collective: ring in a node, tree between nodes")
    collective_launch: float = _constant(4.04e-05, 4e-5, 0.5, "s of host time per collective")
    optimizer_traffic: float = _constant(1.06, 1.3, 0.4, "traffic of the optimizer step ÷ one read and write of its tensors")
    step_fixed: float = _constant(0.00695, 1e-2, 0.7, "s per step: data, clipping, scaler, logging")
    sigma_measured: float = _constant(0.15, 0.15, 0.0, "error of the logarithm on devices whose matmul rate is published")
    sigma_unknown: float = _constant(0.30, 0.30, 0.0, "the same on others")

    @classmethod
    def facts(cls) -> Mapping[str, Mapping[str, Any]]:
        """Prior, spread and meaning of every constant by name."""
        return {each.name: each.metadata for each in fields(cls)}

    @classmethod
    def free(cls) -> tuple[str, ...]:
        """Names of those that a fit may move."""
        return tuple(name for name, facts in cls.facts().items() if facts["spread"] > 0)
