"""A real, one-node Kubernetes on a machine without Docker: `up.up`, `down.down` and what they are made of.

Nothing in the product depends on this package; the operator's image does not contain it.
"""
