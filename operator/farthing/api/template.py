"""`spec.template`: the parts of a pod that a tenant may set. An allow-list: what is not named here cannot be asked for."""

from typing import Annotated, Any, Final

from pydantic import ConfigDict, Field, JsonValue

from farthing.api.base import ApiModel, LabelMap, LocalReference, Name, ShortText, rule, rules
from farthing.units import QUANTITY_PATTERN

OpenObject = Annotated[dict[str, Any], Field(json_schema_extra={"x-kubernetes-preserve-unknown-fields": True})]
"""A Kubernetes structure that the API server of the core group validates when the pod is created."""


LongAnnotation = Annotated[str, Field(max_length=1024)]


class TemplateMetadata(ApiModel):
    """Labels and annotations for the pods; keys below farthing.dev/ are refused."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            rule(
                "!has(self.labels) || self.labels.all(key, !key.startsWith('farthing.dev/'))",
                "template.metadata.labels below farthing.dev/ are Farthing's own: use a prefix of yours",
            ),
            rule(
                "!has(self.annotations) || self.annotations.all(key, !key.startsWith('farthing.dev/'))",
                "template.metadata.annotations below farthing.dev/ are Farthing's own: use a prefix of yours",
            ),
        )
    )
    labels: LabelMap = Field(default_factory=dict)
    """Labels of the pods."""
    annotations: Annotated[dict[Annotated[str, Field(max_length=317)], LongAnnotation], Field(max_length=32)] = Field(
        default_factory=dict
    )
    """Annotations of the pods."""


class EnvVar(ApiModel):
    """An environment variable; `valueFrom` may point at secrets and config maps of the namespace."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            rule(
                "!self.name.startsWith('FARTHING_') && !(self.name in ['JOB_COMPLETION_INDEX', 'RANK', 'LOCAL_RANK',"
                " 'WORLD_SIZE', 'LOCAL_WORLD_SIZE', 'MASTER_ADDR', 'MASTER_PORT'])",
                "template.env: names that start with FARTHING_, and those of the rendezvous (RANK, WORLD_SIZE, MASTER_ADDR …),"
                " are set by Farthing",
            ),
            rule("!has(self.value) || !has(self.valueFrom)", "template.env: a variable has either value or valueFrom"),
        )
    )
    name: Name
    """Name of the variable."""
    value: Annotated[str, Field(max_length=4096)] | None = None
    """Its value."""
    value_from: OpenObject | None = None
    """Where its value comes from, as in a container's env."""


class EnvFrom(ApiModel):
    """Environment variables from a whole config map or secret."""

    prefix: ShortText | None = None
    """Put before each name."""
    config_map_ref: LocalReference | None = None
    """A config map of the namespace."""
    secret_ref: LocalReference | None = None
    """A secret of the namespace."""


class VolumeMount(ApiModel):
    """Where a volume appears. /tmp, and paths at or below /etc/farthing, /checkpoints and /dev/shm, are Farthing's own."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            rule(
                "!self.mountPath.matches('^/(etc/farthing|checkpoints|dev/shm)(/|$)|^/tmp/?$')",
                "template.volumeMounts: /tmp, and paths at or below /etc/farthing, /checkpoints, /dev/shm, are Farthing's own",
            ),
            rule(
                "!self.mountPath.matches('//|/[.][.]?(/|$)')",
                "template.volumeMounts: write mountPath without empty, '.' or '..' parts",
            ),
        )
    )
    name: Name
    """Name of one of template.volumes."""
    mount_path: Annotated[str, Field(pattern=r"^/.", max_length=512)]
    """Where it appears in the container."""
    sub_path: Annotated[str, Field(max_length=512)] | None = None
    """A folder inside the volume."""
    read_only: bool | None = None
    """Mount it for reading only."""


class PersistentVolumeClaimSource(ApiModel):
    """A claim in the job's namespace."""

    claim_name: Name
    """Name of the claim."""
    read_only: bool | None = None
    """Mount it for reading only."""


