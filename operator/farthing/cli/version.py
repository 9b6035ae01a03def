"""`farthing version`."""

import typer

import farthing
from farthing.cli.output import Format, OutputOption, emit

app = typer.Typer(add_completion=False)


@app.command()
def version(output: OutputOption = Format.TABLE) -> None:
    """Print the version of Farthing and of the API that it speaks."""
    facts = {"version": farthing.__version__, "apiVersion": "farthing.dev/v1alpha1"}
    emit(facts, output, lambda: f"farthing {facts['version']} ({facts['apiVersion']})")
