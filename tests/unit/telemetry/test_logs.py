"""One JSON document a line, whatever is logged."""

import json
import logging
import sys

from farthing.telemetry.logs import JsonFormatter


def line(**members):
    record = logging.makeLogRecord({"name": "farthing.test", "levelname": "INFO", **members})
    text = JsonFormatter().format(record)
    assert "\n" not in text
    return json.loads(text)


def test_members():
    seen = line(msg="job %s\nstarted", args=("a",), created=0.0, job="team/a")
    assert (seen["time"], seen["level"], seen["logger"]) == ("1970-01-01T00:00:00.000Z", "info", "farthing.test")
    assert seen["message"] == "job a\nstarted"
    assert seen["job"] == "team/a"


def test_tracebacks_stay_on_the_line():
    try:
        {}["lost"]
    except KeyError:
        seen = line(msg="failed", exc_info=sys.exc_info())
    assert seen["error"].endswith("KeyError: 'lost'")
