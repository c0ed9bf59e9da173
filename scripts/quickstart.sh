#!/usr/bin/env bash
# Set up an environment of its own (.venv, made on the first call) and run the quickstart in it.
set -euo pipefail
cd "$(dirname "$0")/.."
if [ ! -x .venv/bin/kdscope ]; then
  python3 -m venv .venv
  .venv/bin/python -m pip install -q --disable-pip-version-check -c constraints.txt .
fi
exec .venv/bin/kdscope run "$@"
