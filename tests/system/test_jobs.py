"""status, cancel and history of real moves, Ctrl-C and SIGTERM, and clients of a job's socket that mean harm."""
import contextlib
import json
import os
import pty
import re
import shlex
import shutil
import signal
import socket
import statistics
import subprocess
import threading
import time

from harness import Move, program, require
from segue_lab import ADDRESS, wait_until
from test_remote import receive_words

GUEST = 'hot=48 rate=50'
SLOW = ['--max-bandwidth', '12MiB/s', '--timeout', '60s']  # Some ten seconds of copying.
FAST = ['--max-bandwidth', '100MiB/s', '--timeout', '60s', '--max-downtime', '500ms']


def cases(_):
    yield 'status rises and cancel keeps the guest', status_and_cancel
    yield 'cancel while sampling', cancel_sampling
    yield 'follow until the end', follow
    yield 'cancel while the guest stands is too late', cancel_too_late
    yield 'a second move of the same guest', second_move
    yield 'a move of another guest beside it', two_guests
    yield 'both hosts of a move through segue receive', both_hosts
    yield 'Ctrl-C asks, a second one cancels', ctrl_c
    yield 'SIGTERM cancels', sigterm
    yield 'history shows what was', history
    yield 'a segue that was killed', killed
    yield 'a segue that stands still', stands_still
    yield 'harmful clients during the switchover', harmful_clients


def segue(lab, *words, timeout=45, host='a'):
    return subprocess.run(lab.enter(host) + [program('segue'), *words], env=lab.env(host), stdin=subprocess.DEVNULL,
                          capture_output=True, text=True, timeout=timeout)


def ok(done, status=0):
    require(done.returncode == status, f'exit {done.returncode} instead of {status}: {done.stdout}{done.stderr}')
    return done.stdout.strip()


def job_of(move):
    wait_until(lambda: move.lines, 10, 'the first line')
    job = move.lines[0]['job']
    require(isinstance(job, int), f'job is {job}')
    return str(job)


def copying(move, passes=0):
    """Waits for progress; the number of the job."""
    wait_until(lambda: any(x.get('type') == 'progress' and x['pass'] >= passes and x['sent_bytes'] for x in move.lines),
               20, 'progress')
    return job_of(move)


def no_socket_left(lab):
    folder = os.path.join(lab.state_dir('a'), 'jobs')
    left = os.listdir(folder) if os.path.isdir(folder) else []
    require(not left, f'left in jobs: {left}')


def status_and_cancel(lab):
    with Move(lab, guest=GUEST, options=SLOW) as move:
        require(ok(segue(lab, 'status')) == 'no move is under way', 'status of nothing')
        job = copying(move.start())
        sent = []
        for _ in range(3):
            seen = json.loads(ok(segue(lab, 'status', job, '--json')))
            require(seen['answered'] and seen['state'] == 'under-way' and seen['stage'] == 'copying', f'{seen}')
            require(seen['guest_on'] == 'source' and seen['steps'][-1] == 'migrate-may-be-sent', f'{seen}')
            sent.append(seen['sent_bytes'])
            time.sleep(0.4)
        require(sent[0] < sent[1] < sent[2], f'sent bytes do not rise: {sent}')
        line = ok(segue(lab, 'status'))
        require(re.search(rf'^job {job}  qmp:.*copying.*pass \d.*left.*after', line), line)
        detail = ok(segue(lab, 'status', job))
        require('migrate-may-be-sent' in detail and 'the guest runs on the source' in detail, detail)
        began = time.monotonic()
        text = ok(segue(lab, 'cancel', job))
        took = time.monotonic() - began
        move.finish(10)
        move.require_exit(5)
        require(text == f'job {job} is cancelled; the guest runs on the source', text)
        require('cancelled by segue cancel' in move.stderr, move.stderr)
        move.require_source_runs()
        no_socket_left(lab)
        again = segue(lab, 'cancel', job)
        require('had ended before: cancelled' in ok(again, 1), again.stdout)
        require('ended: cancelled' in ok(segue(lab, 'status', job)), 'status of a cancelled move')
        nothing = segue(lab, 'cancel', '999')
        ok(nothing, 2)
        require('no job 999' in nothing.stderr, nothing.stderr)
        ok(segue(lab, 'status', '999'), 2)
        return f'sent {[round(s / 2**20) for s in sent]} MiB, cancel took {took:.2f} s, {move.pages} pages'


