"""`spec.data` of a training job: the documents, the tokenizer, and what is measured on."""

from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from farthing.api.base import ApiModel, Money, Uri, rule, rules


class DataSourceSpec(ApiModel):
    """Documents at an fsspec URI; globs are allowed, for example file:///data/**/*.py."""

    uri: Uri
    """Where the documents are; read by the worker with the tenant's credentials."""
    format: Literal["Text", "JSONL", "Parquet", "Tokens"] = "Text"
    """Text: one document a file. JSONL and Parquet: one a row. Tokens: already tokenised."""
    text_field: Annotated[str, Field(min_length=1, max_length=128)] = "text"
    """The column that holds the text, in JSONL and Parquet."""


class ValidationSpec(ApiModel):
    """Either a share of the training documents, never trained on, or documents of its own."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            rule("has(self.fraction) != has(self.uri)", "validation needs exactly one of fraction and uri"),
            rule(
                "!has(self.fraction) || (double(self.fraction) > 0.0 && double(self.fraction) < 1.0)",
                'validation.fraction must be between 0 and 1, for example "0.01"',
            ),
        )
    )
    fraction: Money | None = None
    """Share of the training documents that is set aside, between 0 and 1."""
    uri: Uri | None = None
    """Documents of its own."""
    format: Literal["Text", "JSONL", "Parquet", "Tokens"] = "Text"
    """Format of the documents at `uri`."""
    text_field: Annotated[str, Field(min_length=1, max_length=128)] = "text"
    """The column that holds the text, in JSONL and Parquet."""


class TokenizerSpec(ApiModel):
    """Either train a byte-level BPE of this size in the prepare stage, or take a tokenizer folder. Absent: the model's own."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            rule("has(self.vocabularySize) != has(self.uri)", "tokenizer needs exactly one of vocabularySize and uri")
        )
    )
    vocabulary_size: Annotated[int, Field(ge=257, le=1_000_000)] | None = None
    """Entries of the byte-level BPE that the prepare stage trains."""
    uri: Uri | None = None
    """A folder with tokenizer.json."""


class SelectionSpec(ApiModel):
    """Which examples are worth their FLOPs. Modes other than None are planned for a later release and stall the job."""

    mode: Literal["None", "Dedup", "Importance", "Perplexity", "Auto"] = "None"
    """How examples are chosen; None keeps them all."""
    target: DataSourceSpec | None = None
    """Documents that the selected ones should resemble."""


class DataSpec(ApiModel):
    """What to train on."""

    train: DataSourceSpec
    """The training documents."""
    validation: ValidationSpec = ValidationSpec(fraction="0.01")
    """The documents that the validation loss is measured on."""
    tokenizer: TokenizerSpec | None = None
    """Absent: the model's own tokenizer."""
    selection: SelectionSpec = SelectionSpec()
    """Which examples are worth their FLOPs."""
    sequence_length: Annotated[int, Field(ge=8, le=1_048_576)] = 1024
    """Tokens in one sequence; documents are packed to this length."""
    seed: Annotated[int, Field(ge=0, le=2**31 - 1)] = 0
    """Fixes the order of the samples and every random number."""
