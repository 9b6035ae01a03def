"""The base of every message between operator and trainer: camelCase JSON, unknown keys refused."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from farthing.units import TIME_PATTERN

Count = Annotated[int, Field(ge=0, le=10**18)]
"""Steps, tokens, bytes."""
Measured = Annotated[float, Field(ge=0, le=1e27)]
"""FLOPs, and speeds."""
Seconds = Annotated[float, Field(ge=0, le=1e9)]
"""Some thirty years."""
Moment = Annotated[str, Field(pattern=TIME_PATTERN, max_length=40)]
"""RFC 3339."""
Digest = Annotated[str, Field(max_length=128)]
Location = Annotated[str, Field(max_length=1024)]


class Message(BaseModel):
    """One JSON document; frozen, camelCase on the wire, unknown keys are an error."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, extra="forbid", frozen=True, allow_inf_nan=False)

    def to_json(self) -> str:
        """The document as compact JSON with its wire names; members that are None are left out."""
        return self.model_dump_json(by_alias=True, exclude_none=True)
