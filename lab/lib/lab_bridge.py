"""The guests' network, for guests with a network card: one Ethernet over both hosts, apart from the link that is
shaped and broken.

    client 10.78.0.1 on br0 of the switch --- br0 of host a --- tap of the guest
                                          \\-- br0 of host b --- tap of its twin

Three Linux bridges that learn: after a move the switch sends to the wrong host until a frame with the guest's
address has come from the right one.
"""
import os

from lab_base import run

SWITCH = 's'
CLIENT_ADDRESS, GUEST_ADDRESS, GUEST_MAC = '10.78.0.1', '10.78.0.10', '52:54:00:77:00:10'
TCP_PORT, UDP_PORT = 7000, 7001
# loglevel=4: a kernel that breaks says why. The rest saves what emulation makes dear: boot time, and code in the way of
# a packet, which after a move is all translated anew.
KERNEL_WORDS = 'console=ttyS0 quiet loglevel=4 nokaslr mitigations=off no_timer_check lsm= apparmor=0 audit=0'


def network_arguments(ifup, mac=GUEST_MAC):
    """romfile: nothing boots from the network. The tap is QEMU's own and goes with it."""
    return ['-netdev', f'tap,id=net0,script={ifup},downscript=no',
            '-device', f'virtio-net-pci,netdev=net0,mac={mac},romfile=']


def bridge_is_up(lab):
    return os.path.exists(f'/run/netns/{lab.netns(SWITCH)}')


def bridge_up(lab, hosts):
    """Not shaped. No error when it is up already; a failure leaves what Lab.down() removes."""
    if bridge_is_up(lab):
        return
    switch = lab.netns(SWITCH)
    run(['ip', 'netns', 'add', switch])
    for netns in (switch, *map(lab.netns, hosts)):
        run(['ip', '-n', netns, 'link', 'add', 'br0', 'type', 'bridge', 'forward_delay', '0', 'mcast_snooping', '0'])
        run(['ip', '-n', netns, 'link', 'set', 'br0', 'up'])
    for host in hosts:
        run(['ip', 'link', 'add', f'to-{host}', 'netns', switch, 'type', 'veth', 'peer', 'name', 'to-switch', 'netns',
             lab.netns(host)])
        for netns, end in ((switch, f'to-{host}'), (lab.netns(host), 'to-switch')):
            run(['ip', '-n', netns, 'link', 'set', end, 'master', 'br0', 'up'])
    run(['ip', '-n', switch, '-batch', '-'], input=f'link set lo up\naddr add {CLIENT_ADDRESS}/24 dev br0\n')


def bridge_port(lab, mac=GUEST_MAC):
    """Host to which the switch sends what is for that address, by what it has learnt; None: to all."""
    for line in run(['bridge', '-n', lab.netns(SWITCH), 'fdb', 'show', 'br', 'br0']).splitlines():
        words = line.split()
        if words[0] == mac and 'permanent' not in words:
            return words[words.index('dev') + 1].removeprefix('to-')
    return None
