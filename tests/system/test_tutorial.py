"""docs/tutorial.md as a user types it: each command of its ```console blocks is run on the lab's two hosts, as two
machines (two_hosts.py says what differs from real ones), in the order of the document.

A line HOST# COMMAND is a command; a here-document goes on until its END. The lines below it are promised: each must
be found in what the command says, in their order; "..." stands for anything, and blanks count as one. A command ends
with 0, in a block ```console refused with 2. `both#` is run on both hosts. One command is not taken literally:
tools/build, since what is tested has been built, and not with the same settings."""
import os
import re
import time

from harness import BIN, require
from two_hosts import NAMES, TwoHosts
from watching import ROOT

DOCUMENT = os.path.join(ROOT, 'docs', 'tutorial.md')
PROMPT = re.compile(r'(host1|host2|both)# (.*)')
INSTEAD = {'tools/build': f'test -x {BIN}/segue'}
COMMANDS_MIN = 25  # A document of which nothing is understood is no document that holds.


def cases(_):
    yield 'every command of docs/tutorial.md does what it promises', every_command


def commands_of(text):
    """[(number of the line, prompt's host, command, promised lines, exit status)]"""
    found, fence, wanted, until = [], None, 0, None
    for number, line in enumerate(text.split('\n'), 1):
        if fence is None:
            if line.startswith('```'):
                fence = line[3:]
                require(fence in ('console', 'console refused'), f'{number}: a block of kind "{fence}" is not run')
                wanted = 2 if fence.endswith('refused') else 0
            continue
        if until:  # In a here-document.
            found[-1][2] += '\n' + line
            until = None if line == until else until
        elif line == '```':
            fence = None
        elif prompt := PROMPT.fullmatch(line):
            found.append([number, prompt[1], prompt[2], [], wanted])
            here = re.search(r"<<'(\w+)'$", prompt[2])
            until = here and here[1]
        else:
            require(found, f'{number}: output before the first command')
            found[-1][3].append(line)
    require(fence is None and until is None, 'a block does not end')
    return found


def pattern_of(promised):
    parts = [r'\s+'.join(map(re.escape, part.split())) for part in promised.split('...')]
    gaps = re.findall(r'(\s*)\.\.\.(\s*)', promised)
    text = parts[0]
    for (before, after), part in zip(gaps, parts[1:]):
        text += (r'\s*' if before else '') + '.*' + (r'\s*' if after else '') + part
    return re.compile(r'\s*' + text + r'\s*')


def missing_line(promised, said):
    """The first promised line that is not there, or None."""
    lines = iter(said.splitlines())
    for one in promised:
        pattern = pattern_of(one)
        if not any(pattern.fullmatch(line) for line in lines):
            return one
    return None


def typed(hosts, name, command, seconds=180):
    """In the folder in which the last command on that host was left."""
    where = '/root/.tutorial-folder'
    return hosts.run(name, f'cd "$(cat {where} 2>/dev/null || echo /root)"\n{command}\n'
                           f'status=$?; pwd > {where}; exit $status', seconds)


def every_command(lab):
    with open(DOCUMENT, encoding='utf-8') as f:
        commands = commands_of(f.read())
    require(len(commands) >= COMMANDS_MIN, f'only {len(commands)} commands are understood')
    began, ran = time.monotonic(), 0
    with TwoHosts(lab) as hosts:
        for number, host, command, promised, wanted in commands:
            for name in NAMES if host == 'both' else [host]:
                status, said = typed(hosts, name, INSTEAD.get(command, command))
                where = f'docs/tutorial.md:{number}: {name}# {command.splitlines()[0]}'
                require(status == wanted, f'{where}: exit {status} instead of {wanted}: {said[-600:]}')
                missing = None if command in INSTEAD else missing_line(promised, said)
                require(missing is None, f'{where}: "{missing}" is not in: {said[-1500:]}')
                ran += 1
    return f'{len(commands)} commands, run {ran} times in {time.monotonic() - began:.0f} s'
