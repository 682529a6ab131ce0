"""Hard bound: whatever happens to link or destination in the blackout, the guest runs again within max downtime."""
import contextlib
import os

from harness import BEAT_MS, Failure, Move, require
from watching import Fault

GUEST = 'hot=48 rate=50'  # pending at the stop comes close to the budget: the blackout lasts
MOMENTS = (('at pre-switchover', 0.0), ('in the blackout', 0.04))
ATTEMPTS = 4  # A run in which the fault came too late, or the move was undone before it, shows nothing.

worst = {}  # bound -> (stop to resume, gap beyond what is allowed, runs)


def cases(long_form):
    cells = [(bound, kind, moment) for bound in (200, 500) for kind in Fault.FAULTS for moment in MOMENTS]
    for qemu, runs, step in (('10', 10 if long_form else 1, 1), ('7.2', 3 if long_form else 1, 1 if long_form else 3)):
        for bound, kind, (words, delay) in cells[::step]:
            for run in range(1, runs + 1):
                name = f'{qemu} {bound} ms, {kind} {words}' + (f' #{run}' if runs > 1 else '')
                yield name, lambda lab, q=qemu, b=bound, k=kind, d=delay: one(lab, q, b, k, d)


def one(lab, qemu, bound_ms, kind, delay):
    void = []
    for _ in range(ATTEMPTS):
        options = ['--max-downtime', f'{bound_ms}ms', '--max-bandwidth', '100MiB/s', '--timeout', '30s']
        with Move(lab, qemu, GUEST, options=options) as move:
            fault = Fault(lab, kind, move.dst.pid)
            try:
                move.on_held(fault.fire, delay)
                move.run()
                why = nothing_shown(move, bound_ms)
                if not why:
                    return judge(move, fault, bound_ms, void)
                void.append(why)
            finally:
                fault.undo()
    raise Failure(f'the fault never bit in {ATTEMPTS} runs: {void}')


def nothing_shown(move, bound_ms):
    """Why this run proves nothing, '' when it does. A run that moved must be a good move all the same."""
    if move.exit == 0:
        with contextlib.suppress(ProcessLookupError):
            os.kill(move.dst.pid, 18)  # SIGCONT
        move.require_moved()
        took = move.stop_to_resume_ms('dst')
        require(took <= bound_ms, f'moved with {took:.1f} ms of {bound_ms}')
        return 'moved before the fault bit'
    if not any(line.get('stage') == 'continued' for line in move.lines if line['type'] == 'stage'):
        require(move.exit == 3, f'exit {move.exit}: {move.stderr.strip()[-300:]}')
        return 'undone before the blackout: ' + move.decisions()[-160:]
    return ''


def judge(move, fault, bound_ms, void):
    took = move.stop_to_resume_ms()
    said = move.result
    move.require_exit(3)
    require(took <= bound_ms, f'STOP to RESUME {took:.1f} ms of {bound_ms}; {said["error"]}')
    require(said['guest_on'] == 'source' and said['outcome'] == 'downtime-exceeded', f'the result says {said}')
    require(said['max_downtime_kept'] is True and said['downtime_seconds'] * 1e3 <= bound_ms,
            f'it says {said["downtime_seconds"]} s, kept {said["max_downtime_kept"]}')
    require('runs on the source' in said['error'], f'the message does not say where the guest is: {said["error"]}')
    require(said['downtime_seconds'] * 1e3 >= took - 1, f'it says {said["downtime_seconds"]} s, it was {took:.1f} ms')
    gap, calm = move.blackout_gap_ms()
    # Segue counts from the last proof that a vCPU ran: what that is longer than STOP to RESUME is the time to stop.
    to_stop = max(0.0, said['downtime_seconds'] * 1e3 - took)
    allowed = bound_ms + to_stop + BEAT_MS + calm
    require(gap <= allowed,
            f'heartbeat gap {gap:.1f} ms, allowed {allowed:.1f} (calm {calm:.1f}, to stop {to_stop:.1f})')
    move.require_source_runs()
    runs, most, most_gap = worst.get((move.qemu, bound_ms), (0, 0.0, 0.0))
    worst[move.qemu, bound_ms] = (runs + 1, max(most, took), max(most_gap, gap))
    repeated = f', {len(void)} run(s) repeated ({void[-1]})' if void else ''
    return (f'STOP to RESUME {took:.1f} ms, gap {gap:.1f} (calm {calm:.1f}, to stop {to_stop:.1f}), '
            f'rollback {said["rollback_seconds"] * 1e3:.1f}, {move.pages} pages{repeated}')


def final(_):
    for (qemu, bound), (runs, took, gap) in sorted(worst.items()):
        yield (f'{qemu} {bound} ms in all', None,
               f'{runs} runs, worst STOP to RESUME {took:.1f} ms, worst gap {gap:.1f} ms')
