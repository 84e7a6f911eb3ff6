"""Packages of fold processes: imported without garbage collection, which later passes over them."""

import gc
import runpy
import signal

from aubench._util import interrupts


def test_collection_of_garbage_passes_over_the_imported_packages(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)  # and back, in the end
    gc.unfreeze()
    before = gc.get_freeze_count()
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    try:
        runpy.run_module("aubench.runs.preload")
        assert signal.pthread_sigmask(signal.SIG_BLOCK, ()) >= set(interrupts.SIGNALS)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
    assert gc.isenabled()
    assert gc.get_freeze_count() > before + 100_000