def cancel_sampling(lab):
    """Nothing was changed yet, and nothing is."""
    with Move(lab, guest=GUEST, options=SLOW) as move:
        move.src.wait_beats(80)
        argv = move.lab.enter('a') + [
            program('segue'), 'migrate', f'qmp:{move.src.qmp_path}', '--dst-qmp', move.dst.qmp_path, '--data-address',
            ADDRESS['b'], '--json']
        with subprocess.Popen(argv, env=lab.env('a'), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.DEVNULL, text=True) as migrate:
            line = {}
            while line.get('stage') != 'sampling':
                line = json.loads(migrate.stdout.readline())
            seen = json.loads(ok(segue(lab, 'status', '--json')))
            require(seen['stage'] == 'sampling' and seen['sent_bytes'] is None, f'{seen}')
            text = ok(segue(lab, 'cancel', str(line['job'])))
            require(migrate.wait(10) == 5, f'exit {migrate.returncode}')
        require(move.dst.running(), 'the destination was ended')
        move.require_put_back('dst', move.at_dst)
        move.require_put_back('src', move.at_src)
        require(move.at_src.status() == 'running', 'the source does not run')
        return text


def follow(lab):
    with Move(lab, guest=GUEST, options=FAST) as move:
        job = copying(move.start())
        lines = [json.loads(x) for x in ok(segue(lab, 'status', job, '--follow', '--json')).splitlines()]
        move.finish()
        move.require_exit(0)
        require(lines[-1]['state'] == 'closed' and lines[-1]['outcome'] == 'moved', f'{lines[-1]}')
        require(lines[0]['state'] == 'under-way', f'{lines[0]}')
        require({x['job'] for x in move.lines} == {int(job)}, 'a line of migrate has another job')
        return f'{len(lines)} lines: {[x["stage"] for x in lines]}'


def cancel_too_late(lab):
    with Move(lab, guest=GUEST, options=FAST) as move:
        job = copying(move.start())
        answers = []
        caller = threading.Thread(target=lambda: answers.append(segue(lab, 'cancel', job, '--json')))
        # Asked as the guest stops: nobody is heard until it runs again.
        move.on_held(caller.start)
        move.finish()
        caller.join(40)
        move.require_exit(0)
        require(answers, 'cancel did not end')
        line = json.loads(ok(answers[0], 1))
        require(not line['cancelled'] and line['guest_on'] == 'destination' and line['outcome'] == 'moved', f'{line}')
        require(move.at_dst.status() == 'running', f'the destination is {move.at_dst.status()}')
        move.require_whole(move.dst)
        return f'{line["error"]}; STOP to RESUME {move.stop_to_resume_ms("dst"):.1f} ms'


def second_move(lab):
    with Move(lab, guest=GUEST, options=SLOW) as move:
        job = copying(move.start())
        before = (move.at_src.settings(), move.at_dst.settings(), move.at_src.status(), move.at_dst.status())
        done = segue(lab, 'migrate', f'qmp:{move.src.qmp_path}', '--dst-qmp', move.dst.guard_qmp_path,
                     '--data-address', ADDRESS['b'], '--json')
        line = json.loads(ok(done, 2).splitlines()[-1])
        require(f'job {job} ' in line['error'] and f'segue cancel {job}' in line['error'], line['error'])
        after = (move.at_src.settings(), move.at_dst.settings(), move.at_src.status(), move.at_dst.status())
        require(line['job'] is None, f'it has a number: {line["job"]}')
        require(before == after, f'something changed: {[(a, b) for a, b in zip(before, after) if a != b]}')
        ok(segue(lab, 'cancel', job))
        move.finish(10)
        move.require_exit(5)
        move.require_source_runs()
        return line['error']


def two_guests(lab):
    """Neither was given a UUID: that must not make them the same guest."""
    with Move(lab, guest=GUEST, options=SLOW) as move, contextlib.ExitStack() as stack:
        src, dst = (lab.start_vm(host, 'h', guest='hot=8 rate=10', incoming=host == 'b') for host in 'ab')
        stack.callback(src.stop)
        stack.callback(dst.stop)
        first = copying(move.start())
        done = segue(lab, 'migrate', f'qmp:{src.qmp_path}', '--dst-qmp', dst.qmp_path, '--data-address', ADDRESS['b'],
                     '--no-forecast', '--json', '--max-downtime', '1s')
        line = json.loads(ok(done).splitlines()[-1])
        require(line['outcome'] == 'moved' and line['job'] == int(first) + 1, f'{line}')
        ok(segue(lab, 'cancel', first))
        move.finish(10)
        move.require_exit(5)
        move.require_source_runs()
        return f'job {line["job"]} moved while job {first} went on'


