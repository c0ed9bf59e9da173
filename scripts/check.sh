#!/usr/bin/env bash
# Every check and every test, in an environment of its own (.venv-check, made on the first call).
#   ./scripts/check.sh            all of it
#   ./scripts/check.sh -m slow    what follows goes to pytest
set -euo pipefail
cd "$(dirname "$0")/.."
environment="${KDSCOPE_CHECK_ENV:-.venv-check}"
if [ ! -x "$environment/bin/python" ]; then
  python3 -m venv "$environment"
fi
"$environment/bin/python" -m pip install -q --disable-pip-version-check -c constraints.txt -e ".[test]"
export PATH="$PWD/$environment/bin:$PATH" OMP_NUM_THREADS="${OMP_NUM_THREADS:-1}" TOKENIZERS_PARALLELISM=false
ruff check .
ruff format --check .
mypy
lint-imports
# A file is not divided among processes, so that what its tests share is made once.
python -m pytest -n auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder "$@"
