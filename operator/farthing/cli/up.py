"""`farthing up`: a real one-node Kubernetes on this machine."""

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from farthing.cli.exits import Exit
from farthing.cli.output import Format, OutputOption, emit, words
from farthing.cli.steps import Steps
from farthing.local.builds import build
from farthing.local.cluster import LocalCluster
from farthing.local.paths import resolve
from farthing.local.state import Profile
from farthing.local.up import MODULES
from farthing.local.up import up as bring_up

app = typer.Typer(add_completion=False)

StateOption = Annotated[
    Path | None, typer.Option("--state", help="The cluster's directory; default: $FARTHING_STATE or /var/lib/farthing.")
]


@app.command()
def up(
    state: StateOption = None,
    control_plane: Annotated[
        bool, typer.Option("--control-plane", help="API server, controllers and pretended nodes only; needs no root.")
    ] = False,
    native_gangs: Annotated[bool, typer.Option(help="Serve scheduling.k8s.io PodGroups.")] = True,
    build_only: Annotated[
        bool, typer.Option("--build-only", help="Build the binaries and start nothing; needs no root.")
    ] = False,
    output: OutputOption = Format.TABLE,
) -> None:
    """Start the local cluster, building and installing what is missing. Run twice, it changes nothing."""
    if build_only:
        with Steps() as progress:
            build(resolve(state), MODULES["Cluster"], progress)
        return
    profile: Profile = "ControlPlane" if control_plane else "Cluster"
    if profile == "Cluster":
        require_root("farthing up")
    with Steps() as progress:
        cluster = bring_up(profile, state, native_gangs, progress)
    emit(facts(cluster), output, lambda: f"export KUBECONFIG={cluster.kubeconfig}")
    words.print(f"take it away again with: farthing down{f' --state {state}' if state else ''}", markup=False, soft_wrap=True)


def facts(cluster: LocalCluster) -> dict[str, str]:
    """What another program needs to use the cluster."""
    return {
        "profile": cluster.profile,
        "kubeconfig": str(cluster.kubeconfig),
        "registry": cluster.registry,
        "node": cluster.node_name,
        "state": str(cluster.state),
    }


def require_root(what: str) -> None:
    """Leave with the usage status unless this process is root; says how to run it again."""
    if os.geteuid() != 0:
        words.print(f"{what} needs root, for mounts, cgroups and network namespaces. Run it again as:")
        words.print(f"  sudo {Path(sys.argv[0]).absolute()} {' '.join(sys.argv[1:])}", markup=False, soft_wrap=True)
        raise typer.Exit(Exit.USAGE)
