"""`farthing down`: take the local cluster away without a trace."""

import typer

from farthing.cli.steps import Steps
from farthing.cli.up import StateOption, require_root
from farthing.local import state as cluster_state
from farthing.local.down import down as take_down
from farthing.local.paths import resolve

app = typer.Typer(add_completion=False)


@app.command()
def down(state: StateOption = None) -> None:
    """Stop the local cluster and remove its processes, mounts, cgroups and network; built binaries and images are kept.

    Works after a crash of any part, too. Run twice, it changes nothing.
    """
    known = cluster_state.load(resolve(state))
    if known is None or known.profile == "Cluster":
        require_root("farthing down")
    with Steps() as progress:
        progress("taking the local cluster away")
        take_down(state)
