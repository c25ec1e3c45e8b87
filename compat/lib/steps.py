"""Named steps that print the result lines compat scripts understand: PASS name, FAIL name: why, SKIP name: why."""

import time
import traceback


class Skip(Exception):
    """A step that was not run, and why."""


def step(name, run):
    """Runs one step; its failure ends this step only."""
    try:
        run()
    except Skip as why:
        print(f"SKIP {name}: {why}", flush=True)
    except Exception as error:  # a client may raise anything
        traceback.print_exc()
        print(f"FAIL {name}: {type(error).__name__}: {' '.join(str(error).split())[:240]}", flush=True)
    else:
        print(f"PASS {name}", flush=True)


def equal(got, expected, what):
    assert got == expected, f"{what}: expected {str(expected)[:100]}, got {str(got)[:100]}"


def within(seconds, condition, what):
    """Waits until `condition()` is true and returns its value."""
    limit = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > limit:
            raise AssertionError(f"not within {seconds} s: {what}")
        time.sleep(0.05)


def done():
    print("DONE", flush=True)
