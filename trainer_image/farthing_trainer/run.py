"""The train stage put together: join the gang, find the data, build or load the model, resume, train."""

import logging
import tempfile
from pathlib import Path

from farthing.contract.checkpoint import Landing
from farthing.contract.runconfig import RunConfig
from farthing.contract.shape import ModelShape, shape_from_config
from farthing_trainer.checkpoint import Checkpoints, Found
from farthing_trainer.counting import Counter
from farthing_trainer.data import Sequences, open_split
from farthing_trainer.errors import BadInput
from farthing_trainer.gang import Gang, join_gang
from farthing_trainer.governor import Governor
from farthing_trainer.heartbeat import HeartbeatFile
from farthing_trainer.lease import only_tokens_bind
from farthing_trainer.loop import Position, Trainer
from farthing_trainer.memory import memory_usage, process_limit
from farthing_trainer.metrics import Metrics
from farthing_trainer.model import Model, arrange, build_model, give_memory
from farthing_trainer.optim import Optimizer
from farthing_trainer.place import Place
from farthing_trainer.prepared import Product, find_product
from farthing_trainer.schedule import landing_for, resumed_landing
from farthing_trainer.signals import Termination
from farthing_trainer.signature import differences, execution_signature
from farthing_trainer.state import RunState
from farthing_trainer.storage import Folder
from farthing_trainer.weights import PretrainedFolder, fill, random_weights

DEFAULT_DEVIATION = 0.02
"""Of fresh weights where the config has no `initializer_range`: transformers' own default."""
_BYTES_PER_PARAMETER = 12
"""A float32 parameter and AdamW's two moments."""

log = logging.getLogger(__name__)


def train(config: RunConfig, place: Place, state: RunState, metrics: Metrics, termination: Termination) -> None:
    """Run the train stage to its landing. Raises BadInput, Leave, and RuntimeError or OSError where peer or storage is lost."""
    with tempfile.TemporaryDirectory(prefix="farthing-") as scratch:
        gang = join_gang(place, config.lease.startup_seconds)
        state.update(phase="Loading")
        trainer = _assemble(config, gang, state, metrics, termination, Path(scratch))
        trainer.run()
        gang.leave()


def _assemble(
    config: RunConfig, gang: Gang, state: RunState, metrics: Metrics, termination: Termination, scratch: Path
) -> Trainer:
    baseline = memory_usage(gang.device).allocated
    folder, product = find_product(config.data)
    model, shape = _model(config, gang, product, scratch)
    optimizer = Optimizer(model.trainable(), config.optimizer, gang)
    started = gang.place.started
    counter = Counter(config, shape, started, state, metrics)
    state_bytes = _BYTES_PER_PARAMETER * sum(p.numel() for p in model.trainable().values())
    checkpoints = Checkpoints(config.checkpoint.uri, config.job.uid, config.job.attempt, config.checkpoint.keep, gang)
    trainer = Trainer(
        config=config,
        gang=gang,
        model=model,
        optimizer=optimizer,
        corpus=open_split(folder, product, product.train, config.data.sequence_length, scratch),
        held_out=_held_out(config, folder, product, scratch),
        product=product,
        product_folder=folder,
        checkpoints=checkpoints,
        heartbeat=HeartbeatFile(checkpoints.folder, config.job.uid, config.job.attempt),
        governor=Governor(config, state.lease, started, counter.step_flops, state_bytes),
        counter=counter,
        state=state,
        termination=termination,
        position=Position(landing=_known_landing(config)),
        signature=execution_signature(config, gang),
    )
    _resume(trainer)
    limit = process_limit(gang.device, config.memory_limit_bytes, gang.place.local_world)
    counter.start(trainer.position.step, trainer.heartbeat.earlier_step(), baseline, limit)
    return trainer


def _held_out(config: RunConfig, folder: Folder, product: Product, scratch: Path) -> Sequences:
    return open_split(folder, product, product.validation, config.data.sequence_length, scratch)


