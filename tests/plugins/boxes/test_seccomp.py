"""Filters of system calls, run by a small machine that reads them as the kernel does."""

from __future__ import annotations

import errno
import struct

import pytest

from famulus_boxes.seccomp import ALLOW, FORBIDDEN, KILL, denying, program, refuse
from famulus_boxes.syscalls import AUDIT_ARCH, LAST_KNOWN, numbers

MACHINES = sorted(AUDIT_ARCH)
I386 = 0x40000003


def verdict(code: bytes, number: int, *arguments: int, arch: int) -> int:
    """What the filter answers to a call."""
    data = struct.pack("=iIQ6Q", number, arch, 0, *(*arguments, *[0] * (6 - len(arguments))))
    steps = list(struct.iter_unpack("=HBBI", code))
    at, loaded = 0, 0
    while True:
        operation, hit, miss, value = steps[at]
        at += 1
        if operation == 0x06:
            return int(value)
        if operation == 0x20:
            [loaded] = struct.unpack_from("=I", data, value)
            continue
        holds = {0x15: loaded == value, 0x35: loaded >= value, 0x45: bool(loaded & value)}
        at += hit if holds[operation] else miss


@pytest.mark.parametrize("machine", MACHINES)
def test_what_is_forbidden_is_refused_and_all_else_allowed(machine: str) -> None:
    code, known, arch = program(denying(), machine=machine), numbers(machine), AUDIT_ARCH[machine]
    conditional = {"clone", "clone3", "ioctl", "socket", "socketpair"}
    for name, number in known.items():
        if name in conditional:
            continue
        expected = refuse(errno.EPERM) if name in FORBIDDEN else ALLOW
        assert verdict(code, number, arch=arch) == expected, name
    assert verdict(code, known["clone3"], arch=arch) == refuse(errno.ENOSYS)


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize("family", [0, 2, 10, 16, 17, 38, 40, 44, 255])
def test_only_sockets_to_itself_are_left(machine: str, family: int) -> None:
    code, known, arch = program(denying(), machine=machine), numbers(machine), AUDIT_ARCH[machine]
    for name in ("socket", "socketpair"):
        assert verdict(code, known[name], family, arch=arch) == refuse(errno.EAFNOSUPPORT)
        assert verdict(code, known[name], 1, arch=arch) == ALLOW
        # The kernel looks at the lower half of the argument alone, and so does the filter.
        assert verdict(code, known[name], (1 << 32) + 1, arch=arch) == ALLOW
        assert verdict(code, known[name], (1 << 32) + 2, arch=arch) != ALLOW


@pytest.mark.parametrize("machine", MACHINES)
def test_processes_are_made_but_no_namespaces(machine: str) -> None:
    code, known, arch = program(denying(), machine=machine), numbers(machine), AUDIT_ARCH[machine]
    assert verdict(code, known["clone"], 0x11, arch=arch) == ALLOW
    assert verdict(code, known["clone"], 0x3D0F00, arch=arch) == ALLOW
    for flag in (
        0x80,
        0x20000,
        0x2000000,
        0x4000000,
        0x8000000,
        0x10000000,
        0x20000000,
        0x40000000,
    ):
        assert verdict(code, known["clone"], flag | 0x11, arch=arch) == refuse(errno.EPERM)


def test_nothing_is_typed_into_a_terminal() -> None:
    code, known = program(denying(), machine="x86_64"), numbers("x86_64")
    assert verdict(code, known["ioctl"], 0, 0x5412, arch=AUDIT_ARCH["x86_64"]) != ALLOW
    assert verdict(code, known["ioctl"], 0, 0x5413, arch=AUDIT_ARCH["x86_64"]) == ALLOW


@pytest.mark.parametrize("machine", MACHINES)
def test_sockets_keep_the_buffers_that_the_machine_gives_them(machine: str) -> None:
    code, known, arch = program(denying(), machine=machine), numbers(machine), AUDIT_ARCH[machine]
    for option in (7, 8, 32, 33):
        assert verdict(code, known["setsockopt"], 5, 1, option, arch=arch) == refuse(errno.EPERM)
    assert verdict(code, known["setsockopt"], 5, 1, 2, arch=arch) == ALLOW


def test_calls_in_the_manner_of_another_machine_kill() -> None:
    code, arch = program(denying(), machine="x86_64"), AUDIT_ARCH["x86_64"]
    assert verdict(code, 0, arch=I386) == KILL
    assert verdict(code, 0, arch=AUDIT_ARCH["aarch64"]) == KILL
    assert verdict(code, 0x40000000, arch=arch) == KILL
    assert verdict(code, 0x40000000 + 101, arch=arch) == KILL
    assert verdict(code, 0, arch=arch) == ALLOW


@pytest.mark.parametrize("machine", MACHINES)
def test_calls_that_are_newer_than_the_filter_are_unknown(machine: str) -> None:
    code, arch = program(denying(), machine=machine), AUDIT_ARCH[machine]
    assert verdict(code, LAST_KNOWN, arch=arch) == ALLOW
    assert verdict(code, LAST_KNOWN + 1, arch=arch) == refuse(errno.ENOSYS)
    assert verdict(code, 5000, arch=arch) == refuse(errno.ENOSYS)


@pytest.mark.parametrize("machine", MACHINES)
def test_a_list_of_what_is_allowed_refuses_the_rest(machine: str) -> None:
    rules = denying(sockets=False)
    code = program(rules, only=("read", "socket", "ptrace"), machine=machine)
    known, arch = numbers(machine), AUDIT_ARCH[machine]
    assert verdict(code, known["read"], arch=arch) == ALLOW
    assert verdict(code, known["write"], arch=arch) == refuse(errno.EPERM)
    assert verdict(code, known["ptrace"], arch=arch) == refuse(errno.EPERM)
    assert verdict(code, known["socket"], 1, arch=arch) == refuse(errno.EAFNOSUPPORT)


def test_there_is_no_filter_for_an_unknown_machine() -> None:
    with pytest.raises(LookupError):
        program(denying(), machine="pdp11")


@pytest.mark.parametrize("machine", MACHINES)
def test_all_that_is_forbidden_is_known_by_name(machine: str) -> None:
    only_x86 = {"iopl", "ioperm", "modify_ldt", "ustat", "sysfs"}
    missing = set(FORBIDDEN) - set(numbers(machine))
    assert missing == (only_x86 if machine == "aarch64" else set())
