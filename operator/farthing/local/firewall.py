"""Chains that kubelet, kube-proxy and the CNI plugins leave in iptables, and their removal."""

import re
from collections.abc import Collection, Iterator

from farthing.local.shell import run

FAMILIES = ("iptables", "ip6tables")

OURS = re.compile(r"\b(?:KUBE|CNI)-[A-Z0-9a-z-]+")
"""Names that kube-proxy, kubelet and the bridge and portmap plugins give to their chains."""

Chain = tuple[str, str, str]
"""(family, table, name)."""


def chains() -> list[Chain]:
    """Every Kubernetes or CNI chain that exists now."""
    return [(family, table, name) for family in FAMILIES for table, name in parse_chains(run([f"{family}-save"]))]


def parse_chains(saved: str) -> Iterator[tuple[str, str]]:
    """(table, chain) of each such chain declared in the output of iptables-save."""
    table = ""
    for line in saved.splitlines():
        if line.startswith("*"):
            table = line[1:]
        elif line.startswith(":") and OURS.match(name := line[1:].split()[0]):
            yield table, name


def parse_jumps(saved: str, names: Collection[str]) -> Iterator[tuple[str, list[str]]]:
    """(table, rule) of each rule in another chain that jumps to one of `names`."""
    table = ""
    for line in saved.splitlines():
        if line.startswith("*"):
            table = line[1:]
        elif line.startswith("-A ") and line.split()[1] not in names and _target(line) in names:
            yield table, _words(line)[1:]


def remove_chains(kept: Collection[Chain]) -> None:
    """Remove every Kubernetes and CNI chain that is not among `kept`, with the rules that jump to it."""
    for family in FAMILIES:
        saved = run([f"{family}-save"])
        doomed = [(table, name) for table, name in parse_chains(saved) if (family, table, name) not in kept]
        for table, rule in parse_jumps(saved, {name for _, name in doomed}):
            run([family, "--wait", "--table", table, "--delete", *rule])
        for action in ("--flush", "--delete-chain"):  # all flushed first: they jump to each other
            for table, name in doomed:
                run([family, "--wait", "--table", table, action, name])


def _target(rule: str) -> str:
    words = _words(rule)
    return words[words.index("-j") + 1] if "-j" in words else ""


def _words(rule: str) -> list[str]:
    """A rule's words as iptables-save quotes them: double quotes, with a backslash before quotes and backslashes."""
    found = re.finditer(r'"((?:\\.|[^"\\])*)"|(\S+)', rule)
    return [match[2] if match[1] is None else re.sub(r"\\(.)", r"\1", match[1]) for match in found]
