"""What a client tells tests/clients/drive.py, a line of JSON each, and what it asks of it.

Standard library only.
"""
import json
import sys
import traceback


def say(**fields):
    print(json.dumps(fields), flush=True)


def step(sentence, show):
    """Runs `show`, and says whether it went as the sentence has it."""
    try:
        show()
    except Exception as error:
        # A client may fail in its own way, and the next step is another.
        place = traceback.extract_tb(error.__traceback__)
        lines = " < ".join(f"{at.filename.rsplit('/', 1)[-1]}:{at.lineno}" for at in place[:0:-1])
        say(failed=sentence, why=f"{type(error).__name__}: {error} ({lines})"[:1000])
    else:
        say(ok=sentence)


def ask(verb):
    """Has the server "terminate", be "kill"ed or "start" again, and waits until it has."""
    say(do=verb)
    sys.stdin.readline()


def check(is_right, *told):
    if not is_right:
        raise AssertionError(" ".join(str(one) for one in told)[:700])


def equal(found, expected):
    check(found == expected, repr(found), "is not", repr(expected))
