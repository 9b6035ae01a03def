"""Model architectures: exact sizes and parameter counts from a Hugging Face config alone, without torch."""

from farthing.models.architecture import Architecture, Experts, model_columns
from farthing.models.config import architecture_from_config
from farthing.models.dims import architecture_from_dims
from farthing.models.families import FAMILIES

__all__ = ["FAMILIES", "Architecture", "Experts", "architecture_from_config", "architecture_from_dims", "model_columns"]
