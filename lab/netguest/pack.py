#!/usr/bin/python3
"""Writes the network guest's initramfs: `pack.py OUT INIT MODULE...`, modules in the order they are loaded.

The "newc" form of cpio (kernel: Documentation/driver-api/early-userspace/buffer-format.rst), not compressed: the
guest unpacks it under emulation."""
import os
import sys


def entry(name, mode, data=b'', device=(0, 0)):
    fields = (0, mode, 0, 0, 1, 0, len(data), 0, 0, *device, len(name) + 1, 0)
    head = b'070701' + ''.join(f'{f:08X}' for f in fields).encode() + name.encode() + b'\0'
    return head + b'\0' * (-len(head) % 4) + data + b'\0' * (-len(data) % 4)


def main(out, init, *modules):
    def content(path):
        with open(path, 'rb') as f:
            return f.read()

    names = [os.path.basename(path) for path in modules]
    archive = entry('dev', 0o040755) + entry('dev/console', 0o020600, device=(5, 1))
    archive += entry('init', 0o100755, content(init))
    archive += entry('modules', 0o100644, ''.join(f'/{name}\n' for name in names).encode())
    for name, path in zip(names, modules):
        archive += entry(name, 0o100644, content(path))
    with open(out, 'wb') as f:
        f.write(archive + entry('TRAILER!!!', 0))


main(*sys.argv[1:])
