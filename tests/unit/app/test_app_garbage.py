"""When garbage is looked for."""

import gc
import subprocess
import sys

import pytest

from piped.app import garbage


@pytest.fixture(autouse=True)
def as_before():
    yield
    gc.unfreeze()
    gc.enable()


def test_garbage_is_looked_for_again_when_a_process_runs():
    """While a command loads it is not; what was loaded is left out for good."""
    garbage.pause()
    assert not gc.isenabled()
    garbage.resume()
    assert gc.isenabled()
    assert gc.get_freeze_count() > 0


def test_a_process_that_runs_cleans_up_at_its_end():
    """What is garbage when a service ends is still finalised: an open file is written, for example."""
    code = (
        "from piped.app import garbage\n"
        "garbage.pause()\n"
        "{}\n"
        "class Cycle:\n"
        "    def __init__(self): self.own = self\n"
        "    def __del__(self): print('cleaned up')\n"
        "cycle = [Cycle()]\n"
        "cycle.clear()\n"
    )
    told = [
        subprocess.run([sys.executable, "-c", code.format(line)], capture_output=True, text=True, check=True).stdout
        for line in ("garbage.resume()", "")
    ]
    assert told == ["cleaned up\n", ""]
