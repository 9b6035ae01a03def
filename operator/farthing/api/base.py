"""The bases of every resource, and the bounded string types they are made of.

Every list has `max_length`, every string too: without bounds the API server refuses the CEL rules for their estimated cost.
CEL rules stand beside the model they guard, as `rule(...)` in its `json_schema_extra`.
"""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, JsonValue
from pydantic.alias_generators import to_camel

from farthing.units import BIG_NUMBER_PATTERN, DURATION_PATTERN, MONEY_PATTERN, QUANTITY_PATTERN, TIME_PATTERN


def rule(cel: str, message: str) -> JsonValue:
    """A CEL rule of the API server with the message its user reads: names the field and the way out."""
    return {"rule": cel, "message": message, "reason": "FieldValueInvalid"}


def rules(*entries: JsonValue) -> dict[str, JsonValue]:
    """The `json_schema_extra` that carries CEL rules."""
    return {"x-kubernetes-validations": list(entries)}


Money = Annotated[str, Field(pattern=MONEY_PATTERN, max_length=20)]
"""A decimal string with at most six decimals; never a float."""
BigNumber = Annotated[str, Field(pattern=BIG_NUMBER_PATTERN, max_length=40)]
A_SECOND = rule(
    "self == 'Auto' || self.matches('(^|[a-z])0*[1-9][0-9]*(s|m|h|d)([0-9]|$)')",
    "a duration must be at least 1s: write for example 10m",
)
Duration = Annotated[str, Field(pattern=DURATION_PATTERN, min_length=2, max_length=32, json_schema_extra=rules(A_SECOND))]
"""Days, hours, minutes, seconds and milliseconds in this order, such as 1h30m; at least a second."""
Quantity = Annotated[str, Field(pattern=QUANTITY_PATTERN, max_length=24)]
Uri = Annotated[str, Field(min_length=1, max_length=1024)]
Name = Annotated[str, Field(min_length=1, max_length=253)]
ShortText = Annotated[str, Field(max_length=256)]
LongText = Annotated[str, Field(max_length=4096)]
Currency = Annotated[str, Field(pattern=r"^[A-Z]{3}$", max_length=3)]
Timestamp = Annotated[str, Field(pattern=TIME_PATTERN, max_length=40, json_schema_extra={"format": "date-time"})]
LabelMap = Annotated[dict[Annotated[str, Field(max_length=317)], Annotated[str, Field(max_length=63)]], Field(max_length=32)]


class ApiModel(BaseModel):
    """Part of a resource: camelCase in YAML, unknown fields kept out, unset members not written."""

    model_config = ConfigDict(
        alias_generator=to_camel, populate_by_name=True, extra="forbid", frozen=True, use_attribute_docstrings=True
    )

    def to_dict(self) -> dict[str, Any]:
        """The plain dict that goes to the API server; members that are None are left out."""
        return self.model_dump(by_alias=True, exclude_none=True, mode="json")


class StatusModel(ApiModel):
    """Part of a status: unknown fields are dropped, so that an older operator can read what a newer one wrote."""

    model_config = ConfigDict(
        alias_generator=to_camel, populate_by_name=True, extra="ignore", frozen=True, use_attribute_docstrings=True
    )


class ObjectMeta(StatusModel):
    """The members of metadata that Farthing reads."""

    name: str
    namespace: str | None = None
    uid: str = ""
    generation: int = 0
    resource_version: str = ""
    creation_timestamp: str | None = None
    deletion_timestamp: str | None = None
    labels: dict[str, str] = Field(default_factory=dict)
    annotations: dict[str, str] = Field(default_factory=dict)
    finalizers: list[str] = Field(default_factory=list)


class LocalReference(ApiModel):
    """The name of an object in the same namespace."""

    name: Name
    """Name of the object."""


class LabelSelector(ApiModel):
    """A label selector by equality; an empty one selects everything."""

    match_labels: LabelMap = Field(default_factory=dict)
    """Labels and the values they must have."""

    def matches(self, labels: dict[str, str]) -> bool:
        """Whether an object with these labels is selected."""
        return all(labels.get(key) == value for key, value in self.match_labels.items())