def both_hosts(lab):
    """The destination's side knows of the move, and sends who would cancel it there to the source."""
    shutil.rmtree(lab.state_dir('b'), ignore_errors=True)
    os.makedirs(lab.state_dir('b'))
    to = ['--to', 'cmd:' + shlex.join(receive_words(lab))]
    with Move(lab, guest=GUEST, options=SLOW + to) as move:
        job = copying(move.start())
        there = json.loads(ok(segue(lab, 'status', '--json', host='b')))
        require(there['side'] == 'destination' and there['state'] == 'under-way' and not there['answered'], f'{there}')
        line = ok(segue(lab, 'status', host='b'))
        require('ask segue status on' in line, line)
        refused = segue(lab, 'cancel', str(there['job']), host='b')
        ok(refused, 2)
        require('cancel it on' in refused.stderr, refused.stderr)
        require(json.loads(ok(segue(lab, 'status', job, '--json')))['stage'] == 'copying', 'it was disturbed')
        ok(segue(lab, 'cancel', job))
        move.finish(10)
        move.require_exit(5)
        move.require_source_runs()
        require('no move' in ok(segue(lab, 'status', host='b')), 'the other host was not waited for')
        return line


def on_terminal(move):
    """Starts the move with a terminal of its own; its other end, and what is written there so far."""
    ours, theirs = pty.openpty()
    argv = move.lab.enter('a') + [
        program('segue'), 'migrate', f'qmp:{move.src.qmp_path}', '--dst-qmp', move.dst.qmp_path, '--data-address',
        ADDRESS['b'], '--src-guard-qmp', move.src.guard_qmp_path, *move.options]

    def own_terminal():
        os.setsid()
        import fcntl
        import termios
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)

    move.src.wait_beats(80)
    env = {**move.lab.env('a'), 'TERM': 'xterm'}  # Whatever the tests themselves run on.
    move.process = subprocess.Popen(argv, env=env, stdin=theirs, stdout=theirs, stderr=theirs,
                                    preexec_fn=own_terminal)
    move._readers = []
    os.close(theirs)
    seen = bytearray()

    def read():
        with contextlib.suppress(OSError):
            while data := os.read(ours, 4096):
                seen.extend(data)
    threading.Thread(target=read, daemon=True).start()
    return ours, seen


def ctrl_c(lab):
    with Move(lab, guest=GUEST, options=SLOW) as move:
        ours, seen = on_terminal(move)
        wait_until(lambda: b' left' in seen, 20, 'progress on the terminal')
        os.write(ours, b'\x03')
        wait_until(lambda: b'press Ctrl-C once more' in seen, 3, 'the question')
        time.sleep(1)
        require(move.process.poll() is None, 'the first Ctrl-C ended it')
        require(move.at_src.cmd('query-migrate')['status'] == 'active', 'the first Ctrl-C stopped the move')
        began = time.monotonic()
        os.write(ours, b'\x03')
        move.finish(10)
        took = time.monotonic() - began
        move.require_exit(5)
        move.require_source_runs()
        os.close(ours)
        return f'cancelled {took:.2f} s after the second, {move.pages} pages'


def sigterm(lab):
    with Move(lab, guest=GUEST, options=SLOW) as move:
        job = copying(move.start())
        move.process.send_signal(signal.SIGTERM)
        move.finish(10)
        move.require_exit(5)
        move.require_source_runs()
        no_socket_left(lab)
        return ok(segue(lab, 'status', job)).splitlines()[4].strip()


def history(lab):
    shutil.rmtree(lab.state_dir('a'), ignore_errors=True)
    os.makedirs(lab.state_dir('a'))
    for words in ((), ('--json',)):
        empty = segue(lab, 'history', *words)
        require(ok(empty) == '' and 'no moves yet' in empty.stderr, f'{empty.stdout}{empty.stderr}')
    with Move(lab, guest=GUEST, options=SLOW, remember=True) as move:
        dry = ok(segue(lab, 'migrate', f'qmp:{move.src.qmp_path}', '--dst-qmp', move.dst.qmp_path, '--data-address',
                       ADDRESS['b'], '--no-forecast', '--dry-run', '--json'))
        require({json.loads(x)['job'] for x in dry.splitlines()} == {None}, f'a dry run has a job: {dry}')
        copying(move.start())
        move.process.send_signal(signal.SIGTERM)
        move.finish(10)
    with Move(lab, guest=GUEST, options=FAST, remember=True) as move:
        move.run()
        move.require_exit(0)
    lines = [json.loads(line) for line in ok(segue(lab, 'history', '--json')).splitlines()]
    require([(x['outcome'], x['exit_status'], x['guest_on']) for x in lines] ==
            [('cancelled', 5, 'source'), ('moved', 0, 'destination')], f'{lines}')
    require(lines[0]['job'] < lines[1]['job'] and lines[1]['steps'][-1]['step'] == 'closed', f'{lines}')
    require(lines[1]['downtime_seconds'] == move.result['downtime_seconds'], 'downtime is another')
    table = ok(segue(lab, 'history')).splitlines()
    require(len(table) == 3 and 'cancelled' in table[1] and 'moved' in table[2], '\n'.join(table))
    require(len(ok(segue(lab, 'history', '--last', '1')).splitlines()) == 2, '--last 1')
    return ' '.join(table[2].split())


