"""Packages that the fork server imports once for all fold processes.

The process of a fold repeats an import that fails here, and reports its error. Garbage collection passes over the
imported objects. They are never garbage, and their memory remains shared by all fold processes.
"""

from __future__ import annotations

import gc
import importlib
import signal
from contextlib import suppress

signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C ends the command, which ends this process
gc.disable()
for _name in ("aubench.runs.fold", "aubench.methods._modules.backbones", "lightning_fabric", "timm"):
    with suppress(Exception, SystemExit):
        importlib.import_module(_name)
gc.freeze()
gc.enable()
