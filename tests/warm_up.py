"""Do once what each of the parallel workers would do at the start of the tests, before they start.

One process generates the store of ``synth``, which some tests and the demo share, and compiles the renderer's kernels.
The other compiles the larger packages, which tox installs without compiled modules, and the modules of the tests.
"""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
GENERATE = "from aubench.api import planning; planning.open_data(planning.find_narrowed('synth_3fold', None), None)"
PACKAGES = "aubench, timm, pandas, scipy.stats, sklearn.metrics, numba, optuna, ray, matplotlib.pyplot, psycopg"
COLLECT = f"import sys, pytest, {PACKAGES}; pytest.main(sys.argv[1:])"  # without its errors, which the tests show
OPTIONS = ("-c", ROOT / "pyproject.toml", "--collect-only", "-qq", "-o", "python_files=test_*.py bench_*.py")

generation = subprocess.Popen([sys.executable, "-c", GENERATE])
words = [sys.executable, "-c", COLLECT, *OPTIONS, ROOT / "tests", ROOT / "benchmarks"]
collection = subprocess.run(words, stdout=subprocess.DEVNULL, check=False)
sys.exit(generation.wait() or collection.returncode)
