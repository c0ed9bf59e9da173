#!/usr/bin/env bash
# Set up an environment, make the inputs, run the study.
set -euo pipefail
cd "$(dirname "$0")/../.."
if [ ! -x .venv/bin/kdscope ]; then
  python3 -m venv .venv
  .venv/bin/python -m pip install -q --disable-pip-version-check -c constraints.txt .
fi
.venv/bin/python examples/first_study/make_inputs.py
.venv/bin/kdscope run examples/first_study/study.yaml
