"""One of Python's WebSocket clients at a vitald: `websocket_client.py NAME SETTING`."""
import json
import os
import sys

from libraries import LIBRARIES
from scenario import late, run

name, setting = sys.argv[1], json.loads(sys.argv[2])
library = LIBRARIES[name](setting["url"], setting["certificate"])
if setting["late_url"]:
    other = LIBRARIES[name](setting["late_url"], None)
    late(library, other, setting["silence_s"])
else:
    run(library, setting["interval_ms"])
# Connections that a failed step has left open are not waited for.
sys.stdout.flush()
os._exit(0)
