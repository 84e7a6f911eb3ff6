"""Import the larger packages of the tests, half of them in each of two processes, which compiles their modules.

tox installs packages without compiled modules. The parallel workers of pytest import the same modules at the same time,
so each worker would compile all of them.
"""

import subprocess
import sys

HALVES = (
    "aubench, timm",
    "pandas, scipy.stats, sklearn.metrics, numba, optuna, ray, matplotlib.pyplot, hypothesis, playwright.sync_api",
)

processes = [subprocess.Popen([sys.executable, "-c", f"import {names}"]) for names in HALVES]
sys.exit(max(process.wait() for process in processes))
