"""Do once what each of the parallel workers would do at the start of the tests, before they start.

This compiles the larger packages, which tox installs without compiled modules, and the kernels of the renderer. It also
generates the store of ``synth``, which some tests and the demo share.
"""

import subprocess
import sys

PROGRAMS = (
    "from aubench.api import planning; planning.open_data(planning.find_narrowed('synth_3fold', None), None)",
    "import aubench, timm",
    "import pandas, scipy.stats, sklearn.metrics, numba, optuna, ray, matplotlib.pyplot, hypothesis, psycopg",
)

processes = [subprocess.Popen([sys.executable, "-c", program]) for program in PROGRAMS]
exit_codes = [process.wait() for process in processes]
sys.exit(any(exit_codes))
