"""How often the kernel killed for memory in this process's control group (cgroup v1 and v2). Standard library only."""

from pathlib import Path

_ROOT = Path("/sys/fs/cgroup")
_SELF = Path("/proc/self/cgroup")


def oom_kills() -> int:
    """The group's `oom_kill` counter; 0 where no group counts it (no cgroup, kernel before 4.13)."""
    return max((_counter(path) for path in _files("memory.events", "memory.oom_control")), default=0)


def memory_limit() -> int | None:
    """The group's memory limit in bytes; None where there is none."""
    limits = [limit for path in _files("memory.max", "memory.limit_in_bytes") if (limit := _limit(path)) is not None]
    return min(limits, default=None)


def _own_groups() -> dict[str, str]:
    """Controller → path of this process's group: `memory` on v1, `` on v2."""
    if not _SELF.exists():
        return {}
    lines = (line.split(":", 2) for line in _SELF.read_text(encoding="utf-8").splitlines())
    return {name: path.lstrip("/") for _, controllers, path in lines for name in controllers.split(",")}


def _files(version_2: str, version_1: str) -> list[Path]:
    """The group's file by version: below the mount outside a container, at its root inside one."""
    own = _own_groups()
    unified = (_ROOT / own.get("", "") / version_2, _ROOT / version_2)
    legacy = (_ROOT / "memory" / own.get("memory", "") / version_1, _ROOT / "memory" / version_1)
    return [next(path for path in paths if path.exists()) for paths in (unified, legacy) if any(p.exists() for p in paths)]


def _counter(path: Path) -> int:
    fields = dict(line.split(maxsplit=1) for line in path.read_text(encoding="utf-8").splitlines())
    return int(fields.get("oom_kill", "0"))


def _limit(path: Path) -> int | None:
    text = path.read_text(encoding="utf-8").strip()
    if text == "max":
        return None
    limit = int(text)
    return None if limit >= 1 << 60 else limit  # v1 writes a page-rounded 2^63 for "none"
