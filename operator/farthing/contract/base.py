"""The base of every message between operator and trainer: camelCase JSON, unknown keys refused."""

from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_camel


class Message(BaseModel):
    """One JSON document; frozen, camelCase on the wire, unknown keys are an error."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, extra="forbid", frozen=True)

    def to_json(self) -> str:
        """The document as compact JSON with its wire names; members that are None are left out."""
        return self.model_dump_json(by_alias=True, exclude_none=True)
