"""The operator process: kopf is its shell, the loop is ours.

Start it with `kopf run --standalone --all-namespaces -m farthing.controller`.
"""

from farthing.controller import handlers

__all__ = ["handlers"]