def _model(config: RunConfig, gang: Gang, product: Product, scratch: Path) -> tuple[Model, ModelShape]:
    """The model with memory and weights, and its shape."""
    wanted = config.model
    pretrained = PretrainedFolder(wanted.pretrained_uri, scratch) if wanted.pretrained_uri is not None else None
    special = {"bos_token_id": None, "eos_token_id": product.end_of_text}
    settings = dict(pretrained.config) if pretrained is not None else {**special, **(wanted.config or {})}
    shape = _shape(settings, product)
    model = build_model(settings, wanted.lora if wanted.adapter == "LoRA" else None)
    arrange(model, config.strategy, gang)
    give_memory(model, gang.device)
    fresh = random_weights(config.data.seed, float(settings.get("initializer_range", DEFAULT_DEVIATION)))
    if pretrained is None:
        fill(model, fresh)
    else:
        pretrained.load(model, fresh)
    return model, shape


def _shape(settings: dict[str, object], product: Product) -> ModelShape:
    try:
        shape = shape_from_config(settings)
    except ValueError as error:
        raise BadInput("model.config", settings, str(error)) from error
    if shape.vocabulary < product.vocabulary:
        remedy = f"the data's tokenizer has {product.vocabulary} tokens; use the model's own tokenizer or a larger model"
        raise BadInput("model.config.vocab_size", shape.vocabulary, remedy)
    return shape


def _known_landing(config: RunConfig) -> Landing | None:
    """The landing of a run that only a token limit ends: fixed before the first step."""
    end = config.lease.budget_end
    if config.on_exhausted != "Land" or not only_tokens_bind(end) or end.tokens is None:
        return None
    steps = end.tokens // config.tokens_per_step
    return landing_for(steps, config.optimizer.learning_rate, config.schedule)


def _resume(trainer: Trainer) -> None:
    """Go on from the newest valid checkpoint, or from the trunk where the budget was raised after the landing.

    The trainer sees that of a token limit by itself, also in mid-landing; of the other axes the operator tells it. A newest
    one that lies in no landing was made since: the operator may not know of it where the attempt that made it was killed.
    """
    found, told = trainer.checkpoints.newest(), trainer.config.checkpoint.resume == "Trunk"
    if found is not None and ((told and _is_of_a_landing(found)) or _was_raised(found, trainer.position.landing)):
        found = trainer.checkpoints.newest(trunk=True) or found
    if found is None:
        log.info("no checkpoint: a fresh start")
        return
    manifest = found.manifest
    _check_lineage(trainer, found)
    trainer.checkpoints.load(found, trainer.tensors())
    trainer.governor.resumed_from_one_that_took(manifest.duration_seconds)
    trainer.position.step = manifest.step
    trainer.position.flops_before = manifest.flops
    peak, schedule = trainer.config.optimizer.learning_rate, trainer.config.schedule
    fixed = None if told and manifest.trunk else manifest.landing
    trainer.position.landing = resumed_landing(trainer.position.landing, fixed, manifest.step, peak, schedule)
    changed = differences(manifest.signature, trainer.signature)
    exact = "bit for bit" if not changed else f"same samples, other bits ({'; '.join(changed)})"
    log.info("resumed from step %d (%s): %s", manifest.step, found.digest[:12], exact)


def _is_of_a_landing(found: Found) -> bool:
    landing = found.manifest.landing
    return landing is not None and found.manifest.step >= landing.first_step


def _was_raised(found: Found, known: Landing | None) -> bool:
    landing = found.manifest.landing
    return known is not None and landing is not None and _is_of_a_landing(found) and known.last_step > landing.last_step


def _check_lineage(trainer: Trainer, found: Found) -> None:
    """The checkpoint must come from the same data in the same order."""
    manifest, product, data = found.manifest, trainer.product, trainer.config.data
    if (manifest.data_digest, manifest.tokenizer_digest) != (product.digest, product.tokenizer_digest):
        remedy = f"the checkpoint was trained on {manifest.data_digest}, this is {product.digest}; restore it"
        raise BadInput("data.train.uri", data.train.uri, remedy)
    if manifest.seed != data.seed:
        raise BadInput("data.seed", data.seed, f"the checkpoint was trained with {manifest.seed}; restore it")
    if manifest.next_sample != manifest.step * trainer.config.batch.global_batch:
        raise BadInput("batch.globalBatch", trainer.config.batch.global_batch, "it differs from the checkpoint's; restore it")
