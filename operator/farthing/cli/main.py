"""`farthing`: finds the verb, runs it, turns errors into one line on stderr and an exit status.

A verb's module is loaded when it is asked for: the operator's image runs `release` without the packages of the other verbs.
"""

import importlib
import importlib.util
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.text import Text
from typer.core import TyperGroup

from farthing.cli.exits import MEANING, Exit, exit_code
from farthing.cli.output import words
from farthing.cli.where import Where, hoist
from farthing.errors import FarthingError

VERBS = {
    "plan": "farthing.cli.plan",
    "size": "farthing.cli.size",
    "estimates": "farthing.cli.estimates",
    "apply": "farthing.cli.apply",
    "status": "farthing.cli.status",
    "why": "farthing.cli.why",
    "logs": "farthing.cli.logs",
    "release": "farthing.cli.release",
    "crds": "farthing.cli.crds",
    "up": "farthing.cli.up",
    "down": "farthing.cli.down",
    "demo": "farthing.cli.demo.command",
    "version": "farthing.cli.version",
}
"""In the order in which `--help` lists them: first what one does with jobs, then the local cluster."""

NEEDS_LOCAL = ("up", "down", "demo")
"""Verbs of the local cluster, which the operator's image does not contain."""

EPILOG = "Exit status: " + " · ".join(f"{code.value} {MEANING[code]}" for code in Exit)


class Verbs(TyperGroup):
    """A group that imports a verb's module on demand."""

    def list_commands(self, ctx: Any) -> list[str]:
        """The verbs that can run here."""
        local = importlib.util.find_spec("farthing.local") is not None
        return [verb for verb in VERBS if local or verb not in NEEDS_LOCAL]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """The verb's command, or None for a word that is no verb."""
        if cmd_name not in self.list_commands(ctx):
            return None
        command = typer.main.get_command(importlib.import_module(VERBS[cmd_name]).app)
        command.name = cmd_name
        return command


app = typer.Typer(
    cls=Verbs, no_args_is_help=True, rich_markup_mode="rich", epilog=EPILOG, pretty_exceptions_enable=False
)  # fmt: skip


@app.callback()
def options(
    context: typer.Context,
    cluster_context: Annotated[str | None, typer.Option("--context", help="Context of the kubeconfig.")] = None,
    kubeconfig: Annotated[Path | None, typer.Option(help="Default: $KUBECONFIG, ~/.kube/config, or the pod's own.")] = None,
    namespace: Annotated[str | None, typer.Option("--namespace", "-n", help="Default: the context's.")] = None,
) -> None:
    """Trains language models inside a budget, on Kubernetes. Global options may stand before or after the verb."""
    context.obj = Where(cluster_context, kubeconfig, namespace)


def run() -> None:
    """The entry point: runs the verb of sys.argv and leaves with its exit status."""
    try:
        app(args=hoist(sys.argv[1:]), prog_name="farthing")
    except FarthingError as error:
        words.print(Text.assemble(("error", "bold red"), f" {type(error).__name__}: {error}"), soft_wrap=True)
        raise SystemExit(exit_code(error)) from None
    except KeyboardInterrupt:
        raise SystemExit(Exit.INTERRUPTED) from None


if __name__ == "__main__":
    run()
