"""The phases of one step and what lives in each of them."""

from dataclasses import dataclass

import numpy as np

from farthing.estimates.configuration import Configurations, Floats
from farthing.estimates.constants_memory import MemoryConstants
from farthing.estimates.memory import activations, loss, states, unsharded

Phase = dict[str, Floats]


@dataclass(frozen=True, slots=True)
class Gradients:
    """Bytes of gradients from the begin of a backward pass to the optimizer's step."""

    before: Floats
    """Already there when it begins: of earlier micro-batches, or buffers that are never freed."""
    after: Floats
    step: Floats


def gradients(c: Configurations, s: states.Split) -> Gradients:
    """Gradients of the stage's rank, freed after a step.

    Where micro-batches accumulate, or a buffer wider than the parameters collects them, they are there in the next forward pass
    too. Whole gradients that pile up stand in for the sharded ones until they are reduced.
    """
    own, extra = states.gradient_bytes(c, s), states.extra_gradient_bytes(c, s)
    piled = c.accumulation > 1
    buffered = (c.gradient_bytes > c.parameter_bytes) & (c.has_adapter == 0)
    beside = np.where(piled | buffered, own, 0.0) + np.where(piled, extra, 0.0)
    instead = np.where(extra > 0, extra, own)
    whole_piles = (s.gradient_shards > 1) & (extra > 0)
    return Gradients(
        np.where(whole_piles, np.where(piled, instead, 0.0), beside),
        np.where(whole_piles, np.where(piled, np.maximum(own, extra), own), own + extra),
        np.where(whole_piles, own, own + extra),
    )


def phases(c: Configurations, k: MemoryConstants) -> dict[str, Phase]:
    """Bytes by phase and term: loss, backward (its first layer, its last), optimizer; on a CPU load and save beside them."""
    first, last = states.stages(c)
    return {
        "loss": _loss(c, k, last),
        **_backward(c, k, first),
        "optimizer": {
            **_resting(c, first),
            "gradients": gradients(c, first).step,
            "temporaries": states.step_bytes(c, first),
        },
        **_host_phases(c, first),
    }


def freed_gradients(c: Configurations) -> Floats:
    """Bytes of gradients that are free in the loss phase and yet held by the allocator.

    Pieces of sharded gradients are smaller than activations, whose tensors cannot take their place.
    """
    s = states.stages(c)[0]
    kept = gradients(c, s)
    return unsharded.sharded(c, s) * np.maximum(kept.step - kept.before, 0.0)


def _resting(c: Configurations, s: states.Split) -> Phase:
    return {
        "parameters": states.parameter_bytes(c, s),
        "master weights": states.master_bytes(c, s),
        "optimizer states": states.state_bytes(c, s),
    }


def _loss(c: Configurations, k: MemoryConstants, s: states.Split) -> Phase:
    before = gradients(c, s).before
    return {
        **_resting(c, s),
        "autocast copy": unsharded.cast_bytes(c, s),
        "gradients": before,
        "activations": activations.stored_in_loss(c, k, s.stage_layers),
        "head input": loss.input_bytes(c),
        "logits": loss.logit_bytes(c, k),
        "head gradient": loss.head_bytes(c, s, before),
        "unsharded": unsharded.in_loss(c, s),
    }


def _backward(c: Configurations, k: MemoryConstants, s: states.Split) -> dict[str, Phase]:
    """The first layer of the backward pass, when all activations are there, and the last, when all gradients are."""
    kept = gradients(c, s)
    always = {
        **_resting(c, s),
        "autocast copy": unsharded.cast_bytes(c, s),
        "working set": activations.working_bytes(c, k),
        "dequantized weight": unsharded.weight_bytes(c),
        "merged weight": unsharded.merged_bytes(c),
        "unsharded": unsharded.in_backward(c, s),
    }
    stored = activations.stored_bytes(c, k, s.stage_layers)
    return {
        "backward": {**always, "gradients": kept.before, "activations": stored},
        "end of backward": {**always, "gradients": kept.after},
    }


def _host_phases(c: Configurations, s: states.Split) -> dict[str, Phase]:
    """Where the device is the host: a full tensor twice while weights are loaded, exported weights while they are saved."""
    cpu = c.is_cpu
    largest = np.maximum(c.embedding_parameters, c.hidden * c.active_ffn)
    kept = {name: of_name * cpu for name, of_name in _resting(c, s).items()}
    return {
        "load": {"parameters": kept["parameters"], "full tensor": 2.0 * c.parameter_bytes * largest * cpu},
        "save": {**kept, "exported weights": s.trainable * c.parameter_bytes * cpu},
    }
