"""The kill matrix (test_matrix.py) with the brake on: the guest's vCPU is held from the first pass on, and then every
party and both links die at every moment.

Beside what the matrix asks: with nobody's help no quota holds the guest any more within max downtime of the blow (but a
control connection that just falls silent is seen by its lease; until then the move goes on, braked), where the guest
runs it has its old speed, and in the end (after `segue recover` where the table has it) no group of the brake is left.
"""
import contextlib
import os
import sys
import time

from brake_sight import BrakeSight, work_rate
from harness import Failure, require
from remote_move import RemoteMove
from segue_lab import now_ns
from test_matrix import ATTEMPTS, BOUND_MS, Blow, MOMENTS as UNBRAKED, SAID, VICTIMS, expected, strike

POLICY = os.path.join(os.path.dirname(os.path.abspath(__file__)), 'braking_policy.py')
GUEST = 'hot=80 work=2000'  # Unbraked 400 MiB/s and more, through a link of 100.
HELD, FALLS = ('0.35', 'never'), ('0.1', '3')  # Braked for ever; braked until it fits.
# name -> (fault point, the policy's words, whether a quota holds the guest then)
MOMENTS = {name: (point, FALLS, False) for name, (point, _) in UNBRAKED.items()}
MOMENTS.update({'setup': ('segue:setup', HELD, False), 'pass 1': ('segue:braked', HELD, True),
                'pass 3': ('segue:pass-3', HELD, True), 'told to stop': ('segue:told-to-stop', FALLS, True)})
SHORT = (('segue', 'pass 3'), ('segue', 'stopped'), ('segue', 'told to stop'), ('src guardian', 'told to stop'),
         ('src guardian', 'pass 1'), ('src QEMU', 'pass 3'), ('dst QEMU', 'stopped'), ('data cut', 'pass 3'),
        ('data hole', 'told to stop'))
SPEED_NS = 500_000_000
# Seen by the lease's end alone: until then the move goes on, braked.
UNSEEN = ('control hole',)

lifted = {}  # (victim, moment) -> ms


def cases(long_form):
    for victim in VICTIMS:
        for moment in MOMENTS:
            if long_form or (victim, moment) in SHORT:
                yield f'{victim}, {moment}', lambda lab, v=victim, m=moment: cell(lab, v, m)


def cell(lab, victim, moment):
    point, words, braked = MOMENTS[moment]
    timeout = '6s' if victim == 'data hole' else '30s'
    steering = ('--brake', 'cgroup', '--min-cpu', '10%', '--max-stall', '200ms', '--policy',
                f'exec:{sys.executable} {POLICY} {" ".join(words)}')
    void = []
    for _ in range(ATTEMPTS):
        with contextlib.ExitStack() as stack:
            seen = []
            stack.callback(sweep, seen)
            move = stack.enter_context(RemoteMove(lab, '10', GUEST, BOUND_MS, timeout, point, steering=steering))
            blow, sight = Blow(move, victim), BrakeSight(move.src.pid)
            stack.callback(blow.undo)
            stack.callback(sight.close)
            move.start()
            at = move.wait_point()
            if at is None:
                # QEMU's own look may have come before Segue's stop.
                move.finish(20).require_exit(*((3, 0) if moment == 'told to stop' else (3,)))
                if move.exit == 3:
                    move.require_runs_on_src()
                void.append(move.decisions()[-120:])
                continue
            if not sight.look() and braked:
                # The policy answered late on a busy machine: there is nothing to lift.
                void.append(f'not braked: {move.decisions()[-120:]}')
                move.process.terminate()
                os.kill(at, 18)  # SIGCONT
                move.finish(20)
                continue
            seen += sight.groups
            require(sight.groups, 'no vCPU thread is in a group of the brake')
            sight.watch()
            text = strike(move, blow, at, foreseen(victim, moment))
            text += judge_brake(move, sight, victim, moment)
            return text + (f', {len(void)} run(s) repeated' if void else '')
    raise Failure(f'{point} was not reached, braked, in {ATTEMPTS} runs: {void}')


def foreseen(victim, moment):
    """A braked guest leaves so little for the blackout that all of it may be through before the blow."""
    cell_ = expected(victim, moment)
    if victim in ('data cut', 'data hole') and moment == 'blackout':
        cell_.outcomes[0] = 'dst'
    return cell_


def sweep(groups):
    """What a failed case left is no business of the next one."""
    for group in groups:
        with contextlib.suppress(OSError):
            os.rmdir(group)


def judge_brake(move, sight, victim, moment):
    took = sight.lifted_ms(move.killed_ns)
    limit = 2500 if victim in UNSEEN and moment not in SAID else BOUND_MS
    require(took <= limit, f'the brake was on until {took:.0f} ms after the blow, limit {limit}')
    sight.require_gone()
    lifted[victim, moment] = took
    for vm, watcher in ((move.src, move.at_src), (move.dst, move.at_dst)):
        if vm.running() and watcher.status() == 'running':
            return f', let go {took:.1f} ms after the blow; ' + speed(move, vm)
    return f', let go {took:.1f} ms after the blow'


def speed(move, vm):
    """As fast as before the move: a vCPU that is still held would be at half of it or less."""
    calm = work_rate(move.src, move.started_ns - 350_000_000, move.started_ns)
    seen = []
    for _ in range(10):  # Somebody else's load is no brake.
        time.sleep(SPEED_NS / 1e9 + 0.05)
        seen.append(work_rate(vm, now_ns() - SPEED_NS, now_ns()))
        if seen[-1] > calm * 0.5:
            return f'{seen[-1]:.0f} pages a second, {calm:.0f} before'
    raise Failure(f'it writes {seen} pages a second, {calm:.0f} before the move')


def final(_):
    if not lifted:
        return
    print(''.join(f'{word:>20}' for word in ('let go, ms', *MOMENTS)))
    for victim in VICTIMS:
        row = [f'{lifted[victim, m]:.0f}' if (victim, m) in lifted else '-' for m in MOMENTS]
        print(''.join(f'{word:>20}' for word in (victim, *row)))
    strict = [took for (victim, _), took in lifted.items() if victim not in UNSEEN]
    if strict:
        yield 'brake', None, f'{len(strict)} kills and cuts, let go at most {max(strict):.0f} ms after the blow'