class Volume(ApiModel):
    """A volume of one of the kinds that the restricted Pod Security level allows."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            rule(
                "[has(self.persistentVolumeClaim), has(self.configMap), has(self.secret), has(self.emptyDir),"
                " has(self.projected), has(self.csi), has(self.ephemeral)].filter(present, present).size() == 1",
                "template.volumes: a volume is exactly one of persistentVolumeClaim, configMap, secret, emptyDir, projected,"
                " csi, ephemeral",
            ),
            rule("!self.name.startsWith('farthing-')", "template.volumes: names that start with farthing- are Farthing's own"),
        )
    )
    name: Name
    """Name that volumeMounts refer to."""
    persistent_volume_claim: PersistentVolumeClaimSource | None = None
    """A claim of the namespace."""
    config_map: OpenObject | None = None
    """As in a pod's volumes."""
    secret: OpenObject | None = None
    """As in a pod's volumes."""
    empty_dir: OpenObject | None = None
    """As in a pod's volumes."""
    projected: OpenObject | None = None
    """As in a pod's volumes."""
    csi: OpenObject | None = None
    """As in a pod's volumes."""
    ephemeral: OpenObject | None = None
    """As in a pod's volumes."""


_QUANTITY: Final = QUANTITY_PATTERN.replace("\\.", "[.]")
"""CEL's strings know no backslash before a point."""


def _memory_rule(part: str) -> JsonValue:
    """The planner raises this one, so it must be able to read it; the API server judges the others."""
    return rule(
        f"!has(self.{part}) || !('memory' in self.{part}) || self.{part}['memory'].matches('{_QUANTITY}')",
        f"template.resources.{part}.memory must be a number of bytes with a suffix up to T or Ti, for example 6Gi",
    )


class Resources(ApiModel):
    """Minimums for each pod: the planner may ask for more, never for less."""

    model_config = ConfigDict(
        json_schema_extra=rules(*(_memory_rule(part) for part in ("requests", "limits"))),
    )
    requests: Annotated[dict[str, Annotated[str, Field(max_length=32)]], Field(max_length=16)] = Field(default_factory=dict)
    """Quantities by resource name."""
    limits: Annotated[dict[str, Annotated[str, Field(max_length=32)]], Field(max_length=16)] = Field(default_factory=dict)
    """Quantities by resource name."""


class PodTemplate(ApiModel):
    """What a tenant may say about the pods of an attempt."""

    metadata: TemplateMetadata = TemplateMetadata()
    """Labels and annotations of the pods."""
    image: Annotated[str, Field(max_length=512)] | None = None
    """The trainer's image; absent: the chart's."""
    image_pull_secrets: Annotated[list[LocalReference], Field(max_length=8)] = Field(default_factory=list)
    """Secrets of the namespace that the image is pulled with."""
    service_account_name: Name | None = None
    """A service account of the namespace; its token is not mounted."""
    runtime_class_name: Name | None = None
    """A RuntimeClass, for example nvidia."""
    node_selector: LabelMap = Field(default_factory=dict)
    """Labels a node must have, beside the pool's."""
    affinity: OpenObject | None = None
    """As in a pod's spec."""
    tolerations: Annotated[list[OpenObject], Field(max_length=16)] = Field(default_factory=list)
    """As in a pod's spec, beside the pool's."""
    env: Annotated[list[EnvVar], Field(max_length=64)] = Field(default_factory=list)
    """Environment variables of the trainer."""
    env_from: Annotated[list[EnvFrom], Field(max_length=16)] = Field(default_factory=list)
    """Environment variables from whole config maps and secrets."""
    resources: Resources = Resources()
    """Minimums for each pod."""
    volumes: Annotated[list[Volume], Field(max_length=16)] = Field(default_factory=list)
    """Further volumes."""
    volume_mounts: Annotated[list[VolumeMount], Field(max_length=16)] = Field(default_factory=list)
    """Where they appear."""
