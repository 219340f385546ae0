# SPDX-License-Identifier: Apache-2.0
"""Runs the benchmarks, each in a process of its own, and writes RESULTS.md from their rows.

python -m benchmarks              # all of them
python -m benchmarks index words  # bench_index.py and bench_words.py
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

from harness import SLOWING_VARIABLES  # noqa: E402
from report import report  # noqa: E402


def main(stages: list[str]) -> int:
    """Run the benchmarks of `stages`, all of them by default; return the exit status."""
    known = {path.stem.removeprefix("bench_"): path for path in sorted(HERE.glob("bench_*.py"))}
    if unknown := [stage for stage in stages if stage not in known]:
        print(f"no benchmark {unknown[0]!r}; there are {', '.join(known)}", file=sys.stderr)
        return 2
    environment = {k: v for k, v in os.environ.items() if k not in SLOWING_VARIABLES}
    environment["TROUVAILLE_BENCH_ROWS"] = str(HERE / "rows")
    failed = []
    for stage in stages or known:
        print(f"# {stage}", flush=True)
        if subprocess.run([sys.executable, known[stage]], env=environment).returncode != 0:
            failed.append(stage)
    (HERE / "RESULTS.md").write_text(report(HERE / "rows"), encoding="utf-8")
    if failed:
        print(f"failed: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
