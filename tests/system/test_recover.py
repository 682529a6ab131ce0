"""Moves whose segue died, or ended with 10, and `segue recover` after them: one copy runs in the end, whole."""
import contextlib
import json
import os
import shlex
import subprocess

from harness import Move, program, require
from segue_lab import LabError, wait_until
from watching import Fault, pids_naming, state_of

GUEST = 'hot=48 rate=50'
BOUNDS = ['--max-downtime', '500ms', '--max-bandwidth', '100MiB/s', '--timeout', '60s']
ATTEMPTS = 3
LEASE_S = 2.0
RECOVER_S = 100  # Far more than it takes: 75 s of them for a host that does not answer.


def cases(long_form):
    for run in range(1, 6 if long_form else 2):
        for name, function in once():
            yield name + (f' #{run}' if long_form else ''), function


def once():
    for point in ('pass-1', 'held', 'blackout', 'loaded'):
        yield f'segue and its guardian killed at {point}', lambda lab, p=point: both_killed(lab, p, local)
    for point in ('pass-1', 'held', 'loaded'):
        name = f'segue and its guardian killed at {point}, through receive'
        yield name, lambda lab, p=point: both_killed(lab, p, remote)
    yield 'segue and its guardian killed while the last bytes are stuck', last_bytes_stuck
    yield 'segue recover killed before it continues the source', recover_killed
    yield 'segue recover interrupted while the destination is silent', interrupted
    for own in (True, False):
        name = f'segue killed at loaded, its guardian lives, monitor {"of its own" if own else "queued"}'
        yield name, lambda lab, o=own: guardian_lives(lab, o)
    yield 'segue killed as the word leaves it, one host', word_on_its_way
    yield 'segue killed after the word, one host', word_on_one_host
    yield 'segue killed after the word, through receive', word_through_receive
    for point, moved in (('accepting', False), ('accepted', True), ('running', True)):
        yield f'segue receive killed at {point}', lambda lab, p=point, m=moved: receive_killed(lab, p, m)
    yield 'destination unreachable, then fenced', fenced
    yield 'nothing unfinished, and a move that is under way', bystanders


# -- helpers

def recover(move, *words, segue_env=None):
    """Runs `segue recover` on the source host; (exit status, result line, seconds to its end)."""
    argv = move.lab.enter('a') + [program('segue'), 'recover', '--json', *words]
    done = subprocess.run(argv, env={**move.lab.env('a'), **(segue_env or {})}, stdin=subprocess.DEVNULL,
                          capture_output=True, text=True, timeout=RECOVER_S)
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    require(lines and lines[-1]['type'] == 'result', f'no result: {done.stdout[-300:]} {done.stderr[-300:]}')
    require(lines[-1]['exit_status'] == done.returncode, f'exit {done.returncode}, the result says {lines[-1]}')
    return done.returncode, lines[-1]


def require_recovered(move, wanted, *words):
    status, result = recover(move, *words)
    require(status == wanted, f'recover ended with {status} instead of {wanted}: {result["error"]}')
    return result


def require_closed(move):
    """A second recover has nothing to do, and a new move of this guest is not refused."""
    status, result = recover(move)
    require(status == 0 and 'nothing is unfinished' in result['error'], f'still unfinished: {status} {result}')


def require_moved(move):
    wait_until(lambda: not move.src.running(), 3, "the end of the source's QEMU")
    require(move.at_dst.status() == 'running', f'the destination is {move.at_dst.status()}')
    move.require_whole(move.dst)
    require_closed(move)


def require_on_source(move, dst_gone=True):
    move.require_source_runs(seconds=LEASE_S + 1, dst_gone=dst_gone)
    require_closed(move)


def await_point(move, victims):
    """The pid of the process that has stopped itself, or None when segue ended before."""
    def stopped():
        if move.process.poll() is not None:
            return -1
        return next((pid for pid in victims() if state_of(pid) == 'T'), None)
    pid = wait_until(stopped, 30, 'the fault point', interval=0.001)
    return None if pid == -1 else pid


def stopped_at(lab, point, make, own_monitor=True):
    """Yields a move whose segue has stopped itself at the point; tries again where it was undone before."""
    for _ in range(ATTEMPTS):
        move = make(lab, fault_point=f'segue:{point}', own_monitor=own_monitor)
        with move:
            move.start()
            if await_point(move, lambda: [move.process.pid]) is None:
                continue
            yield move
            return
    require(False, f'segue:{point} was not reached in {ATTEMPTS} runs')


def local(lab, **more):
    return Move(lab, '10', GUEST, options=BOUNDS, **more)


