"""The planner's parameter counts against transformers' own, on the meta device."""

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from farthing.catalog import preset, presets
from farthing.contract.shape import shape_from_config

pytestmark = pytest.mark.trainer


@pytest.mark.parametrize("name", presets())
def test_parameters_equal_transformers(name):
    config = preset(name)
    with torch.device("meta"):
        model = LlamaForCausalLM(LlamaConfig(**config))
    shape = shape_from_config(config)
    assert sum(parameter.numel() for parameter in model.parameters()) == shape.parameters
    assert sum(parameter.numel() for parameter in model.model.layers[0].parameters()) == shape.layer_parameters
