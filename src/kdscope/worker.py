"""A process that runs stages of a study for another one: `python -m kdscope.worker STORE`. Not for people."""

from __future__ import annotations

import sys
from pathlib import Path

from kdscope.pipeline.executors.worker_main import worker_main
from kdscope.pipeline.store import Store
from kdscope.stages import execute

if __name__ == "__main__":
    worker_main(Store(Path(sys.argv[1])), execute)