class Door:
    """What leads to the destination's segue receive: a script that can be shut, and that can stop the next one."""

    def __init__(self, lab):
        self.lab, self.path = lab, os.path.join(lab.dir, 'receive.sh')
        self.shut, self.point = self.path + '.shut', self.path + '.point'
        self.hung = self.path + '.hung'
        self.open()
        words = ['env', f'SEGUE_STATE={lab.state_dir("b")}', *lab.enter('b')]
        with open(self.path, 'w') as f:
            f.write(f'#!/bin/sh\n[ ! -e {self.shut} ] || exit 255\n[ ! -e {self.hung} ] || exec sleep 120\n'
                    f'if [ -e {self.point} ]; then\n'
                    f'    export SEGUE_FAULT_POINT="$(cat {self.point})"\n    rm {self.point}\n'
                    f'    exec {shlex.join(words)} {program("segue-faults")} receive --stdio\nfi\n'
                    f'exec {shlex.join(words)} {program("segue")} receive --stdio\n')
        os.chmod(self.path, 0o755)

    def stop_at(self, point):
        with open(self.point, 'w') as f:
            f.write(f'receive:{point}')

    def close(self):
        with open(self.shut, 'w'):
            pass

    def hang(self):
        with open(self.hung, 'w'):
            pass

    def hanging(self):
        return any(lab_of(pid) == self.lab.id for pid in pids_naming('120', 'sleep'))

    def open(self):
        for path in (self.shut, self.point, self.hung):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)

    @staticmethod
    def processes(lab):
        return [pid for name in ('segue-faults', 'segue') for pid in pids_naming('receive', name)
                if lab_of(pid) == lab.id]


def lab_of(pid):
    with contextlib.suppress(OSError):
        with open(f'/proc/{pid}/environ', 'rb') as f:
            for entry in f.read().split(b'\0'):
                if entry.startswith(b'SEGUE_LAB_ID='):
                    return entry.split(b'=', 1)[1].decode()
    return None


def remote(lab, door=None, **more):
    door = door or Door(lab)
    return Move(lab, '10', GUEST, options=['--to', f'cmd:{door.path}', *BOUNDS], **more)


def kill(move):
    os.kill(move.process.pid, 9)
    move.finish(20)


# -- cases

def both_killed(lab, point, make):
    for move in stopped_at(lab, point, make):
        for pid in move.guardians():
            os.kill(pid, 9)
        move.require_no_guardian()
        kill(move)
        before = move.at_src.status()
        result = require_recovered(move, 1)
        require(result['guest_on'] == 'source', f'the result says {result}')
        require_on_source(move)
        return f'the source was {before}; recover: exit 1 after {result["total_seconds"]:.2f} s, {move.pages} pages'


def last_bytes_stuck(lab):
    """QEMU answers nobody while its last bytes cannot leave: nothing is started until it does."""
    for _ in range(ATTEMPTS):
        with Move(lab, '10', GUEST, options=['--max-downtime', '60s', '--max-bandwidth', '20MiB/s']) as move:
            fault = Fault(lab, 'black hole', move.dst.pid)
            with contextlib.ExitStack() as stack:
                stack.callback(fault.undo)
                move.on_held(fault.fire)
                move.start()
                if move.at_src.wait('MIGRATION', 30, status='device') is None:
                    continue
                if move.at_src.wait('MIGRATION', 1, status='completed'):
                    continue  # It was through before the fault bit.
                for pid in move.guardians():
                    os.kill(pid, 9)
                kill(move)
                first, result = recover(move)
                require(first in (1, 10), f'recover ended with {first}: {result["error"]}')
            if first == 10:
                require('segue recover' in result['error'], f'it names no way out: {result["error"]}')
                wait_until(lambda: move.at_src.wait('RESUME', 1), 60, 'the source runs by itself')
                require_recovered(move, 1)
            require_on_source(move)
            return f'exit {first} at first ({result["total_seconds"]:.1f} s), {move.pages} pages'
    require(False, f'the last bytes never got stuck in {ATTEMPTS} runs')


