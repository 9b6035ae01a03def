"""The table of every constant of the estimates: `python -m tests.benchmarks.estimators_constants` prints it.

It is kept in `docs/results/estimators-constants.md`; a unit test compares the two.
"""

from farthing.estimates.constants import Constants
from farthing.estimates.constants_memory import MemoryConstants
from farthing.estimates.constants_time import TimeConstants

HEAD = """# Constants of the estimates

Written by `python -m tests.benchmarks.estimators_constants`; values are those that ship (`farthing.estimates.constants_memory`,
`farthing.estimates.constants_time`). *Prior*: what the constant is expected to be, counted or known of kernels and links of the
kind; some priors were changed while looking at errors ([estimators.md](estimators.md) says which). *Spread*: standard deviation
of its logarithm under that expectation; 0: no fit moves it. None is of a row, a source, a model or a framework.

A fit of one's own rows: `farthing estimates fit`, read by `farthing estimates check --constants`.
"""


def table(title: str, kind: type[Constants]) -> str:
    """One section: a line a constant, in the order of the code."""
    lines = [
        f"\n## {title}\n",
        "| constant | value | prior | spread | what it is | how it was found |",
        "|---|---|---|---|---|---|",
    ]
    shipped = kind()
    for name, facts in kind.facts().items():
        value, prior = (f"{number:.4g}" for number in (getattr(shipped, name), facts["prior"]))
        lines.append(f"| `{name}` | {value} | {prior} | {facts['spread']:g} | {facts['meaning']} | {facts['how']} |")
    return "\n".join(lines) + "\n"


def page() -> str:
    """The whole file."""
    return HEAD + table("Memory", MemoryConstants) + table("Time", TimeConstants)


if __name__ == "__main__":
    print(page(), end="")
