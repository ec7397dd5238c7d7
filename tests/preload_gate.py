"""What a forkserver of the tests imports: it waits for a file of the test's, as a large library waits for its disk."""

import atexit
import os
import sys
import time
from pathlib import Path

if gate := os.environ.get("PRELOAD_GATE"):
    Path(gate + ".reached").write_text(str(os.getpid()))
    while not Path(gate).exists():
        time.sleep(0.005)
    atexit.register(print, "a native library complains", file=sys.stderr)
