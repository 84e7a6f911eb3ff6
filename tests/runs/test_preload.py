"""Packages of fold processes: imported without garbage collection, which later passes over them."""

import gc
import runpy


def test_collection_of_garbage_passes_over_the_imported_packages():
    gc.unfreeze()
    before = gc.get_freeze_count()
    runpy.run_module("aubench.runs.preload")
    assert gc.isenabled()
    assert gc.get_freeze_count() > before + 100_000