def killed(lab):
    with Move(lab, guest=GUEST, options=SLOW) as move:
        job = copying(move.start())
        move.process.kill()
        move.finish(10)
        move.require_source_runs(dst_gone=False)
        require(f'unfinished: segue recover {job}' in ok(segue(lab, 'status')), 'status of a killed move')
        done = segue(lab, 'cancel', job)
        ok(done, 2)
        require(f'segue recover {job}' in done.stderr, done.stderr)
        return done.stderr.strip()


def stands_still(lab):
    """Nobody hangs on it: status says so in 2 s; cancel waits, and is heard when it wakes up."""
    with Move(lab, guest=GUEST, options=SLOW) as move:
        job = copying(move.start())
        move.process.send_signal(signal.SIGSTOP)
        began = time.monotonic()
        line = ok(segue(lab, 'status'))
        took = time.monotonic() - began
        require('gives no figures' in line and took < 4, f'{took:.1f} s: {line}')
        answers = []
        caller = threading.Thread(target=lambda: answers.append(segue(lab, 'cancel', job)))
        caller.start()
        time.sleep(1)
        move.process.send_signal(signal.SIGCONT)
        caller.join(40)
        text = ok(answers[0])
        move.finish(10)
        move.require_exit(5)
        move.require_source_runs()
        return f'status after {took:.1f} s; {text}'


class Harmful:
    """Garbage, requests whose answers nobody reads, silence and reconnecting, on a job's socket."""
    KINDS = ('garbage', 'unread', 'silent', 'long line', 'broken')

    def __init__(self, path):
        self.path, self.stopped, self.connects = path, threading.Event(), 0
        self.threads = [threading.Thread(target=self._harm, args=(kind,), daemon=True) for kind in self.KINDS * 2]
        for thread in self.threads:
            thread.start()

    def _harm(self, kind):
        text = {'garbage': os.urandom(4096), 'unread': b'{"type":"status","version":1}\n' * 100, 'silent': b'',
                'long line': b' ' * 4096, 'broken': b'{"type":\n'}[kind]
        while not self.stopped.is_set():
            with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as client:
                client.settimeout(0.2)
                client.connect(self.path)
                self.connects += 1
                for _ in range(200):
                    if text:
                        client.send(text)
                    if self.stopped.wait(0.005):
                        break
            time.sleep(0.005)

    def stop(self):
        self.stopped.set()
        for thread in self.threads:
            thread.join(5)


def switchover(lab, harm):
    with Move(lab, guest=GUEST, options=FAST) as move:
        job = job_of(move.start())
        clients = Harmful(os.path.join(lab.state_dir('a'), 'jobs', f'{job}.sock')) if harm else None
        try:
            move.finish()
        finally:
            if clients:
                clients.stop()
        move.require_exit(0)
        require(move.at_dst.status() == 'running', f'the destination is {move.at_dst.status()}')
        move.require_whole(move.dst)
        took = move.stop_to_resume_ms('dst')
        require(took <= 500, f'STOP to RESUME {took:.1f} ms of 500')
        return took, clients.connects if clients else 0


def harmful_clients(lab, runs=3):
    """The bound holds with them; the medians differ by less than what a busy machine does by itself."""
    calm, harmed, connects = [], [], 0
    for _ in range(runs):
        calm.append(switchover(lab, False)[0])
        took, made = switchover(lab, True)
        harmed.append(took)
        connects += made
    require(connects > 20, f'only {connects} connections')
    text = f'STOP to RESUME calm {[round(x) for x in calm]} ms, harmed {[round(x) for x in harmed]} ms, ' \
           f'{connects} connections'
    require(statistics.median(harmed) <= max(calm) + 60, text)
    return text
