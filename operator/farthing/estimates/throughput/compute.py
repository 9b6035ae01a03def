"""Arithmetic and memory traffic of one layer and of the head, in seconds a micro-batch on one device."""

import numpy as np

from farthing.estimates.configuration import Configurations, Floats, Loss
from farthing.estimates.constants_time import TimeConstants
from farthing.estimates.throughput.passes import elementwise_again, matmuls_again, weight_gradients
from farthing.estimates.throughput.sustained import sustained_share

BALANCE = 153.0
"""FLOP per byte of the device that `gemm_efficiency` is stated for: A100-80GB, 312 TFLOP/s ÷ 2.039 TB/s."""
STREAM = 10.0
"""Elements of the hidden width that a layer's two norms and two residual additions read and write."""
LOGIT_BYTES = {Loss.EAGER: 40.0, Loss.COMPILED: 14.0, Loss.FUSED_CE: 10.0, Loss.FUSED_LINEAR: 10.0, Loss.CHUNKED: 16.0}
"""Bytes moved per logit, forward and backward: eager casts, shifts, log-softmax and gradient in fp32; fused kernels twice."""
MERGE = 7.0
"""Elements per weight that DoRA's norm of a merged weight moves: product written, scaled, added to the base, read."""
RESCALED = 3.0
"""Elements per output that its magnitudes move at least: outputs of base and adapter in, their scaled sum out."""
EAGER_KERNELS, FUSED_KERNELS, COMPILED_KERNELS = 28.0, 14.0, 6.0
"""Kernels of a layer's forward pass beside matmuls: norms of six kernels and positions of eight, or one each; or compiled."""


def tokens(c: Configurations) -> Floats:
    """Tokens of one micro-batch on one device, at the mean length."""
    return c.micro_batch * c.sequence_length / c.cp


def matmul_rate(c: Configurations, k: TimeConstants) -> Floats:
    """FLOP/s of large matmuls in the compute dtype."""
    balance = c.peak_flops / c.memory_bandwidth / BALANCE
    return c.peak_flops * sustained_share(c) * k.gemm_efficiency * balance**-k.balance_exponent


def bandwidth(c: Configurations, k: TimeConstants) -> Floats:
    """Bytes/s of streaming kernels."""
    return c.memory_bandwidth * k.memory_efficiency


def matmuls(c: Configurations, k: TimeConstants, rate: Floats) -> Floats:
    """The layer's products with its matrices at that rate: forward, again, gradients of inputs and of weights."""
    t = tokens(c)
    eighth = rate * k.fp8_efficiency * c.peak_fp8_flops / c.peak_flops
    rate = np.where((c.fp8 > 0) & (c.peak_fp8_flops > 0), np.maximum(rate, eighth), rate)
    arithmetic = 2.0 * t * c.layer_matmul_parameters / c.tp / rate
    widths = 4 * c.hidden + 2 * c.query_width + 2 * c.kv_width + c.mlp_matrices * (c.hidden + c.active_ffn)
    weights = (c.layer_parameters - c.expert_parameters * (1 - 1 / c.ep)) / c.tp
    traffic = c.compute_bytes * (t * widths / c.tp + weights) / bandwidth(c, k)
    number = 4.0 + c.mlp_matrices
    casts = np.where(c.fp8 > 0, k.cast_traffic * traffic_factor(c, k), 0.0)
    passes = 2.0 + matmuls_again(c) + weight_gradients(c)
    return passes * (arithmetic + (k.gemm_traffic + casts) * traffic + k.gemm_fixed * number)


def traffic_factor(c: Configurations, k: TimeConstants) -> Floats:
    """Traffic of elementwise kernels ÷ the least possible: unfused, fused, or compiled."""
    unfused = np.where(c.fused_norms > 0, k.fused_traffic, k.eager_traffic)
    return np.where(c.compiled > 0, k.compiled_traffic, unfused)


def elementwise(c: Configurations, k: TimeConstants) -> Floats:
    """Norms, additions, activations, rotary positions."""
    stream = STREAM * c.hidden * c.residual_bytes / np.where(c.sequence_parallel > 0, c.tp, 1.0)
    inner = (c.mlp_matrices * c.active_ffn + 2 * (c.query_width + c.kv_width)) * c.compute_bytes / c.tp
    ends = 4 * c.hidden + 2 * c.query_width + 2 * c.kv_width + c.mlp_matrices * (c.hidden + c.active_ffn)
    adapted = c.has_adapter * k.adapter_traffic * ends * c.compute_bytes / c.tp
    rescaled = RESCALED * c.decomposed_width * c.compute_bytes / c.tp
    moved = stream + inner + adapted + rescaled
    once = traffic_factor(c, k) * tokens(c) * moved / bandwidth(c, k) + k.kernel_fixed * kernels(c)
    return (3.0 + elementwise_again(c)) * once


def kernels(c: Configurations) -> Floats:
    """Kernels of a layer that are no matmul, forward: norms, positions, residuals, activation, copies between layouts."""
    unfused = np.where(c.fused_norms > 0, FUSED_KERNELS, EAGER_KERNELS)
    return np.where(c.compiled > 0, COMPILED_KERNELS, unfused)


def weight_preparation(c: Configurations, k: TimeConstants) -> Floats:
    """Dequantizing frozen weights, and autocast's 16-bit copies of wider ones, in every pass; DoRA merges in forward ones."""
    passes = 2.0 + matmuls_again(c)
    dequantized = c.quantized * k.dequantization * c.compute_bytes
    copied = c.autocast_copy * (1 - c.has_adapter) * (c.parameter_bytes + c.compute_bytes)
    merged = (passes - 1.0) * MERGE * c.compute_bytes * c.decomposed_parameters
    return (passes * (dequantized + copied) * c.layer_parameters + merged) / c.tp / bandwidth(c, k)


def experts(c: Configurations, k: TimeConstants) -> Floats:
    """Router, permutation and waiting for the fullest expert."""
    moved = tokens(c) * c.experts_per_token * c.hidden * c.compute_bytes * 4.0
    again = 3.0 + elementwise_again(c)
    return np.where(c.experts > 0, again * k.expert_overhead * moved / bandwidth(c, k), 0.0)


def head(c: Configurations, k: TimeConstants, rate: Floats) -> Floats:
    """Logits, loss and their gradients, products at that rate; a fused head computes the logits twice."""
    t = tokens(c)
    passes = 2.0 + weight_gradients(c)
    arithmetic = passes * 2.0 * t * c.embedding_parameters / rate
    per_logit = np.array([LOGIT_BYTES[kind] for kind in Loss])[c.loss.astype(np.int64)]
    traffic = k.logit_traffic * per_logit * t * c.vocabulary / bandwidth(c, k)
    return (arithmetic + traffic) / c.tp
