"""Heartbeats: reading the recorder's files and judging them."""
import collections


Beat = collections.namedtuple('Beat', 'mono_ns seq work errors')
BEAT_NS = 5_000_000


def read_beats(path):
    """Beats of one recorder file; a last line still being written is left out."""
    try:
        with open(path) as f:
            text = f.read()
    except FileNotFoundError:
        return []
    return [Beat(*map(int, line.split())) for line in text[: text.rfind('\n') + 1].splitlines()]


def merge_beats(*sides):
    return sorted(b for side in sides for b in side)


def longest_gap(beats, from_ns=None, to_ns=None):
    """(gap_ns, started_ns) of the longest silence overlapping the window; beats may be of both sides."""
    best = (0, None)
    for one, two in zip(beats, beats[1:]):
        if (from_ns is None or two.mono_ns > from_ns) and (to_ns is None or one.mono_ns < to_ns):
            best = max(best, (two.mono_ns - one.mono_ns, one.mono_ns), key=lambda g: g[0])
    return best


def calm_gap(beats, before_ns, seconds=1.0):
    """Longest silence in ns in the calm `seconds` before `before_ns`: what the machine itself costs."""
    calm = [b for b in beats if before_ns - seconds * 1e9 <= b.mono_ns <= before_ns]
    return longest_gap(calm)[0]


def sequence_faults(beats):
    """Pairs out of order in merged beats: a guest that ran twice, went back in time or was not heard leaves some.

    One missing number is none: the stop may fall between the 16 bytes of a record, and then neither
    side's recorder has all of it.
    """
    return [(one, two) for one, two in zip(beats, beats[1:]) if not 1 <= two.seq - one.seq <= 2]


def work_between(beats, from_ns, to_ns):
    """Pages written by the guest in the window (its counter has 32 bits and wraps)."""
    inside = [b for b in beats if from_ns <= b.mono_ns <= to_ns]
    return (inside[-1].work - inside[0].work) & 0xFFFFFFFF if inside else 0


def beats_of_two(one, two, beats=2):
    """What shows that two copies ran: None, or (from_ns, to_ns, beats of `one`, beats of `two`).

    A guest that moves from `one` to `two` is silent on `one` from the first beat on `two` on. A beat that the recorder
    of `one` read late is none yet; `beats` of them are a copy that ran on, or again.
    """
    if not two:
        return None
    first = two[0].mono_ns
    late = [b for b in one if b.mono_ns > first]
    if len(late) < beats:
        return None
    return first, late[-1].mono_ns, len(late), sum(1 for b in two if b.mono_ns <= late[-1].mono_ns)
