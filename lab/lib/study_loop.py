"""The loop of every study: each run of its plan in turn, one JSON line each, on from where it was stopped.

A run during which the machine below took more than 3 % of the CPUs is `disturbed`: told, kept in the file, and made
again, twice at most; the newest of its kind counts."""
import time

from harness import Failure
from lab_theft import Theft, wait_for_calm
from segue_lab import LabError

DISTURBED_RATIO, MADE_MAX = 0.03, 3
TRIES = 2  # A run that the lab itself breaks (no QEMU, no beats) is no attempt of anybody.


def say(text):
    print(text, flush=True)


def newest(lines, key):
    """The newest line of each `key(line)`, in the order in which they first came."""
    return list({key(line): line for line in lines}.values())


def done(lines, key):
    """The keys of what need not be made again: undisturbed, or tried often enough."""
    keys = [key(line) for line in lines]
    return {k for k, line in zip(keys, lines) if not line.get('disturbed') or keys.count(k) >= MADE_MAX}


def made(results, once):
    """The line of `once()`, added to the results with what was stolen meanwhile."""
    wait_for_calm()
    theft = Theft()
    line = once()
    line['stolen_ratio'] = round(theft.share, 4)
    line['disturbed'] = line.get('disturbed', False) or line['stolen_ratio'] > DISTURBED_RATIO
    results.add(line)
    return line


def run_all(results, wanted, has, lab, one, told, named):
    """Each run (a tuple) of `wanted` that is not among the results by `has(run)`: `one(up, *run)` returns its line,
    `told(line)` says it in a sentence, `named(*run)` is the run's name. Returns how many the lab broke each time."""
    todo = [run for run in wanted if not has(run)]
    say(f'{len(todo)} of {len(wanted)} runs to do, the results are in {results.path}')
    broken = 0
    with lab as up:
        for run in todo:
            broken += not run_one(results, run, lambda made_of=run: one(up, *made_of), told, named)
    return broken


def run_one(results, run, once, told, named):
    """Whether the lab let it be made at all."""
    broken, times = 0, 0
    while broken < TRIES and times < MADE_MAX:
        try:
            line = made(results, once)
        except (LabError, Failure) as error:
            broken += 1
            say(f'{named(*run)}: the lab broke, try {broken}: {error}')
            time.sleep(1)
            continue
        times += 1
        stolen = line['stolen_ratio']
        say(told(line) + (f'; DISTURBED: the machine below took {stolen:.0%} of the CPUs' * (stolen > DISTURBED_RATIO)))
        if stolen <= DISTURBED_RATIO:
            break
    return times > 0
