"""--switchover-bandwidth decides the switchover: what is pending at the stop fits its budget, and nearly fills it."""
import statistics

from harness import Move, require
from segue_lab import LabError

LINK, CAP_MIB, BOUND_MS = '200MiB/s', 50, 300
# Too much for the cap at first; then the backlog falls slowly from pass to pass.
GUEST = 'hot=80 rate=70 decay=950 decay_every=300'

FACTORS = (0.25, 1, 4)

ratios = {}  # factor -> pending / budget of each run
checked = []


def cases(long_form):
    if long_form:
        plan = [(qemu, FACTORS[i % 3], i) for qemu in ('10', '7.2') for i in range(20)]
    else:
        plan = [('10', 1, 0), ('7.2', 0.25, 1), ('10', 4, 2), ('7.2', 4, 3)]
    for qemu, factor, i in plan:
        yield (f'{qemu} {factor} x the cap' + (f' #{i + 1}' if long_form else ''),
               lambda lab, q=qemu, f=factor, s=i: one(lab, q, f, s))


def one(lab, qemu, factor, seed):
    lab.link_rate(LINK)
    try:
        # An own seed and a slightly other start each time: not 40 times the same run.
        guest = f'{GUEST} seed={seed + 1}'
        options = ['--max-downtime', f'{BOUND_MS}ms', '--max-bandwidth', f'{CAP_MIB}MiB/s', '--switchover-bandwidth',
                   f'{int(CAP_MIB * factor * 1024)}KiB/s', '--timeout', '90s']
        with Move(lab, qemu, guest, calm=0.2 + seed % 7 * 0.05, options=options) as move:
            asked = []
            # Answered before Segue lets QEMU go on, or the status is not pre-switchover any more.
            move.on_held(lambda: asked.append(move.at_src.send('query-migrate')))
            move.run(100)
            return judge(move, asked, factor)
    finally:
        lab.link_rate('100MiB/s')


def judge(move, asked, factor):
    said = move.result
    pending, budget = said['pending_at_stop_bytes'], said['budget_bytes']
    require(pending is not None and budget, f'no stop, exit {move.exit}: {said["error"]}; {move.decisions()[-300:]}')
    ratios.setdefault(factor, []).append(pending / budget)
    require(pending <= budget, f'{pending} pending at the stop, budget {budget}')
    cross = 'not seen from outside'
    try:
        seen = move.at_src.answer(asked[0], 2) if asked else {}
    except LabError:
        seen = {}
    if seen.get('status') == 'pre-switchover':
        checked.append(1)
        cross = 'the same from outside'
        require(seen['ram']['remaining'] == pending, f'QEMU says {seen["ram"]["remaining"]}, the result {pending}')
    if move.exit == 0:
        move.require_moved()
        took = move.stop_to_resume_ms('dst')
    else:
        move.require_exit(3)
        move.require_source_runs()
        took = move.stop_to_resume_ms()
    require(took <= BOUND_MS, f'STOP to RESUME {took:.1f} ms of {BOUND_MS}; {said["error"]}')
    return (f'pending {pending / 2**20:.2f} MiB = {pending / budget:.3f} of the budget ({cross}), exit {move.exit}, '
            f'STOP to RESUME {took:.1f} ms, {said["passes"]} passes, {move.pages} pages')


def final(_):
    """The median is asked of all factors together. 0.25 alone was seen to fall short of it (0.5 to 0.65; not known
    why: perhaps because QEMU looks at what is pending every 50 ms, which is that whole budget). So each is shown."""
    for factor, some in sorted(ratios.items()):
        yield f'{factor} x the cap', None, (f'median {statistics.median(some):.3f}, from {min(some):.3f} to '
                                            f'{max(some):.3f} in {len(some)}')
    together = [ratio for some in ratios.values() for ratio in some]
    if set(ratios) == set(FACTORS):
        middle = statistics.median(together)
        yield 'median of pending / budget', middle >= 0.7, (
            f'{middle:.3f} (at least 0.7) in {len(together)}, {len(checked)} cross-checked')
