"""The rows of `segue plan`, carried out: three guests that never converge, each of the eleven levels, on real QEMU 10.

For each move `segue plan` is asked first; then the guest is moved at that level, with nothing remembered of earlier
moves. An outcome is within its row when it lies from P10 to P90. It runs alone on the machine, about 25 s a move;
stopped and started again it goes on where it was. Needs root, two cores and a build.
Exit status 0 when every goal is reached."""
import argparse
import os
import signal
import sys

import segue_lab
import study_loop
import study_run
from study_cells import LINK_MIB_S, Results
from study_forecast import asked, numbers
from study_loop import say
from watching import ROOT, mono_ns_of

MEMORY_MIB = 256
GUESTS = {'uniform': 'hot=80 work=5000', 'hot and cold': 'pattern=hotcold hot=32 cold=30 work=6000',
          'ramp': 'pattern=ramp hot=96 work=5000'}
LEVELS = tuple(n / 10 for n in range(11))
FIGURES = {'total_seconds': ('total', 's', 1), 'downtime_seconds': ('downtime', 'ms', 1e3),
           'lost_work_seconds': ('lost', 's', 1), 'sent_bytes': ('sent', 'MiB', 2**-20),
           'lowest_share_ratio': ('lowest share', '%', 100)}
GOAL = 0.7
# Counts of a share are whole per mille in a quota; a row of one value would be missed by less than that.
SHARE_GRAIN = 0.002
AFTER_S = 1.0


def lost_work(samples, began_ns, stopped_ns, stood_s):
    """Seconds that the vCPU did not run between the first sync and the STOP, and the standstill. The guest is busy all
    the time and has a core of its own: what that core idled, beside what it idled before. Where others were on it
    (the machine below among them), nothing was lost to the move."""
    before = [s for s in samples if s.mono_ns <= began_ns]
    inside = [s for s in samples if began_ns <= s.mono_ns <= stopped_ns]
    usual = (before[-1].busy_s - before[0].busy_s) * 1e9 / (before[-1].mono_ns - before[0].mono_ns)
    wanted = usual * (inside[-1].mono_ns - inside[0].mono_ns) / 1e9
    return max(0.0, wanted - (inside[-1].busy_s - inside[0].busy_s)) + usual * stood_s


def one(lab, name, level):
    """The row as it was told just before, and what became of it."""
    with study_run.Segue(lab, GUESTS[name], level, memory_mib=MEMORY_MIB) as move:
        rows = asked(lab, move.src, move.dst, [*study_run.SEGUE_BOUNDS, *study_run.SEGUE_BRAKE])
        row = next(r for r in rows if abs(r['aggression'] - level) < 1e-6)
        run = move.run(AFTER_S)
        stop, setup = move.at_src.find('STOP'), move.at_src.find('MIGRATION', status='setup')
        outcome = dict(move.result)
        if stop and setup:
            outcome['lost_work_seconds'] = lost_work(move.sampler.samples, mono_ns_of(setup.stamp),
                                                     mono_ns_of(stop.stamp), run['stop_to_resume_ms'] / 1e3)
        return {'type': 'row', 'guest': name, 'level': level, 'outcome': outcome['outcome'],
                'feasible': row['feasible'], 'finishes_ratio': float(row['finishes_ratio']),
                'row': {key: numbers(row[key]) for key in FIGURES},
                'was': {key: float(outcome[key]) for key in FIGURES if outcome.get(key) is not None},
                'broken': study_run.bounds_broken(run), 'whole': run['whole'], 'load': run['load']}


def within(line, key):
    """None where there is nothing to compare."""
    band, was = line['row'].get(key), line['was'].get(key)
    if band is None or was is None:
        return None
    grain = SHARE_GRAIN if key == 'lowest_share_ratio' else 0
    return band['p10'] - grain <= was <= band['p90'] + grain


def row_of(line):
    return line['guest'], line['level']


def told(line):
    text = f"{line['guest']} at {line['level']:.1f}: {line['outcome']}"
    for key, (word, unit, scale) in FIGURES.items():
        band, was = line['row'].get(key), line['was'].get(key)
        if band is None or was is None:
            continue
        text += (f"; {word} {was * scale:.3g} {unit} of {band['p10'] * scale:.3g} to {band['p90'] * scale:.3g}"
                 f"{'' if within(line, key) else ' MISSED'}")
    return text + (f"; BROKE {', '.join(line['broken'])}" if line['broken'] else '')


def run_all(results, guests, levels):
    done = study_loop.done(results.lines, row_of)
    wanted = [(name, level) for level in levels for name in guests]
    return study_loop.run_all(results, wanted, done.__contains__,
                              segue_lab.Lab(f'rows{os.getpid()}', f'{LINK_MIB_S * 11 // 10}MiB/s'), one, told,
                              lambda name, level: f'{name} at {level:.1f}')


def report(lines):
    """Prints the figures, of each row as it was carried out last; whether every goal is reached. A move that did not
    end well is outside of every row."""
    lines, good = study_loop.newest(lines, row_of), bool(lines)
    bad = [line for line in lines if line['outcome'] != 'moved' or line['broken'] or not line['whole']]
    say(f"{len(lines)} rows carried out, {len(bad)} not moved or not within the bounds, "
        f"{sum(line.get('disturbed', False) for line in lines)} disturbed to the last")
    good = good and not bad
    for key, (word, _, _) in FIGURES.items():
        held = sum(within(line, key) is True for line in lines)
        reached = held >= GOAL * len(lines)
        good = good and reached
        say(f"{word:<13} {held:3} of {len(lines)} within P10 to P90 (goal {GOAL:.0%}): "
            f"{'reached' if reached else 'MISSED'}")
    return good


def main(argv):
    p = argparse.ArgumentParser(prog='lab/study rows', description=__doc__,
                                formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument('--short', action='store_true', help='one guest, the levels 0, 0.5 and 1')
    p.add_argument('--results', default=os.path.join(ROOT, 'build', 'results', 'rows.jsonl'), metavar='FILE',
                   help='one JSON line a move; a move that is there is not repeated')
    p.add_argument('--table', action='store_true', help='only print what the results show')
    o = p.parse_args(argv)
    results, broken = Results(o.results), 0
    if not o.table:
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
        study_run.stay_on_other_core()
        broken = run_all(results, list(GUESTS)[:1] if o.short else list(GUESTS), (0.0, 0.5, 1.0) if o.short else LEVELS)
    return 0 if report(results.lines) and not broken else 1
