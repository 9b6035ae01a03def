"""CustomResourceDefinitions from the models: `crds()` as data, `render_templates()` as the chart's files.

Pure: `make crds` writes what `render_templates` returns, and fails in CI when the committed files differ.
"""

from dataclasses import dataclass
from typing import Any, Final

import yaml
from pydantic import BaseModel

from farthing.api import GROUP, VERSION, BudgetedTrainingJob, GPUNodePool, SpendRecord, TrainingBudget
from farthing.api.schema import structural_schema

CATEGORY: Final = "farthing"
"""`kubectl get farthing` lists every kind."""


@dataclass(frozen=True)
class Column:
    """A column of `kubectl get`. A priority above 0 shows it with `-o wide` only."""

    name: str
    path: str
    type: str = "string"
    priority: int = 0

    def to_dict(self) -> dict[str, Any]:
        """The entry of additionalPrinterColumns."""
        column: dict[str, Any] = {"name": self.name, "type": self.type, "jsonPath": self.path}
        return column | ({"priority": self.priority} if self.priority else {})


@dataclass(frozen=True)
class Kind:
    """What a CRD says beside its schema."""

    model: type[BaseModel]
    plural: str
    short_name: str
    columns: tuple[Column, ...]
    scope: str = "Namespaced"

    @property
    def name(self) -> str:
        """The kind's name, which is its model's."""
        return self.model.__name__


_READY: Final = Column("Ready", '.status.conditions[?(@.type=="Ready")].status')
_AGE: Final = Column("Age", ".metadata.creationTimestamp", "date")

KINDS: Final = (
    Kind(
        BudgetedTrainingJob,
        "budgetedtrainingjobs",
        "btj",
        (
            Column("State", ".status.state"),
            Column("Spent", ".status.spentText"),
            Column("Budget", ".status.budgetText"),
            Column("Progress", ".status.progressText"),
            Column("ETA", ".status.progress.eta"),
            Column("Accelerators", ".status.acceleratorsText"),
            Column("Pool", ".status.allocation.pool", priority=1),
            Column("Loss", ".status.progress.loss", priority=1),
            Column("Account", ".spec.budget.accountRef.name", priority=1),
            _AGE,
        ),
    ),
    Kind(
        GPUNodePool,
        "gpunodepools",
        "gnp",
        (
            Column("Ready", _READY.path),
            Column("Accelerator", ".spec.accelerator"),
            Column("Price", ".status.priceText"),
            Column("Spot", ".spec.spot", "boolean"),
            Column("Nodes", ".status.nodes", "integer"),
            Column("Accelerators", ".status.accelerators", "integer"),
            Column("Free", ".status.free", "integer"),
            Column("Held", ".status.held", "integer"),
            Column("Provider", ".spec.provider", priority=1),
            _AGE,
        ),
        scope="Cluster",
    ),
    Kind(
        TrainingBudget,
        "trainingbudgets",
        "tb",
        (
            _READY,
            Column("Spent", ".status.spentText"),
            Column("Limit", ".status.limitText"),
            Column("Window", ".spec.window.period"),
            Column("Ends", ".status.window.end", "date", priority=1),
            _AGE,
        ),
    ),
    Kind(
        SpendRecord,
        "spendrecords",
        "sr",
        (
            Column("Job", ".spec.job.name"),
            Column("Stage", ".spec.stage"),
            Column("Phase", ".status.phase"),
            Column("Cost", ".status.charged.cost"),
            Column("Held", ".spec.held.cost"),
            Column("Outcome", ".status.outcome"),
            Column("Pool", ".spec.pool", priority=1),
            Column("Account", ".spec.account", priority=1),
            _AGE,
        ),
    ),
)


def crds() -> list[dict[str, Any]]:
    """The apiextensions/v1 CustomResourceDefinitions of the four kinds."""
    return [_crd(kind) for kind in KINDS]


def render_templates() -> dict[str, str]:
    """Helm templates by file name: each CRD behind `crds.enabled`, kept on uninstall where `crds.keep` says so."""
    return {f"{kind.plural}.yaml": _template(_crd(kind)) for kind in KINDS}


def _crd(kind: Kind) -> dict[str, Any]:
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{kind.plural}.{GROUP}"},
        "spec": {
            "group": GROUP,
            "scope": kind.scope,
            "names": {
                "kind": kind.name,
                "listKind": f"{kind.name}List",
                "plural": kind.plural,
                "singular": kind.name.lower(),
                "shortNames": [kind.short_name],
                "categories": [CATEGORY],
            },
            "versions": [
                {
                    "name": VERSION,
                    "served": True,
                    "storage": True,
                    "subresources": {"status": {}},
                    "additionalPrinterColumns": [column.to_dict() for column in kind.columns],
                    "schema": {"openAPIV3Schema": structural_schema(kind.model)},
                }
            ],
        },
    }


_HEADER: Final = """\
{{- /* Made by `make crds` from operator/farthing/api: change the models, not this file. */}}
{{- if .Values.crds.enabled }}
"""
_METADATA: Final = """\
metadata:
  labels:
    {{- include "farthing.labels" . | nindent 4 }}
  {{- if .Values.crds.keep }}
  annotations:
    helm.sh/resource-policy: keep
  {{- end }}
"""
_FOOTER: Final = "{{- end }}\n"


def _template(crd: dict[str, Any]) -> str:
    """The CRD as a Helm template; braces in descriptions are escaped, so that Helm prints them as they are."""
    text = yaml.dump(crd, Dumper=_PlainDumper, sort_keys=False, width=120, allow_unicode=True)
    return _HEADER + _escape(text).replace("metadata:\n", _METADATA, 1) + _FOOTER


def _escape(text: str) -> str:
    return text.replace("{{", '{{ "{{" }}')


class _PlainDumper(yaml.SafeDumper):
    """YAML without anchors: a value that two fields share is written twice."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


__all__ = ["CATEGORY", "KINDS", "Column", "Kind", "crds", "render_templates"]
