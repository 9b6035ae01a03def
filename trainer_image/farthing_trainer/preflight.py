"""What can be refused before torch is imported: a bad config should cost a second, not a start-up."""

from farthing.contract.runconfig import RunConfig
from farthing_trainer.errors import BadInput
from farthing_trainer.lease import only_tokens_bind
from farthing_trainer.place import Place
from farthing_trainer.prepare import check_product
from farthing_trainer.prepared import find_product


def preflight(config: RunConfig, place: Place) -> None:
    """Raise BadInput for a batch that does not factor, a model named twice, a budget below one step, or data not prepared."""
    batch, model, end = config.batch, config.model, config.lease.budget_end
    if place.world * batch.micro_batch * batch.accumulation != batch.global_batch:
        product = f"{place.world} processes × {batch.micro_batch} × {batch.accumulation}"
        raise BadInput("batch.globalBatch", batch.global_batch, f"it must be {product} exactly; change one of them")
    if (model.config is None) == (model.pretrained_uri is None):
        raise BadInput("model", model.to_json(), "give exactly one of config and pretrainedUri")
    if only_tokens_bind(end) and end.tokens is not None and end.tokens < config.tokens_per_step:
        raise BadInput("lease.budgetEnd.tokens", end.tokens, f"one step needs {config.tokens_per_step}; raise the budget")
    check_product(find_product(config.data)[1], config)
