"""Packages of fold processes: imported without garbage collection, which later passes over them."""

import gc
import runpy
import signal


def test_collection_of_garbage_passes_over_the_imported_packages():
    gc.unfreeze()
    before = gc.get_freeze_count()
    handler = signal.getsignal(signal.SIGINT)
    try:
        runpy.run_module("aubench.runs.preload")
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, handler)
    assert gc.isenabled()
    assert gc.get_freeze_count() > before + 100_000
