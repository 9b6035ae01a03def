"""`spec.template`: the parts of a pod that a tenant may set. An allow-list: what is not named here cannot be asked for."""

from typing import Annotated, Any

from pydantic import Field

from farthing.api.base import ApiModel, LabelMap, LocalReference, Name, ShortText

OpenObject = Annotated[dict[str, Any], Field(json_schema_extra={"x-kubernetes-preserve-unknown-fields": True})]
"""A Kubernetes structure that the API server of the core group validates when the pod is created."""


LongAnnotation = Annotated[str, Field(max_length=1024)]


class TemplateMetadata(ApiModel):
    """Labels and annotations for the pods; keys below farthing.dev/ are refused."""

    labels: LabelMap = Field(default_factory=dict)
    annotations: Annotated[dict[Annotated[str, Field(max_length=317)], LongAnnotation], Field(max_length=32)] = Field(
        default_factory=dict
    )


class EnvVar(ApiModel):
    """An environment variable; `valueFrom` may point at secrets and config maps of the namespace."""

    name: Name
    value: Annotated[str, Field(max_length=4096)] | None = None
    value_from: OpenObject | None = None


class EnvFrom(ApiModel):
    """Environment variables from a whole config map or secret."""

    prefix: ShortText | None = None
    config_map_ref: LocalReference | None = None
    secret_ref: LocalReference | None = None


class VolumeMount(ApiModel):
    """Where a volume appears. Paths below /etc/farthing, /checkpoints and /dev/shm are Farthing's own."""

    name: Name
    mount_path: Annotated[str, Field(pattern=r"^/", max_length=512)]
    sub_path: Annotated[str, Field(max_length=512)] | None = None
    read_only: bool | None = None


class PersistentVolumeClaimSource(ApiModel):
    """A claim in the job's namespace."""

    claim_name: Name
    read_only: bool | None = None


class Volume(ApiModel):
    """A volume of one of the kinds that the restricted Pod Security level allows."""

    name: Name
    persistent_volume_claim: PersistentVolumeClaimSource | None = None
    config_map: OpenObject | None = None
    secret: OpenObject | None = None
    empty_dir: OpenObject | None = None
    projected: OpenObject | None = None
    csi: OpenObject | None = None
    ephemeral: OpenObject | None = None


class Resources(ApiModel):
    """Minimums for each pod: the planner may ask for more, never for less."""

    requests: Annotated[dict[str, Annotated[str, Field(max_length=32)]], Field(max_length=16)] = Field(default_factory=dict)
    limits: Annotated[dict[str, Annotated[str, Field(max_length=32)]], Field(max_length=16)] = Field(default_factory=dict)


class PodTemplate(ApiModel):
    """What a tenant may say about the pods of an attempt."""

    metadata: TemplateMetadata = TemplateMetadata()
    image: Annotated[str, Field(max_length=512)] | None = None
    image_pull_secrets: Annotated[list[LocalReference], Field(max_length=8)] = Field(default_factory=list)
    service_account_name: Name | None = None
    runtime_class_name: Name | None = None
    node_selector: LabelMap = Field(default_factory=dict)
    affinity: OpenObject | None = None
    tolerations: Annotated[list[OpenObject], Field(max_length=16)] = Field(default_factory=list)
    env: Annotated[list[EnvVar], Field(max_length=64)] = Field(default_factory=list)
    env_from: Annotated[list[EnvFrom], Field(max_length=16)] = Field(default_factory=list)
    resources: Resources = Resources()
    volumes: Annotated[list[Volume], Field(max_length=16)] = Field(default_factory=list)
    volume_mounts: Annotated[list[VolumeMount], Field(max_length=16)] = Field(default_factory=list)
