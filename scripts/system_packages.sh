#!/usr/bin/env bash
# Installs the Debian packages that .venv needs, where they are missing: nothing is done on a machine that has them.
# What the local cluster needs beside them is checked and installed by `farthing up`.
set -euo pipefail

missing=()
command -v git > /dev/null || missing+=(git)
python="${PYTHON:-$(command -v python3.11 || command -v python3 || true)}"
if [ -z "$python" ]; then
    missing+=(python3 python3-venv)
elif ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
    echo "$python is older than 3.11: install Python 3.11 and run make with PYTHON=…" >&2
    exit 1
elif ! "$python" -c 'import ensurepip, venv' 2> /dev/null; then
    missing+=(python3-venv)
fi
[ ${#missing[@]} -eq 0 ] && exit 0

echo "missing: ${missing[*]}"
if ! command -v apt-get > /dev/null; then
    echo "install them with this machine's package manager" >&2
    exit 1
fi
as_root=()
[ "$(id -u)" = 0 ] || as_root=(sudo)
"${as_root[@]}" apt-get update -qq
"${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}"
