"""Reading the keys of a Hugging Face config, with a family's names and defaults."""

from collections.abc import Mapping
from typing import Any

from farthing.models.families import Family


class Keys:
    """A config seen through its family. Every method raises ValueError that names the key."""

    def __init__(self, config: Mapping[str, Any], family: Family) -> None:
        self._config, self._family = config, family

    def size(self, key: str, default: int | None = None, *, least: int = 1, most: int | None = None) -> int:
        """A whole number from `least` to `most`; `default` where the key is null, or absent and the family has none."""
        value = self._value(key)
        if value is None:
            value = default
        if not isinstance(value, int) or isinstance(value, bool) or value < least:
            raise ValueError(f"{self._name(key)}: {value!r} must be a whole number of at least {least}")
        if most is not None and value > most:
            raise ValueError(f"{self._name(key)}: {value!r} must be a whole number of at most {most}")
        return value

    def optional_size(self, key: str) -> int | None:
        """A size, or None where the config has null."""
        return None if self._value(key) is None else self.size(key)

    def flag(self, key: bool | str) -> bool:
        """A flag as the family states it: itself, or a boolean of the config."""
        if isinstance(key, bool):
            return key
        value = self._value(key)
        if value is not True and value is not False:
            raise ValueError(f"{key}: {value!r} must be true or false")
        return bool(value)

    def layers(self, key: str) -> frozenset[int]:
        """A list of layer numbers; empty where it is null or absent."""
        value = self._value(key) or []
        if not isinstance(value, list | tuple) or not all(isinstance(each, int) for each in value):
            raise ValueError(f"{key}: {value!r} must be a list of layer numbers")
        return frozenset(value)

    def check_required(self) -> None:
        """Refuses what this package does not count."""
        for key, wanted in self._family.required.items():
            if self._config.get(key, wanted) != wanted:
                raise ValueError(f"{key}: {self._config[key]!r} is not modelled; only {wanted!r} is")

    def _name(self, key: str) -> str:
        """The name under which the config has it."""
        other = self._family.names.get(key, key)
        return other if other in self._config else key

    def _value(self, key: str) -> Any:
        name = self._name(key)
        return self._config[name] if name in self._config else self._family.defaults.get(key)
