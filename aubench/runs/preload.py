"""State of the fork server that all fold processes inherit: imported packages, and signals that wait.

A signal to all processes of a command does not end the fork server, with which unsaved folds would end. The fork server
ends with the command. In the process of a fold, a signal waits for :func:`aubench._util.interrupts.install`.

The fork server leaves the folder of the command, because some imports fail if it is removed meanwhile. The process of a
fold works in it again.

The process of a fold repeats an import that fails here, and reports its error. Garbage collection passes over the
imported objects. They are never garbage, and their memory remains shared by all fold processes.
"""

from __future__ import annotations

import gc
import importlib
import os
import signal
from contextlib import suppress

from aubench._util import interrupts

signal.pthread_sigmask(signal.SIG_BLOCK, interrupts.SIGNALS)
os.chdir("/")
gc.disable()
for _name in ("aubench.runs.fold", "aubench.methods._modules.backbones", "lightning_fabric", "timm"):
    with suppress(Exception, SystemExit):
        importlib.import_module(_name)
gc.freeze()
gc.enable()
