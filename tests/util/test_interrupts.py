"""Signals that end a command."""

from __future__ import annotations

import os
import signal
import threading
import time

import pytest

from aubench._util import interrupts


@pytest.mark.parametrize("number", interrupts.SIGNALS)
def test_each_signal_ends_a_command_as_ctrl_c_does(number):
    before = signal.getsignal(number)
    with pytest.raises(KeyboardInterrupt), interrupts.like_ctrl_c():
        os.kill(os.getpid(), number)
    assert signal.getsignal(number) is before


def test_nohup_ignores_a_closed_terminal():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with interrupts.like_ctrl_c():
            os.kill(os.getpid(), signal.SIGHUP)
    finally:
        signal.signal(signal.SIGHUP, before)


@pytest.mark.parametrize("threads", [0, 1])
def test_a_blocked_signal_waits_for_the_end(threads):
    done, stop = [], threading.Event()
    for _ in range(threads):
        threading.Thread(target=stop.wait, daemon=True).start()
    with pytest.raises(KeyboardInterrupt), interrupts.like_ctrl_c():
        with interrupts.blocked():
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(0.05)
            done.append("submitted")
        done.append("not reached")
    stop.set()
    assert done == ["submitted"]
