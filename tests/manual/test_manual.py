#!/usr/bin/python3
"""The manual, the help and the completion say the same as the program: test_manual.py SEGUE.

What a command takes is read from the program's own help; nothing is listed here."""
import glob
import os
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.realpath(__file__))))
PAGES = os.path.join(ROOT, 'docs', 'man')
COMPLETION = os.path.join(ROOT, 'packaging', 'completion', 'segue.bash')
OPTION = re.compile(r'--[a-z][a-z-]*')
SEGUE = ''
SCREEN_LINES = 50  # migrate needs them; all others do with half.


def segue(*words, **env):
    return subprocess.run([SEGUE, *words], env={**os.environ, **env}, stdin=subprocess.DEVNULL, capture_output=True,
                          text=True, timeout=20)


def commands():
    """As the program lists them for who writes one that it does not know."""
    said = segue('no-such-command').stderr
    known = re.search(r'segue knows (.*) and (\w+)', said)
    assert known, said
    return known.group(1).split(', ') + [known.group(2)]


def with_options():
    return [command for command in commands() if command not in ('help', 'version')]


def options_of(command):
    """Those in the help of a command, without what it says of other commands."""
    text = segue('help', command).stdout
    others = '|'.join(other for other in commands() if segue('help', other).stdout != text)
    text = re.sub(rf'(segue|in) +({others})\b.*', '', text)
    return sorted(set(OPTION.findall(text)))


def page_of(command):
    # Two commands with one help have one page.
    about = re.match(r'segue ([a-z]+):', segue('help', command).stdout)
    own = os.path.join(PAGES, f'segue-{about.group(1) if about else command}.1.scd')
    return own if os.path.exists(own) else os.path.join(PAGES, 'segue.1.scd')


def read(path):
    with open(path, encoding='utf-8') as f:
        return f.read()


def complete(line, **env):
    """What bash would offer behind `line`, by the script."""
    script = f'''source {COMPLETION}
COMP_LINE=$1 COMP_POINT=${{#1}}
_segue "$SEGUE"
printf '%s\\n' "${{COMPREPLY[@]}}"'''
    done = subprocess.run(['bash', '--norc', '-c', script, 'bash', line], env={**os.environ, 'SEGUE': SEGUE, **env},
                          stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=20)
    assert done.returncode == 0 and not done.stderr, done.stderr
    return done.stdout.split()


class Manual(unittest.TestCase):
    def test_every_option_of_every_command_stands_in_its_page(self):
        count = 0
        for command in with_options():
            page = read(page_of(command))
            for option in options_of(command):
                count += 1
                self.assertRegex(page, rf'\*{option}\*', f'{option} of segue {command} is not in {page_of(command)}')
        self.assertGreater(count, 25)

    def test_every_option_that_is_completed_stands_in_the_page_and_the_other_way_round(self):
        verbs = {'vm': complete('segue vm '), 'config': complete('segue config ')}
        for command in with_options():
            offered = set()
            for verb in verbs.get(command, ['']):
                offered |= set(complete(f'segue {command} {verb + " " if verb else ""}--'))
            self.assertEqual(offered - {'--help'}, set(options_of(command)) - {'--help', '--version'}, command)
            page = read(page_of(command))
            for option in offered:
                self.assertRegex(page, rf'\*{option}\*', f'{option} of segue {command} is not in {page_of(command)}')

    def test_every_command_stands_in_the_overview_and_is_completed(self):
        page = read(os.path.join(PAGES, 'segue.1.scd'))
        self.assertEqual(sorted(complete('segue ')), sorted(commands()))
        for command in commands():
            self.assertRegex(page, rf'(?m)^\*{command}\*', command)

    def test_every_key_of_the_settings_stands_in_its_page_and_in_the_docs(self):
        page, docs = read(os.path.join(PAGES, 'segue.toml.5.scd')), read(os.path.join(ROOT, 'docs', 'settings.md'))
        with tempfile.TemporaryDirectory() as folder:
            os.mkdir(os.path.join(folder, 'hosts'))
            keys = set()
            for name in ('site.toml', 'hosts/h.toml'):
                with open(os.path.join(folder, name), 'w', encoding='utf-8') as f:
                    f.write('zzzzzzzz = 1\n')
                said = segue('config', 'check', SEGUE_CONFIG=folder).stderr
                for known in re.findall(r'what is known is (.*)', said):
                    keys |= set(known.split(', '))
        self.assertGreater(len(keys), 10)
        for key in keys:
            self.assertRegex(page, rf'(?m)^\*{key}\*', key)
            self.assertIn(f'`{key}`', docs)

    def test_every_page_is_rendered_and_nothing_of_its_source_is_left(self):
        self.assertTrue(shutil.which('scdoc'), 'scdoc is not installed: tools/install-packages')
        pages = sorted(glob.glob(os.path.join(PAGES, '*.scd')))
        self.assertGreaterEqual(len(pages), 7)
        for page in pages:
            done = subprocess.run(['scdoc'], input=read(page), capture_output=True, text=True, timeout=20)
            self.assertEqual(done.returncode, 0, f'{page}: {done.stderr}')
            self.assertIn('.SH NAME', done.stdout, page)
            self.assertNotRegex(done.stdout, r'(?m)^(\*|#)', page)
            name, section = os.path.basename(page)[:-4].rsplit('.', 1)
            self.assertTrue(read(page).startswith(f'{name}({section})\n'), page)

    def test_pages_that_are_named_are_there(self):
        for page in glob.glob(os.path.join(PAGES, '*.scd')):
            for name, section in re.findall(r'\*(segue[a-z.-]*)\*\(([1-8])\)', read(page)):
                self.assertTrue(os.path.exists(os.path.join(PAGES, f'{name}.{section}.scd')), f'{name} in {page}')

    def test_every_command_has_a_page_of_its_own(self):
        for command in with_options():
            self.assertEqual(os.path.basename(page_of(command)), f'segue-{command}.1.scd')

    def test_help_fits_a_screen(self):
        for command in commands():
            lines = segue('help', command).stdout.splitlines()
            self.assertLessEqual(len(lines), SCREEN_LINES, command)
            for line in lines:
                self.assertLessEqual(len(line), 80, line)


class Completion(unittest.TestCase):
    def test_vms_and_hosts_come_from_the_configuration(self):
        with tempfile.TemporaryDirectory() as folder:
            for name in ('vms/web1', 'vms/web2', 'hosts/host2'):
                os.makedirs(os.path.join(folder, os.path.dirname(name)), exist_ok=True)
                open(os.path.join(folder, name + '.toml'), 'w').close()
            env = dict(SEGUE_CONFIG=folder, SEGUE_STATE=os.path.join(folder, 'state'))
            self.assertEqual(complete('segue migrate w', **env), ['web1', 'web2'])
            self.assertEqual(complete('segue vm start web2', **env), ['web2'])
            # Behind a colon bash replaces only what follows it.
            self.assertEqual(complete('segue migrate web1 --to ssh://h', **env), ['//host2'])
            self.assertFalse(os.path.exists(os.path.join(folder, 'state')), 'completing made the state folder')

    def test_nothing_is_offered_where_a_path_is_expected(self):
        self.assertEqual(complete('segue migrate qmp:/a --dst-qmp /r'), [])

    def test_a_program_that_is_not_there_offers_nothing(self):
        self.assertEqual(complete('segue mi', SEGUE='/nowhere/segue'), [])


if __name__ == '__main__':
    SEGUE = os.path.realpath(sys.argv.pop(1))
    unittest.main()
