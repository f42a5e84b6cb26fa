"""The system calls that a box may make here; there is nothing else between it and the kernel."""

from __future__ import annotations

_FILES = """
read write readv writev pread64 pwrite64 preadv pwritev preadv2 pwritev2 lseek close close_range
open openat openat2 creat stat fstat lstat newfstatat statx statfs fstatfs access faccessat
faccessat2 getcwd chdir fchdir getdents getdents64 mkdir mkdirat rmdir unlink unlinkat rename
renameat renameat2 link linkat symlink symlinkat readlink readlinkat mknod mknodat truncate
ftruncate fallocate fsync fdatasync sync_file_range flock fcntl dup dup2 dup3 pipe pipe2 umask utime
utimes utimensat futimesat chmod fchmod fchmodat fchmodat2 fadvise64 readahead copy_file_range
sendfile splice tee ioctl getxattr lgetxattr fgetxattr listxattr llistxattr flistxattr
"""
_MEMORY = """
brk mmap munmap mremap mprotect madvise mincore msync mlock munlock membarrier get_mempolicy
mseal pkey_alloc pkey_free pkey_mprotect
"""
_PROCESSES = """
clone fork vfork execve execveat exit exit_group wait4 waitid getpid getppid gettid getpgid getpgrp
getsid getuid geteuid getgid getegid getresuid getresgid getgroups kill tkill tgkill pidfd_open
pidfd_send_signal set_tid_address set_robust_list get_robust_list futex futex_waitv futex_wait
futex_wake futex_requeue rseq prctl arch_prctl getrlimit setrlimit prlimit64 getrusage getpriority
setpriority sched_yield sched_getaffinity sched_setaffinity sched_getparam sched_getscheduler
sched_getattr sched_get_priority_max sched_get_priority_min sched_rr_get_interval getcpu capget
"""
_SIGNALS_AND_TIME = """
rt_sigaction rt_sigprocmask rt_sigreturn rt_sigpending rt_sigtimedwait rt_sigsuspend rt_sigqueueinfo
rt_tgsigqueueinfo sigaltstack restart_syscall pause alarm getitimer setitimer timer_create
timer_settime timer_gettime timer_getoverrun timer_delete timerfd_create timerfd_settime
timerfd_gettime signalfd signalfd4 nanosleep clock_nanosleep clock_gettime clock_getres gettimeofday
time times
"""
_WAITING = """
poll ppoll select pselect6 epoll_create epoll_create1 epoll_ctl epoll_wait epoll_pwait epoll_pwait2
eventfd eventfd2 inotify_init inotify_init1 inotify_add_watch inotify_rm_watch
"""
_MACHINE = "uname sysinfo getrandom"
_SOCKETS_TO_ITSELF = """
socketpair sendto recvfrom sendmsg recvmsg sendmmsg recvmmsg shutdown getsockname getpeername
getsockopt setsockopt
"""

ALLOWED = tuple(
    (
        _FILES + _MEMORY + _PROCESSES + _SIGNALS_AND_TIME + _WAITING + _MACHINE + _SOCKETS_TO_ITSELF
    ).split()
)
"""No `socket`, so that none has an address; no `setsid` and `setpgid`, by which a process would
leave the group that is killed; and nothing that makes it another user."""
