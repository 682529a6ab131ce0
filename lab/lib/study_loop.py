"""The loop of every study: each run of its plan in turn, one JSON line each, on from where it was stopped."""
import time

from harness import Failure
from segue_lab import LabError

TRIES = 2  # A run that the lab itself breaks (no QEMU, no beats) is no attempt of anybody.


def say(text):
    print(text, flush=True)


def run_all(results, wanted, has, lab, one, told, named):
    """Each run (a tuple) of `wanted` that is not among the results by `has(run)`: `one(up, *run)` returns its line,
    `told(line)` says it in a sentence, `named(*run)` is the run's name. Returns how many the lab broke each time."""
    todo = [run for run in wanted if not has(run)]
    say(f'{len(todo)} of {len(wanted)} runs to do, the results are in {results.path}')
    broken = 0
    with lab as up:
        for run in todo:
            for attempt in range(1, TRIES + 1):
                try:
                    line = one(up, *run)
                    results.add(line)
                    say(told(line))
                    break
                except (LabError, Failure) as error:
                    say(f'{named(*run)}: the lab broke, try {attempt}: {error}')
                    broken += attempt == TRIES
                    time.sleep(1)
    return broken
