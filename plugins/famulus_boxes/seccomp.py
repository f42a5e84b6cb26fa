"""Filters of system calls, assembled from their numbers: what a box may ask the kernel for."""

from __future__ import annotations

import errno
import platform
import struct
from collections.abc import Iterable

import msgspec

from famulus_boxes.syscalls import AUDIT_ARCH, LAST_KNOWN, numbers

_LOAD, _EQUAL, _AT_LEAST, _AND_EQUAL = 0x20, 0x15, 0x35, 0x45
_RETURN = 0x06

ALLOW = 0x7FFF0000
KILL = 0x80000000
_ERRNO = 0x00050000

_NUMBER, _ARCH, _ARGUMENTS = 0, 4, 16
_X32 = 0x40000000
"""Set in the numbers of x86-64's second table, which would get around the first one's rules."""

AF_UNIX = 1
NAMESPACES = 0x7E020080
"""Flags of `clone` for new namespaces: of mounts, cgroups, names, IPC, users, processes, network
and time."""

TIOCSTI, TIOCLINUX = 0x5412, 0x541C
"""Controls of a terminal that type into it what its owner did not."""

SOCKET_BUFFERS = (7, 8, 32, 33)
"""Options of sockets that make their buffers larger: what lies in them belongs to no process."""

_FORBIDDEN = (
    # Looking into other processes.
    "ptrace process_vm_readv process_vm_writev process_madvise kcmp pidfd_getfd "
    # Large parts of the kernel that code for data has no use for.
    "io_uring_setup io_uring_enter io_uring_register bpf perf_event_open userfaultfd "
    "keyctl add_key request_key fanotify_init lookup_dcookie "
    # Other namespaces and other mounts.
    "unshare setns mount umount2 pivot_root chroot move_mount open_tree fsopen fsconfig fsmount "
    "fspick mount_setattr statmount listmount name_to_handle_at open_by_handle_at "
    # Memory that no process maps is seen by no one who adds up what processes map.
    "memfd_create memfd_secret shmget shmat shmctl msgget msgsnd semget mq_open vmsplice "
    # The machine itself.
    "kexec_load kexec_file_load init_module finit_module delete_module reboot swapon swapoff "
    "syslog acct quotactl quotactl_fd settimeofday clock_settime adjtimex clock_adjtime "
    "sethostname setdomainname personality iopl ioperm modify_ldt vhangup ustat sysfs "
    "migrate_pages move_pages mbind set_mempolicy set_mempolicy_home_node "
    # More of the machine's time than others have.
    "sched_setscheduler sched_setattr sched_setparam ioprio_set sync syncfs "
    "lsm_set_self_attr lsm_get_self_attr lsm_list_modules"
)
FORBIDDEN = tuple(_FORBIDDEN.split())


class Rule(msgspec.Struct, frozen=True):
    """What one call gets; with an argument, only where that is so."""

    call: str
    action: int
    argument: int | None = None
    equals: int | None = None
    differs: int | None = None
    any_of: int | None = None
    """Any of these bits is set."""


def refuse(code: int) -> int:
    """The action that fails a call with an error number."""
    return _ERRNO | code


def denying(*, sockets: bool = True) -> list[Rule]:
    """What no box may call; `sockets` says whether it may have those to itself, of AF_UNIX."""
    rules = [Rule(name, refuse(errno.EPERM)) for name in FORBIDDEN]
    # Its flags lie in memory, which a filter cannot see; libraries fall back on `clone`.
    rules.append(Rule("clone3", refuse(errno.ENOSYS)))
    rules.append(Rule("clone", refuse(errno.EPERM), argument=0, any_of=NAMESPACES))
    rules += [
        Rule("ioctl", refuse(errno.EPERM), argument=1, equals=each) for each in (TIOCSTI, TIOCLINUX)
    ]
    rules += [
        Rule("setsockopt", refuse(errno.EPERM), argument=2, equals=each) for each in SOCKET_BUFFERS
    ]
    for name in ("socket", "socketpair") if sockets else ("socketpair",):
        rules.append(Rule(name, refuse(errno.EAFNOSUPPORT), argument=0, differs=AF_UNIX))
    if not sockets:
        rules.append(Rule("socket", refuse(errno.EAFNOSUPPORT)))
    return rules


def program(
    rules: Iterable[Rule], *, only: Iterable[str] | None = None, machine: str | None = None
) -> bytes:
    """A filter that applies the first rule that fits a call.

    What no rule fits is allowed, or with `only` refused unless it is named there. Calls in the
    manner of another machine kill the process; numbers that are newer than the tables are
    unknown to it. Raises LookupError for a machine that there are no tables for.
    """
    machine = machine or platform.machine()
    known = numbers(machine)
    code = [
        _step(_LOAD, _ARCH),
        _step(_EQUAL, AUDIT_ARCH[machine], hit=1),
        _step(_RETURN, KILL),
        _step(_LOAD, _NUMBER),
        _step(_AT_LEAST, _X32, miss=1),
        _step(_RETURN, KILL),
        _step(_AT_LEAST, LAST_KNOWN + 1, miss=1),
        _step(_RETURN, refuse(errno.ENOSYS)),
    ]
    for rule in rules:
        if rule.call in known:
            code += _rule(rule, known[rule.call])
    if only is None:
        code.append(_step(_RETURN, ALLOW))
    else:
        for number in sorted(known[name] for name in only if name in known):
            code += [_step(_EQUAL, number, miss=1), _step(_RETURN, ALLOW)]
        code.append(_step(_RETURN, refuse(errno.EPERM)))
    assert len(code) <= 4096, "the kernel takes no longer filter"
    return b"".join(code)


def _rule(rule: Rule, number: int) -> list[bytes]:
    answer = _step(_RETURN, rule.action)
    if rule.argument is None:
        return [_step(_EQUAL, number, miss=1), answer]
    load = _step(_LOAD, _ARGUMENTS + 8 * rule.argument)
    if rule.equals is not None:
        test = _step(_EQUAL, rule.equals, miss=1)
    elif rule.any_of is not None:
        test = _step(_AND_EQUAL, rule.any_of, miss=1)
    else:
        assert rule.differs is not None
        test = _step(_EQUAL, rule.differs, hit=1)
    # The number is loaded again for the rules that follow.
    return [_step(_EQUAL, number, miss=4), load, test, answer, _step(_LOAD, _NUMBER)]


def _step(operation: int, value: int, *, hit: int = 0, miss: int = 0) -> bytes:
    return struct.pack("=HBBI", operation, hit, miss, value)
