"""What the lab's tests share: the library's path and a lab of their own."""
import os
import sys
import unittest

sys.dont_write_bytecode = True
LAB = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(LAB, 'lib'))
TRAFFIC = os.path.join(LAB, 'test', 'traffic.py')

import segue_lab  # noqa: E402


def own_id(suffix):
    return f't{os.getpid()}{suffix}'


def report(text):
    """A measured figure, shown beside the test's result."""
    print(f'    {text}', file=sys.stderr)


class LabCase(unittest.TestCase):
    """One lab for the class, taken down whatever happens."""

    RATE = '100MiB/s'

    @classmethod
    def setUpClass(cls):
        cls.lab = segue_lab.Lab(own_id(cls.__name__), cls.RATE)
        cls.addClassCleanup(cls.lab.down)
        cls.lab.up()

    def start(self, host, name, **kwargs):
        vm = self.lab.start_vm(host, name, **kwargs)
        self.addCleanup(vm.stop)
        return vm