def recover_killed(lab):
    for move in stopped_at(lab, 'loaded', local):
        for pid in move.guardians():
            os.kill(pid, 9)
        kill(move)
        env = {**lab.env('a'), 'SEGUE_FAULT_POINT': 'recover:run'}
        first = subprocess.Popen(lab.enter('a') + [program('segue-faults'), 'recover'], env=env,
                                 stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        try:
            wait_until(lambda: state_of(first.pid) == 'T', 20, 'the fault point')
            status, result = recover(move)
            require(status == 2 and f'process {first.pid}' in result['error'], f'{status}: {result["error"]}')
        finally:
            first.kill()
            first.communicate()
        require_recovered(move, 1)
        require_on_source(move)
        return f'the second left the first alone, the third: exit 1, {move.pages} pages'


def interrupted(lab):
    door = Door(lab)
    for move in stopped_at(lab, 'word', lambda *a, **more: remote(*a, door=door, **more)):
        wait_until(lambda: move.at_dst.status() == 'running', 5, 'the destination running')
        kill(move)
        door.hang()
        with subprocess.Popen(lab.enter('a') + [program('segue'), 'recover'], env=lab.env('a'), text=True,
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as first:
            wait_until(door.hanging, 10, 'the command that hangs')
            first.send_signal(2)
            out, _ = first.communicate(timeout=10)
        door.open()
        require(first.returncode == 5 and 'stays unfinished' in out, f'exit {first.returncode}: {out}')
        require_recovered(move, 0)
        require_moved(move)
        return f'exit 5, then 0, {move.pages} pages'


def guardian_lives(lab, own):
    """Both bring the guest back at the same time."""
    for move in stopped_at(lab, 'loaded', local, own_monitor=own):
        move.process.kill()  # No wait: the two shall meet.
        result = require_recovered(move, 1)
        require_on_source(move)
        return f'exit 1 after {result["total_seconds"]:.2f} s, {move.pages} pages'


def word_on_its_way(lab):
    """Written to the monitor a moment before: QEMU serves it or drops it with the connection."""
    for move in stopped_at(lab, 'word', local):
        kill(move)
        status, result = recover(move)
        require(status in (0, 1), f'recover ended with {status}: {result["error"]}')
        (require_on_source if status else require_moved)(move)
        return f'{result["outcome"]} after {result["total_seconds"]:.2f} s, {move.pages} pages'


def word_on_one_host(lab):
    for move in stopped_at(lab, 'answered', local):
        kill(move)
        result = require_recovered(move, 0)
        require(result['guest_on'] == 'destination', f'the result says {result}')
        require_moved(move)
        return f'exit 0 after {result["total_seconds"]:.2f} s, source gone, {move.pages} pages'


def word_through_receive(lab):
    for move in stopped_at(lab, 'word', remote):
        wait_until(lambda: move.at_dst.status() == 'running', 5, 'the destination running')
        kill(move)
        result = require_recovered(move, 0)
        require(result['outcome'] == 'moved', f'the result says {result}')
        require_moved(move)
        return f'exit 0 after {result["total_seconds"]:.2f} s, source gone, {move.pages} pages'


def loaded_and_stopped(lab, door, point):
    """A move whose segue receive has stopped itself at the point; None where the move was undone before."""
    door.stop_at(point)
    move = remote(lab, door)
    with contextlib.ExitStack() as stack:
        stack.enter_context(move)
        move.start()
        victim = await_point(move, lambda: Door.processes(lab))
        if victim is None:
            return None, None
        stack.pop_all()
    return move, victim


def receive_killed(lab, point, moved):
    door = Door(lab)
    for _ in range(ATTEMPTS):
        move, victim = loaded_and_stopped(lab, door, point)
        if move is None:
            continue
        with contextlib.ExitStack() as stack:
            stack.push(move.__exit__)
            os.kill(victim, 9)
            move.finish(30).require_exit(10)
            require('segue recover' in move.result['error'], f'it names no way out: {move.result["error"]}')
            result = require_recovered(move, 0 if moved else 1)
            if moved:
                require_moved(move)
            else:
                require_on_source(move)
            took = result['total_seconds']
            return f'segue: exit 10; recover: {result["outcome"]} in {took:.2f} s, {move.pages} pages'
    require(False, f'receive:{point} was not reached in {ATTEMPTS} runs')


def fenced(lab):
    door = Door(lab)
    for _ in range(ATTEMPTS):
        move, victim = loaded_and_stopped(lab, door, 'accepting')
        if move is None:
            continue
        with contextlib.ExitStack() as stack:
            stack.push(move.__exit__)
            door.close()
            stack.callback(door.open)
            os.kill(victim, 9)
            move.finish(30).require_exit(10)
            job, vm = str(move.result['job']), f'qmp:{move.src.qmp_path}'
            error = require_recovered(move, 10)['error']
            require(f'--fenced destination --confirm {vm}' in error, f'it names no way out: {error}')
            require(move.at_src.status() == 'postmigrate', f'the source is {move.at_src.status()}')
            require_recovered(move, 2, job, '--fenced', 'other', '--confirm', vm)
            require_recovered(move, 2, job, '--fenced', 'destination', '--confirm', 'qmp:/other')
            door.open()
            answers = require_recovered(move, 2, job, '--fenced', 'destination', '--confirm', vm)['error']
            require('answers' in answers, f'it fences a host that answers: {answers}')
            door.close()
            move.dst.stop()  # Its host is powered off.
            result = require_recovered(move, 1, job, '--fenced', 'destination', '--confirm', vm)
            require_on_source(move)
            return f'exit 10, 2, 2, 2, then 1 in {result["total_seconds"]:.2f} s, {move.pages} pages'
    require(False, f'receive:accepting was not reached in {ATTEMPTS} runs')


def bystanders(lab):
    with local(lab) as move:
        require_closed(move)
        move.start()
        with contextlib.suppress(LabError):
            wait_until(lambda: any(x.get('job') for x in move.lines), 10, 'the number of the move')
        status, result = recover(move)
        require(status == 2 and f'process {move.process.pid}' in result['error'], f'{status}: {result["error"]}')
        move.finish(30).require_exit(0)
        require_closed(move)
        return f'left alone: {result["error"]}'
