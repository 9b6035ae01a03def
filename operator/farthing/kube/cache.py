"""What an informer keeps: the newest known version of every object of one kind, as plain dicts."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any, Generic, TypeVar

from pydantic import ValidationError

from farthing.api.base import ApiModel

Trim = Callable[[dict[str, Any]], dict[str, Any]]
Model = TypeVar("Model", bound=ApiModel)


def key_of(item: dict[str, Any]) -> str:
    """`namespace/name`, or the name alone of a cluster-scoped object."""
    metadata = item["metadata"]
    namespace = metadata.get("namespace")
    return f"{namespace}/{metadata['name']}" if namespace else str(metadata["name"])


def drop_managed_fields(item: dict[str, Any]) -> dict[str, Any]:
    """The object without its managedFields, the largest part of most."""
    metadata = {name: value for name, value in item["metadata"].items() if name != "managedFields"}
    return {**item, "metadata": metadata}


class Cache:
    """Objects by key. Changed by one informer only; a reader between two events sees a consistent picture."""

    def __init__(self, trim: Trim = drop_managed_fields) -> None:
        self._trim = trim
        self._items: dict[str, dict[str, Any]] = {}
        self._deleted: dict[str, int] = {}
        """Versions at which objects went, since the last list: what is told of them later is old news."""

    def __len__(self) -> int:
        return len(self._items)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return iter(tuple(self._items.values()))

    def get(self, key: str) -> dict[str, Any] | None:
        """The object of that key, or None."""
        return self._items.get(key)

    def replace(self, items: Iterable[dict[str, Any]]) -> tuple[str, ...]:
        """Take a whole list; the keys that appeared, changed or went (deletions that no event told are found here)."""
        fresh = {key_of(item): self._trim(item) for item in items}
        changed = {key for key, item in fresh.items() if _version(item) != _version(self._items.get(key))}
        gone = self._items.keys() - fresh.keys()
        self._items = fresh
        self._deleted.clear()
        return tuple(sorted(changed | gone))

    def apply(self, kind: str, item: dict[str, Any]) -> str:
        """Take one watch event (ADDED, MODIFIED or DELETED); its key. One that is older than what is known changes nothing."""
        key, version = key_of(item), int(_version(item) or 0)
        if version < max(int(_version(self._items.get(key)) or 0), self._deleted.get(key, 0)):
            return key
        if kind == "DELETED":
            self._items.pop(key, None)
            self._deleted[key] = version
        else:
            self._items[key] = self._trim(item)
        return key


def _version(item: dict[str, Any] | None) -> str | None:
    return item["metadata"].get("resourceVersion") if item else None


class Models(Generic[Model]):
    """A cache's objects as pydantic models, each parsed once a version."""

    def __init__(self, cache: Cache, model: type[Model], broken: Callable[[str, ValidationError], None]) -> None:
        self._cache = cache
        self._model = model
        self._broken = broken
        self._parsed: dict[str, tuple[str | None, Model | None]] = {}

    def all(self) -> dict[str, Model]:
        """Every object that can be read, by key. One that cannot is reported to `broken` once a version and left out."""
        seen = {key_of(item): item for item in self._cache}
        self._parsed = {key: self._parse(key, item) for key, item in seen.items()}
        return {key: model for key, (_, model) in self._parsed.items() if model is not None}

    def _parse(self, key: str, item: dict[str, Any]) -> tuple[str | None, Model | None]:
        version = _version(item)
        known = self._parsed.get(key)
        if known is not None and known[0] == version:
            return known
        try:
            return version, self._model.model_validate(item)
        except ValidationError as error:
            self._broken(key, error)
            return version, None
