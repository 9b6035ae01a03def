"""A fault of ours in the numbers of one job: told of that job, so that it stops no other."""

import re
import traceback
from pathlib import Path

from farthing.api.conditions import Reason
from farthing.domain.decision import Because

MOST_CHARACTERS = 512
ADDRESS = re.compile(r"0x[0-9a-f]+")
"""Of objects in memory: another one in every cycle, so that the status would be written anew each time."""


def told(error: Exception) -> Because:
    """What went wrong and where, in words that stay the same from cycle to cycle."""
    place = traceback.extract_tb(error.__traceback__)[-1]
    text = ADDRESS.sub("0x…", " ".join(f"{type(error).__name__}: {error}".split()))[:MOST_CHARACTERS]
    where = f"{Path(place.filename).name}:{place.lineno}"
    remedy = "a fault of Farthing's own: please report it; the job waits, and others go on"
    return Because(Reason.INTERNAL_ERROR, f"{text} ({where}); {remedy}")
