"""Manifests from files: YAML documents, checked against the API's models before the server sees them."""

import sys
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from farthing.api import BudgetedTrainingJob, GPUNodePool, TrainingBudget
from farthing.api.base import ApiModel
from farthing.errors import InvalidSpec
from farthing.kube.resources import Resource, resource_of

MODELS: dict[str, type[ApiModel]] = {model.__name__: model for model in (BudgetedTrainingJob, GPUNodePool, TrainingBudget)}
"""What users write. Spend records are written by the operator alone."""


def read_manifests(file: Path) -> list[dict[str, Any]]:
    """Every document of a YAML file; `-` is stdin. Raises InvalidSpec for what is no manifest, naming the field."""
    try:
        text = sys.stdin.read() if str(file) == "-" else file.read_text()
        documents = [document for document in yaml.safe_load_all(text) if document is not None]
    except OSError as error:
        raise InvalidSpec("-f", str(file), f"cannot be read: {error.strerror}") from error
    except yaml.YAMLError as error:
        raise InvalidSpec(str(file), "…", f"write YAML ({error})") from error
    for document in documents:
        check(document, str(file))
    return documents


def check(manifest: Any, file: str) -> None:
    """Raise InvalidSpec where the manifest lacks apiVersion, kind or a name, or does not fit its kind's model."""
    if not isinstance(manifest, dict) or not {"apiVersion", "kind", "metadata"} <= manifest.keys():
        raise InvalidSpec(file, manifest, "a manifest needs apiVersion, kind and metadata")
    model = MODELS.get(manifest["kind"])
    if model is not None:
        parse(model, manifest, file)


def parse(model: type[ApiModel], manifest: dict[str, Any], file: str) -> Any:
    """The manifest as its model. Raises InvalidSpec naming the first field that does not fit, and how many others."""
    try:
        return model.model_validate(manifest)
    except ValidationError as error:
        first, *others = error.errors()
        field = ".".join(str(part) for part in first["loc"])
        also = f" (and {len(others)} more)" if others else ""
        raise InvalidSpec(f"{file}: {field}", first.get("input"), f"{first['msg']}{also}") from error


def jobs_in(manifests: list[dict[str, Any]], file: str) -> list[BudgetedTrainingJob]:
    """The training jobs among manifests."""
    return [parse(BudgetedTrainingJob, item, file) for item in manifests if item["kind"] == "BudgetedTrainingJob"]


def pools_in(manifests: list[dict[str, Any]], file: str) -> list[GPUNodePool]:
    """The pools among manifests."""
    return [parse(GPUNodePool, item, file) for item in manifests if item["kind"] == "GPUNodePool"]


def resource_for(manifest: dict[str, Any]) -> Resource:
    """Where the manifest lives in the API. Raises InvalidSpec for a kind that Farthing has nothing to do with."""
    try:
        return resource_of(manifest)
    except ValueError as error:
        raise InvalidSpec("kind", manifest["kind"], "farthing applies its own kinds; use kubectl for others") from error
