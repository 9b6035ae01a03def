"""The options of `farthing plan`, by what they belong to: the panel says which of the two questions takes them."""

from pathlib import Path
from typing import Annotated

import typer

from farthing.cli.plan_pools import EXAMPLES

OF_JOB = "A job: -f"
OF_MODEL = "A model: --model"

File = Annotated[Path | None, typer.Option("--filename", "-f", help="A manifest of one job.", rich_help_panel=OF_JOB)]
Pools = Annotated[Path | None, typer.Option(metavar="FILE", help="Manifests of GPUNodePools; then no cluster is read.")]
FromCluster = Annotated[
    bool,
    typer.Option("--cluster", help="Pools, and what the job spent, from the current context.", rich_help_panel=OF_JOB),
]
Pin = Annotated[
    int | None, typer.Option(min=1, help="Write this plan into the manifest, to stdout or --to.", rich_help_panel=OF_JOB)
]
To = Annotated[Path | None, typer.Option(help="Where --pin writes.", rich_help_panel=OF_JOB)]

Model = Annotated[
    str | None, typer.Option(help="A preset, a config.json, or a folder with one.", rich_help_panel=OF_MODEL)
]  # fmt: skip
Pool = Annotated[
    list[str] | None, typer.Option("--pool", metavar="POOL", help=f"Repeatable: {EXAMPLES}.", rich_help_panel=OF_MODEL)
]
Budget = Annotated[str | None, typer.Option(metavar="MONEY", help="For example 500usd.", rich_help_panel=OF_MODEL)]
Tokens = Annotated[str | None, typer.Option(help="To train on, for example 2e9.", rich_help_panel=OF_MODEL)]
AcceleratorHours = Annotated[str | None, typer.Option(help="Accelerators × hours held.", rich_help_panel=OF_MODEL)]
Flops = Annotated[str | None, typer.Option(help="To execute, recomputation included.", rich_help_panel=OF_MODEL)]
Energy = Annotated[str | None, typer.Option(metavar="KWH", help="Kilowatt-hours.", rich_help_panel=OF_MODEL)]
Deadline = Annotated[str | None, typer.Option(metavar="DURATION", help="From now, for example 12h.", rich_help_panel=OF_MODEL)]
SequenceLength = Annotated[
    int | None,
    typer.Option(min=8, max=1_048_576, help="Tokens; absent: 4096, or what the model holds if less.", rich_help_panel=OF_MODEL),
]
GlobalBatch = Annotated[int, typer.Option(min=1, max=65_536, help="Sequences of one optimizer step.", rich_help_panel=OF_MODEL)]
Framework = Annotated[str, typer.Option(help="Whose memory policy holds.", rich_help_panel=OF_MODEL)]
Pretrained = Annotated[
    bool, typer.Option("--pretrained", help="Fine-tuning: told in tokens, not in loss.", rich_help_panel=OF_MODEL)
]
Adapter = Annotated[
    str | None, typer.Option(help="None, LoRA, QLoRA, DoRA, QDoRA; several with commas.", rich_help_panel=OF_MODEL)
]
LoraRank = Annotated[int, typer.Option(min=1, help="Of adapters.", rich_help_panel=OF_MODEL)]
UniqueTokens = Annotated[str | None, typer.Option(help="Of the data; more are passes over it.", rich_help_panel=OF_MODEL)]
Epochs = Annotated[str | None, typer.Option(help="Passes over --unique-tokens, for --tokens.", rich_help_panel=OF_MODEL)]
Fix = Annotated[
    list[str] | None,
    typer.Option("--fix", metavar="KNOB=VALUE[,VALUE]", help="What a plan may use; repeatable.", rich_help_panel=OF_MODEL),
]
OwnTrainer = Annotated[
    bool, typer.Option("--own-trainer", help="Only what Farthing's own trainer runs.", rich_help_panel=OF_MODEL)
]
Front = Annotated[
    bool, typer.Option("--front", help="Only what nothing beats in cost, time and outcome.", rich_help_panel=OF_MODEL)
]

Optimal = Annotated[
    bool,
    typer.Option("--optimal", help="Which size, and on how many tokens, the limits should train.", rich_help_panel=OF_MODEL),
]

Top = Annotated[int, typer.Option(min=1, help="Plans to show.")]
Why = Annotated[bool, typer.Option("--why", help="Also the plans that cannot be used, and by how much.")]
Compare = Annotated[str | None, typer.Option(metavar="A,B", help="Two plans, by their numbers, term by term.")]
