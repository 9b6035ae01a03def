"""Farthing: trains language models inside a budget, on Kubernetes."""

__version__ = "0.1.0"
