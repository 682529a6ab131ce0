"""The command line of a QEMU with the lab guest, for Lab.start_vm(). Both ends of a move are built by it."""


def machine_arguments(program, name, memory_kib, cpus, kernel, guest):
    """The program, the machine and its guest; QEMU moves a guest only to a machine made alike."""
    argv = [program, '-name', name, '-machine', 'pc', '-accel', 'tcg,thread=multi', '-cpu', 'qemu64']
    argv += ['-nodefaults', '-display', 'none', '-m', f'size={memory_kib}K', '-smp', str(cpus)]
    return argv + ['-kernel', kernel, '-append', guest]


def channel_arguments(base):
    """Three monitors, so that none of Segue's two is ever the lab's; the heartbeat's FIFO; the serial port."""
    argv = ['-qmp', f'unix:{base}.qmp,server=on,wait=off']  # Said so that `--dst-command` finds it.
    for id_, ending in (('guard', '-guard.qmp'), ('spare', '-spare.qmp')):
        argv += ['-chardev', f'socket,id={id_},path={base}{ending},server=on,wait=off']
        argv += ['-mon', f'chardev={id_},mode=control']
    argv += ['-chardev', f'file,id=beat,path={base}.fifo,append=on']
    argv += ['-device', 'isa-debugcon,iobase=0xe9,chardev=beat']
    serial = f'socket,id=serial,path={base}.serial,server=on,wait=off,logfile={base}.serial.log'
    return argv + ['-chardev', serial, '-serial', 'chardev:serial']


def disk_arguments(disk):
    """IDE: with virtio-blk SeaBIOS leaves QEMU 7.2 in writethrough, and the stop has nothing to flush."""
    return ['-drive', f'file={disk},format=raw,if=none,id=disk0', '-device', 'ide-hd,drive=disk0'] if disk else []


def incoming_arguments(incoming, autostart_incoming):
    """-S unless the guest is to run by itself when it has arrived."""
    argv = ['-incoming', 'defer'] if incoming or autostart_incoming else []
    return argv + (['-S'] if incoming and not autostart_incoming else [])
