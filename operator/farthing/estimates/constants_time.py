"""The free constants of the time estimate: what each means physically, its value, and how wide it is believed to lie.

Values were fitted by `fitting_time.fit_time` on `ground_truth/training_runs.csv`, every source with equal weight; `prior` is an
expectation from kernels and links of the kind, `spread` the standard deviation of its logarithm. A fit balances the two.
"""

from dataclasses import dataclass

from farthing.estimates.constants import Constants, constant

KNOWN = "not fitted: "


@dataclass(frozen=True, slots=True)
class TimeConstants(Constants):
    """Positive numbers; those with `spread` 0 are not fitted."""

    gemm_efficiency: float = constant(
        1.04, 0.85, 0.15, "rate of a layer's matmuls ÷ the best shape's, at 153 FLOP per byte (A100)"
    )
    balance_exponent: float = constant(0.269, 0.15, 0.7, "power by which that share falls with peak ÷ memory bandwidth")
    gemm_fixed: float = constant(1.18e-05, 1e-5, 0.3, "s per matmul: ramp, tail of the last wave")
    gemm_traffic: float = constant(
        0.517, 0.3, 0.5, "share of a matmul's operand traffic that does not overlap with its arithmetic"
    )
    fp8_efficiency: float = constant(0.734, 0.75, 0.2, "share of the 8-bit peak ÷ share of the 16-bit peak, casts included")
    flash_efficiency: float = constant(0.316, 0.4, 0.3, "rate of fused attention ÷ rate of large matmuls")
    wide_attention: float = constant(2.81, 2.0, 0.4, "time of attention's products in 4 bytes ÷ in 2: no tensor cores")
    score_traffic: float = constant(2.44, 2.5, 0.5, "passes of ideal kernels over the s × s scores of eager attention, forward")
    memory_efficiency: float = constant(
        0.8, 0.8, 0.0, "share of the memory bandwidth that streaming kernels reach", KNOWN + "scales with the traffic factors"
    )
    cast_traffic: float = constant(0.356, 0.5, 0.5, "operand traffic of casts to 8 bits ÷ the product's own")
    adapter_traffic: float = constant(0.718, 0.3, 0.6, "traffic of adapters on all matrices ÷ those matrices' operands")
    eager_traffic: float = constant(3.47, 3.0, 0.5, "elementwise traffic of unfused kernels (fp32 norms) ÷ the least possible")
    fused_traffic: float = constant(1.49, 1.5, 0.5, "the same with fused norms and rotary positions")
    compiled_traffic: float = constant(0.764, 0.9, 0.4, "the same after torch.compile")
    kernel_fixed: float = constant(
        5.61e-06, 3e-6, 0.7, "s per kernel that is no matmul: ramp and tail, however little it moves"
    )
    logit_traffic: float = constant(1.01, 1.0, 0.5, "traffic of the loss ÷ the bytes counted for its implementation")
    launch_eager: float = constant(0.001, 7.5e-4, 0.25, "s of host time per pass of one layer, eager")
    launch_compiled: float = constant(0.000152, 1.5e-4, 0.5, "the same after torch.compile")
    launch_adapter: float = constant(2.27, 1.0, 0.4, "adapters' extra launches ÷ those of the layer")
    launch_softmax: float = constant(0.422, 0.3, 0.5, "extra launches of a softmax that is not fused ÷ those of the layer")
    launch_unit: float = constant(0.000792, 3e-4, 0.5, "s of host time per pass of one FSDP unit")
    launch_expert: float = constant(2.61, 2.0, 0.5, "routing's extra launches ÷ those of the layer")
    dequantization: float = constant(1.23, 2.0, 0.5, "passes over the 16-bit weights that dequantizing them costs")
    expert_overhead: float = constant(
        1.08, 1.0, 0.5, "time of routing, permuting and uneven experts, in passes over routed tokens"
    )
    launch_overlap: float = constant(
        2.82, 3.0, 0.15, "p − 1 of the norm that joins device and host time: 0 adds, large takes the larger"
    )
    network_overlap: float = constant(0.263, 0.5, 0.5, "the same for arithmetic and the collectives that overlap with it")
    link_efficiency: float = constant(0.471, 0.7, 0.2, "share of a link's one-way bandwidth in a node that collectives reach")
    shard_overhead: float = constant(
        1.57, 2.0, 0.5, "time of FSDP collectives ÷ their ring's: copies in and out of flat buffers"
    )
    network_efficiency: float = constant(0.938, 0.85, 0.06, "share of the bandwidth between nodes that collectives reach")
    network_default: float = constant(
        5e10, 5e10, 0.0, "bytes/s per device between nodes where nobody says: 400 Gbit/s", KNOWN + "the usual H100 node"
    )
    hop_latency: float = constant(6.34e-06, 4e-6, 0.5, "s per step of a collective: ring in a node, tree between nodes")
    collective_launch: float = constant(5.82e-05, 6e-5, 0.15, "s of host time per collective")
    optimizer_traffic: float = constant(1.09, 1.3, 0.4, "traffic of the optimizer step ÷ one read and write of its tensors")
    step_fixed: float = constant(0.00726, 1e-2, 0.7, "s per step: data, clipping, scaler, logging")
    sigma_measured: float = constant(
        0.15, 0.15, 0.0, "error of the logarithm on devices whose matmul rate is published", KNOWN + "read off the errors left"
    )
    sigma_unknown: float = constant(0.30, 0.30, 0.0, "the same on others, and with offload or DoRA", KNOWN + "twice that")
