"""What `segue migrate` says of two QEMUs before it changes anything: asked, read, and held against what they are."""
import contextlib
import json
import os
import shlex
import subprocess
import sys

from harness import PATIENT, program, require
from segue_lab import ADDRESS
from watching import ROOT

GUEST = 'hot=8 rate=50'


@contextlib.contextmanager
def source(lab, name='p', **words):
    vm = lab.start_vm('a', name, guest=GUEST, **words)
    try:
        yield vm
    finally:
        vm.stop()


@contextlib.contextmanager
def pair(lab, name='p', src_words=None, dst_words=None, **common):
    """A guest on host a and a QEMU that waits for it on host b; the words are those of start_vm()."""
    with source(lab, name, **common, **(src_words or {})) as src:
        dst = lab.start_vm('b', name, guest=GUEST, incoming=True, **common, **(dst_words or {}))
        try:
            yield src, dst
        finally:
            dst.stop()


# ---- the question ------------------------------------------------------------------------------------


def segue(lab, *words, host='a'):
    return lab.enter(host) + [program('segue'), 'migrate', *words]


def run(lab, *words, host='a', seconds=40):
    argv = segue(lab, *words, '--no-forecast', '--json', *PATIENT, host=host)
    return subprocess.run(argv, env=lab.env(host), text=True, stdin=subprocess.DEVNULL, capture_output=True,
                          timeout=seconds)


def local(src, dst, *options):
    return [f'qmp:{src.qmp_path}', '--dst-qmp', dst.qmp_path, '--data-address', ADDRESS['b'], *options]


def remote(lab, src, dst, *options, change=None):
    """By way of `segue receive` on host b, whose answers are changed on their way (rewriting.py)."""
    return local(src, dst, '--to', receive(lab, 'b', change), *options)


def receive(lab, host, change=None):
    words = ['env', f'SEGUE_STATE={lab.state_dir(host)}', *lab.enter(host), program('segue'), 'receive', '--stdio']
    if change is not None:
        words = [sys.executable, os.path.join(ROOT, 'tests', 'system', 'rewriting.py'), json.dumps(change), *words]
    return 'cmd:' + shlex.join(words)


# ---- the answer --------------------------------------------------------------------------------------


def lines_of(done):
    return [json.loads(line) for line in done.stdout.splitlines()]


def findings(done):
    return lines_of(done)[-1]['findings']


def codes(done):
    require(done.returncode == 2, f'exit {done.returncode}: {done.stderr.strip()[-400:]}')
    return [finding['code'] for finding in findings(done)]


def refused(done, *expected):
    """For these reasons and no others; the sentence of the first."""
    require(codes(done) == list(expected), f'{expected} expected: {done.stdout[-600:]}')
    return findings(done)[0]['what']


def accepted(done, what=''):
    require(done.returncode == 0, f'{what}: exit {done.returncode}: {done.stdout[-600:]}{done.stderr.strip()[-400:]}')


def verdicts(done):
    """(place, shared) of each disk; the line they are of."""
    found = [line for line in lines_of(done) if line['type'] == 'preflight']
    require(len(found) == 1, f'{len(found)} lines of type preflight: {done.stdout[-400:]}{done.stderr[-300:]}')
    return [(disk['place'], disk['shared']) for disk in found[0]['disks']], found[0]


def notes(done):
    return [note['code'] for note in verdicts(done)[1]['notes']]


def untouched(src, dst=None):
    require(src.qmp('query-status')['status'] == 'running', 'the source does not run')
    if dst is not None:
        require(dst.qmp('query-status')['status'] == 'inmigrate', 'the destination does not wait any more')
        require(dst.qmp('query-migrate') == {}, 'the destination listens')
