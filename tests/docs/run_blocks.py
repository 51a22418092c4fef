"""Runs the blocks of one page in order; a process of its own, started by test_blocks.py.

    python run_blocks.py PAGE BLOCKS.json

BLOCKS.json is a list of [language, line, code]. All Python blocks share one namespace, shell blocks
and files share the working folder.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
import traceback
from pathlib import Path
from typing import Any


def main(page: str, listing: str) -> int:
    namespace: dict[str, Any] = {"__name__": "__main__"}
    for language, line, code in json.loads(Path(listing).read_text(encoding="utf-8")):
        print(f"--- {page}:{line}", flush=True)  # noqa: T201 - the record of a failed page
        began = time.perf_counter()
        try:
            if language == "python":
                # As many empty lines above as in the page: tracebacks name the page's line.
                exec(compile("\n" * (line - 1) + code, page, "exec"), namespace)  # noqa: S102
            else:
                subprocess.run(["bash", "-euo", "pipefail", "-c", code], check=True)  # noqa: S603, S607
        except (Exception, SystemExit):  # noqa: BLE001 - whatever a block of a page may raise
            traceback.print_exc(file=sys.stdout)
            print(f"FAILED {page}:{line}\n{code}", flush=True)  # noqa: T201
            return 1
        print(f"--- in {time.perf_counter() - began:.1f} s", flush=True)  # noqa: T201
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
