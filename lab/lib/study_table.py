"""The tables of lab/study, and whether the goals are reached. Over all attempts, not over those that went well."""
import statistics

from study_cells import AFTER_S, CELLS, PEERS, Cell, cell_name
from study_run import bounds_broken

FIGURES = (('total_s', 'total time'), ('wire_bytes', 'bytes'), ('lost_s', 'lost work'))
# At most so much of the peer's figure: in the median cell, and in every cell.
GOALS = {'lost_s': (1 / 5, 1 / 3), 'total_s': (1 / 2.5, 1 / 1.8), 'wire_bytes': (1 / 2.5, 1 / 1.8)}
HIGH_RATIO = 5


def of_cell(runs, cell, contender):
    return [r for r in runs if (Cell(r['hot'], r['ratio']), r['contender']) == (cell, contender)]


def median(runs, figure):
    values = [r[figure] for r in runs if r[figure] is not None]
    return statistics.median(values) if values else None


def contender_line(runs, contender):
    lowest = median(runs, 'lowest_share')
    broken = [text for r in runs for text in bounds_broken(r)]
    finished = sum(r['finished'] for r in runs)
    notes = ['whole' if all(r['whole'] for r in runs) else 'NOT WHOLE']
    notes += [f"{sum(r['disturbed'] for r in runs)} disturbed"] if any(r['disturbed'] for r in runs) else []
    return (f"  {contender:<17} {finished}/{len(runs)} {median(runs, 'total_s'):7.1f} s "
            f"{median(runs, 'wire_bytes') / 2**20:7.0f} MiB {median(runs, 'stop_to_resume_ms'):5.0f} ms "
            f"{median(runs, 'gap_ms'):5.0f} ms {median(runs, 'lost_s'):6.2f} s "
            f"{'-' if lowest is None else f'{lowest * 100:.1f}':>6} % {median(runs, 'stall_ms'):5.0f} ms  "
            f"{', '.join(broken) if broken else 'kept'}; {', '.join(notes)}")


def ratios(runs, cell, contender, peer):
    """Figure -> ours over theirs, of the medians of this cell; None where either is missing."""
    ours, theirs = of_cell(runs, cell, contender), of_cell(runs, cell, peer)
    if not ours or not theirs:
        return None
    return {name: median(ours, name) / median(theirs, name) for name, _ in FIGURES}


def goal_lines(runs, contender, peer):
    """(text, reached) of every goal that these runs can show."""
    by_cell = {cell: found for cell in CELLS if (found := ratios(runs, cell, contender, peer))}
    high = [found for cell, found in by_cell.items() if cell.ratio >= HIGH_RATIO]
    low = [found for cell, found in by_cell.items() if cell.ratio < HIGH_RATIO]
    for name, words in FIGURES:
        typical, worst = GOALS[name]
        if high:
            middle, most = statistics.median(f[name] for f in high), max(f[name] for f in high)
            yield (f'{words} against {peer}, {len(high)} cells of ratio 5 and more: median cell '
                   f'{middle:.2f} (at most {typical:.2f}), worst {most:.2f} (at most {worst:.2f})',
                   middle <= typical and most <= worst)
        if low:
            most = max(f[name] for f in low)
            yield f'{words} against {peer}, {len(low)} cells of ratio 2: worst {most:.2f} (at most 1)', most <= 1


def bound_lines(runs, contender):
    ours = [r for r in runs if r['contender'] == contender]
    bad = [r for r in ours if not r['finished'] or not r['whole'] or bounds_broken(r)]
    yield f'{contender}: {len(ours) - len(bad)} of {len(ours)} moves succeeded within all bounds', not bad
    for r in bad:
        what = ', '.join(bounds_broken(r)) or r['error'] or 'pages lost'
        yield f"  {cell_name(Cell(r['hot'], r['ratio']))} pair {r['pair']}: {what}", False


def report(runs, contenders):
    """Prints all of it; returns whether every goal that could be judged is reached."""
    print(f'\nMedians of each cell. Lost work: guest work not done over the move and {AFTER_S:.0f} s after it, against '
          'the rates before the move\nand at the end, with dirty tracking off, by the guest\'s counter, host-stamped. '
          'Share: least of any 1 s window.\nStall: longest heartbeat gap while the guest ran.')
    for cell in CELLS:
        if not any(Cell(r['hot'], r['ratio']) == cell for r in runs):
            continue
        print(f'\n{cell.hot} MiB hot, dirty rate {cell.ratio} x link')
        print(f"  {'contender':<17} done {'total':>8} {'bytes':>11} {'stop':>8} {'gap':>8} {'lost':>8} "
              f"{'share':>8} {'stall':>8}  bounds")
        for contender in contenders:
            if found := of_cell(runs, cell, contender):
                print(contender_line(found, contender))
        for contender in (c for c in contenders if c not in PEERS):
            for peer in PEERS:
                if found := ratios(runs, cell, contender, peer):
                    print(f'  {contender} over {peer}: '
                          + ', '.join(f'{words} {found[name]:.2f}' for name, words in FIGURES))
    goals = [g for c in contenders if c not in PEERS and any(r['contender'] == c for r in runs)
             for g in (*bound_lines(runs, c), *(line for peer in PEERS for line in goal_lines(runs, c, peer)))]
    print()
    for text, reached in goals:
        print(f"{'ok  ' if reached else 'FAIL'}  {text}")
    if not goals:
        print('no goal can be judged: segue has not run')
    return all(reached for _, reached in goals)
