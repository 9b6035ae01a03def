"""Which cluster and namespace a command is about: the global options, which may stand before or after the verb."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Where:
    """The global options. None: what the kubeconfig says, as with kubectl."""

    context: str | None = None
    kubeconfig: Path | None = None
    namespace: str | None = None


GLOBAL_OPTIONS = ("--context", "--kubeconfig", "-n", "--namespace")


def hoist(arguments: Sequence[str]) -> list[str]:
    """Move the global options to the front, so that `farthing status -n team` is `farthing -n team status`.

    What follows `--` stays where it is.
    """
    words = list(arguments)
    end = words.index("--") if "--" in words else len(words)
    front: list[str] = []
    rest: list[str] = []
    position = 0
    while position < end:
        word = words[position]
        taken = 2 if word in GLOBAL_OPTIONS else 1
        joined = any(word.startswith(f"{option}=") for option in GLOBAL_OPTIONS if option.startswith("--"))
        (front if taken == 2 or joined else rest).extend(words[position : min(position + taken, end)])
        position += taken
    return [*front, *rest, *words[end:]]
