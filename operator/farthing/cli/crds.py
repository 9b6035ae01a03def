"""`farthing crds`: the resources' definitions and reference, generated from the models in `farthing.api`."""

from pathlib import Path
from typing import Annotated

import typer

from farthing.api.crd import render_templates
from farthing.api.docs import api_markdown
from farthing.cli.exits import Failed
from farthing.cli.output import words

app = typer.Typer(add_completion=False)


@app.command()
def crds(
    write: Annotated[Path | None, typer.Option("--write", help="Write the chart's templates into this folder.")] = None,
    check: Annotated[Path | None, typer.Option("--check", help="Fail where this folder's templates are stale.")] = None,
    docs: Annotated[bool, typer.Option("--docs", help="Print the reference of every field as Markdown.")] = False,
    check_docs: Annotated[Path | None, typer.Option("--check-docs", help="Fail where this reference is stale.")] = None,
) -> None:
    """Print the custom resource definitions, as the chart's templates hold them."""
    if docs:
        print(api_markdown(), end="")
    elif write is not None:
        _write(write)
    elif check is None and check_docs is None:
        print("---\n".join(render_templates().values()), end="")
    stale = [*_stale(check, render_templates()), *_stale_docs(check_docs)]
    if stale:
        raise Failed(f"stale: {', '.join(str(file) for file in stale)}: write them anew with `make crds docs`")


def _write(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in render_templates().items():
        (folder / name).write_text(text)
        words.print(f"wrote {folder / name}", markup=False, soft_wrap=True)


def _stale(folder: Path | None, want: dict[str, str]) -> list[Path]:
    if folder is None:
        return []
    return [folder / name for name, text in want.items() if _text(folder / name) != text]


def _stale_docs(file: Path | None) -> list[Path]:
    return [file] if file is not None and _text(file) != api_markdown() else []


def _text(file: Path) -> str | None:
    return file.read_text() if file.is_file() else None
