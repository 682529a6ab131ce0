"""The destination behind `segue receive --stdio` on the other host: moves, rollbacks and deaths through it."""

import os
import shlex

from harness import Move, program, require
from segue_lab import wait_until
from watching import Fault

GUEST = 'hot=48 rate=50'
LEASE_S = 2.0  # What was never told to run is dead this long after the source's last sign of life, ...
KILLED_S = 0.5  # ... and seen dead by then.

worst = {}


def cases(long_form):
    runs = 10 if long_form else 1
    for qemu in ('10', '7.2'):
        for run in range(1, runs + 1):
            yield f'{qemu} moves' + (f' #{run}' if runs > 1 else ''), lambda lab, q=qemu: moves(lab, q)
    for kind in Fault.FAULTS if long_form else Fault.FAULTS[:2]:
        for run in range(1, runs + 1):
            name = f'10 {kind} in the blackout' + (f' #{run}' if runs > 1 else '')
            yield name, lambda lab, k=kind: rolled_back(lab, k)
    yield '10 no direct TCP to the destination', no_direct_tcp
    yield '10 receive killed while copying', receive_killed
    yield '10 segue killed while copying', segue_killed


def receive_words(lab):
    env = [f'SEGUE_STATE={lab.state_dir("b")}', 'SEGUE_HOST=b']
    return ['env', *env, *lab.enter('b'), program('segue'), 'receive', '--stdio']


def remote(lab, qemu, bound='500ms', **more):
    options = ['--to', 'cmd:' + shlex.join(receive_words(lab)), '--max-downtime', bound]
    return Move(lab, qemu, GUEST, options=options + ['--max-bandwidth', '100MiB/s', '--timeout', '30s'], **more)


def moves(lab, qemu):
    with remote(lab, qemu) as move:
        move.run()
        move.require_moved()
        require(move.result['error'] is None, f'something was left undone: {move.result["error"]}')
        took = move.stop_to_resume_ms('dst')
        require(took <= 500, f'STOP to RESUME {took:.1f} ms of 500')
        handover = move.result['downtime_parts']['handover'] * 1e3
        return f'STOP to RESUME {took:.1f} ms, hand-over {handover:.1f} ms, {move.pages} pages'


def rolled_back(lab, kind):
    for _ in range(4):
        with remote(lab, '10') as move:
            fault = Fault(lab, kind, move.dst.pid)
            try:
                move.on_held(fault.fire, 0.04)
                move.run()
                if move.exit == 0:
                    continue  # It was through before the fault bit.
                move.require_exit(3)
                took = move.stop_to_resume_ms()
                require(took <= 500, f'STOP to RESUME {took:.1f} ms of 500')
                worst[kind] = max(worst.get(kind, 0.0), took)
                move.require_source_runs(seconds=LEASE_S + KILLED_S)
                return f'STOP to RESUME {took:.1f} of 500 ms, {move.pages} pages'
            finally:
                fault.undo()
    require(False, 'the fault never bit in 4 runs')


def no_direct_tcp(lab):
    """The destination listens where the source cannot get to: refused, and both QEMUs are as they were."""
    with remote(lab, '10') as move:
        move.address = '127.0.0.1:5000-5010'
        move.run()
        move.require_exit(2)
        require('--data-address' in move.result['error'], move.result['error'])
        require(move.at_dst.status() == 'inmigrate', f'the destination is {move.at_dst.status()}')
        move.require_put_back('dst', move.at_dst)
        require(not move.at_src.find('STOP'), 'the guest was stopped')
        return move.result['findings'][0]['what']


def cmdline(pid):
    with open(f'/proc/{pid}/cmdline', 'rb') as f:
        return f.read()


def at_copying(move, action):
    move.start()
    wait_until(lambda: any(x.get('type') == 'progress' for x in move.lines), 20, 'the first progress')
    action()
    move.finish(20)


def receive_killed(lab):
    with remote(lab, '10') as move:

        def kill():
            pid = move.process.pid
            with open(f'/proc/{pid}/task/{pid}/children') as f:
                children = [int(child) for child in f.read().split()]
            # The guardian is a child too, but of its own session and not of this name.
            receive = [child for child in children if b'receive' in cmdline(child)]
            require(len(receive) == 1, f'{len(receive)} segue receive of {children}')
            os.kill(receive[0], 9)

        at_copying(move, kill)
        move.require_exit(1)
        move.require_source_runs()
        return f'exit 1, destination gone, {move.pages} pages'


def segue_killed(lab):
    with remote(lab, '10', own_monitor=True) as move:
        at_copying(move, lambda: move.process.kill())
        move.require_source_runs(seconds=LEASE_S + KILLED_S)
        return f'the guest runs on, destination gone, {move.pages} pages'


def final(_):
    for kind, took in sorted(worst.items()):
        yield kind, None, f'worst STOP to RESUME {took:.1f} of 500 ms'
