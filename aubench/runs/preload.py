"""Packages that the fork server imports once for all fold processes.

The process of a fold repeats an import that fails here, and reports its error.
"""

from __future__ import annotations

import importlib
from contextlib import suppress

for _name in ("aubench.runs.fold", "aubench.methods._modules.backbones", "lightning_fabric", "timm"):
    with suppress(Exception, SystemExit):
        importlib.import_module(_name)
