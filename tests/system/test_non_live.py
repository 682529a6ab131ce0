"""segue migrate --non-live: the guest is stopped, copied and run there; whoever dies before the word, it runs here."""
import os
import shlex
import time

from harness import Move, program, require
from test_recover import require_on_source, require_recovered

GUEST = 'hot=96 work=0'  # Dirties far faster than any link: live it would never converge.
RATE = '40MiB/s'         # About 3 s for the guest's memory.


def cases(_long_form):
    for qemu in ('10', '7.2'):
        yield f'{qemu} moves a guest that never converges', lambda lab, q=qemu: moves(lab, q)
        yield f'{qemu} timeout while it copies', lambda lab, q=qemu: timeout(lab, q)
        yield f'{qemu} segue killed while it copies', lambda lab, q=qemu: segue_killed(lab, q)
        yield f'{qemu} segue and its guardian killed while it copies', lambda lab, q=qemu: both_killed(lab, q)
        yield f'{qemu} the destination dies while it copies', lambda lab, q=qemu: destination_dies(lab, q)
    yield '10 one monitor, segue killed while it copies', lambda lab: segue_killed(lab, '10', own_monitor=False)
    yield '10 through receive', through_receive
    yield '10 segue stalls past the timeout', segue_stalls
    yield '10 its guardian killed while it copies', guardian_killed
    yield '10 cancelled while it copies', cancelled
    yield '10 a guest that is paused stays paused', paused_before


def make(lab, qemu='10', timeout='60s', **more):
    options = more.pop('options', [])
    return Move(lab, qemu, GUEST, steering=('--non-live',),
                options=[*options, '--timeout', timeout, '--max-bandwidth', RATE], **more)


def copying(move, seconds=0.7):
    """Half a second into the copying, the guest stands."""
    move.start()
    require(move.at_src.wait('MIGRATION', 30, status='active'), f'it never copied: {move.stderr[-300:]}')
    time.sleep(seconds)
    require(move.at_src.status() == 'paused', f'the guest is {move.at_src.status()} while it is copied')


def require_resumed(move, longest, since):
    resume = move.at_src.wait('RESUME', longest + 2, since=since)
    require(resume, f'no RESUME: the source is {move.at_src.status()}')
    took = resume.stamp - since
    require(took <= longest, f'running again after {took:.2f} s, at most {longest}')
    return took


def moves(lab, qemu):
    with make(lab, qemu) as move:
        move.run(60)
        move.require_moved()
        stop = move.at_src.find('STOP')
        active = move.at_src.find('MIGRATION', status='active')
        require(stop and active and stop.stamp < active.stamp, 'it was not stopped before it was copied')
        stood = move.stop_to_resume_ms('dst')
        said = move.result
        require(said['downtime_seconds'] * 1e3 >= stood, f'it stood {stood:.0f} ms, told {said["downtime_seconds"]} s')
        require(said['passes'] <= 3, f'{said["passes"]} passes of a guest that stands')
        return f'stood {stood / 1e3:.2f} s, {said["sent_bytes"] >> 20} MiB, {said["passes"]} passes, {move.pages} pages'


def timeout(lab, qemu):
    with make(lab, qemu, timeout='2s') as move:
        move.run(30)
        move.require_exit(4)
        stood = move.stop_to_resume_ms()
        require(stood <= 2000, f'it stood for {stood:.0f} ms of 2000')
        move.require_source_runs()
        return f'stood {stood:.0f} ms of 2000: {move.result["error"][:120]}'


def segue_killed(lab, qemu, **more):
    with make(lab, qemu, **more) as move:
        copying(move)
        at = time.time()
        os.kill(move.process.pid, 9)
        took = require_resumed(move, 1.0, at)
        move.finish(20)
        move.require_source_runs()
        return f'running again {took * 1e3:.0f} ms after the kill, {move.pages} pages'


def both_killed(lab, qemu):
    with make(lab, qemu) as move:
        copying(move)
        move.process.send_signal(19)  # Or it would see the guardian's end and undo.
        for pid in move.guardians():
            os.kill(pid, 9)
        os.kill(move.process.pid, 9)
        move.finish(20)
        time.sleep(0.3)
        require(move.at_src.find('RESUME') is None, 'somebody continued it')
        before = move.at_src.status()
        result = require_recovered(move, 1)
        require(result['guest_on'] == 'source', f'the result says {result}')
        require_on_source(move)
        return f'the source was {before}; recover: exit 1 after {result["total_seconds"]:.2f} s, {move.pages} pages'


def destination_dies(lab, qemu):
    """QEMU leaves a guest that was paused as it was: continuing it is ours."""
    with make(lab, qemu) as move:
        copying(move)
        at = time.time()
        os.kill(move.dst.pid, 9)
        took = require_resumed(move, 1.0, at)
        move.finish(20).require_exit(1)
        move.require_source_runs()
        return f'running again {took * 1e3:.0f} ms after its death: {move.result["error"][:100]}'


def through_receive(lab):
    door = os.path.join(lab.dir, 'receive-plain.sh')
    words = ['env', f'SEGUE_STATE={lab.state_dir("b")}', *lab.enter('b'), program('segue'), 'receive', '--stdio']
    with open(door, 'w') as f:
        f.write(f'#!/bin/sh\nexec {shlex.join(words)}\n')
    os.chmod(door, 0o755)
    with make(lab, options=['--to', f'cmd:{door}']) as move:
        move.run(60)
        move.require_moved()
        return f'stood {move.stop_to_resume_ms("dst") / 1e3:.2f} s, {move.pages} pages'


def segue_stalls(lab):
    """Its guardian has the timeout for a deadline."""
    with make(lab, timeout='3s') as move:
        copying(move)
        move.process.send_signal(19)
        stop = move.at_src.find('STOP').stamp
        took = require_resumed(move, 3.0, stop)
        move.process.send_signal(18)
        move.finish(20).require_exit(4)
        move.require_source_runs()
        return f'stood {took:.2f} s of 3'


def undone(lab, strike, status, since):
    """Whatever ends the copying: the guest runs again on its source."""
    with make(lab) as move:
        copying(move)
        at = time.time()
        strike(move)
        took = require_resumed(move, 1.0, at)
        move.finish(20).require_exit(status)
        move.require_source_runs()
        return f'running again {took * 1e3:.0f} ms after {since}'


def guardian_killed(lab):
    return undone(lab, lambda move: [os.kill(pid, 9) for pid in move.guardians()], 1, 'its death')


def cancelled(lab):
    return undone(lab, lambda move: move.process.send_signal(15), 5, 'it')


def paused_before(lab):
    with make(lab) as move:
        move.src.wait_beats(40)
        move.at_src.cmd('stop')
        move.calm = 0
        move.run(30)
        move.require_exit(2)
        require('not running' in move.result['error'], move.result['error'])
        require(move.at_src.status() == 'paused', f'it is {move.at_src.status()}')
        return move.result['error']
