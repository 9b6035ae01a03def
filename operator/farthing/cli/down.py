"""`farthing down`: take the local cluster away without a trace."""

from typing import Annotated

import typer

from farthing.cli.steps import Steps
from farthing.cli.up import StateOption, require_root
from farthing.local import state as cluster_state
from farthing.local.down import down as take_down
from farthing.local.paths import resolve

app = typer.Typer(add_completion=False)


@app.command()
def down(
    state: StateOption = None,
    images: Annotated[bool, typer.Option("--images", help="Also remove the store of images: the next up pulls anew.")] = False,
) -> None:
    """Stop the local cluster and remove its processes, mounts, cgroups and network.

    Built binaries, images and what jobs wrote to volumes of their own are kept.

    Works after a crash of any part, too. Run twice, it changes nothing.
    """
    known = cluster_state.load(resolve(state))
    if known is None or known.profile == "Cluster":
        require_root("farthing down")
    with Steps() as progress:
        take_down(state, progress, images=images)
