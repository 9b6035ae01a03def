"""A process that is done is gone: taking torch apart took 1.5 s of CPU time, for which the next attempt had to wait."""

import subprocess
import sys

PROGRAM = """
import atexit, logging
from farthing_trainer.__main__ import leave
atexit.register(print, "torn down")
logging.basicConfig(format="%(message)s")
logging.warning("last words")
print("said", end="")
leave(75)
"""


def test_it_leaves_with_its_code_its_words_and_nothing_more():
    left = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=False)
    assert (left.returncode, left.stdout, left.stderr) == (75, "said", "last words\n")
