"""Which system calls a container may make under the runtime's default profile, by what they are for.

In effect containerd's default profile: a call that is named nowhere here is refused. Names that the kernel or the
seccomp library doesn't know are skipped by runc.
"""

from __future__ import annotations


def _calls(names: str) -> frozenset[str]:
    return frozenset(names.split())


ALWAYS = _calls(
    # Files: open, read, write, map.
    """
    access chdir close close_range copy_file_range creat dup dup2 dup3 faccessat faccessat2 fadvise64 fadvise64_64
    fallocate fchdir fcntl fcntl64 fdatasync flock fsync ftruncate ftruncate64 getcwd getdents getdents64 ioctl
    _llseek lseek open openat openat2 pipe pipe2 pread64 preadv preadv2 pwrite64 pwritev pwritev2 read readahead
    readlink readlinkat readv sendfile sendfile64 splice sync sync_file_range syncfs tee truncate truncate64 umask
    vmsplice write writev cachestat name_to_handle_at
    """
    # Files: names, owners, modes, times, attributes.
    """
    chmod chown chown32 fchmod fchmodat fchmodat2 fchown fchown32 fchownat lchown lchown32 link linkat mkdir mkdirat
    mknod mknodat rename renameat renameat2 rmdir symlink symlinkat unlink unlinkat
    fstat fstat64 fstatat64 lstat lstat64 newfstatat stat stat64 statx fstatfs fstatfs64 statfs statfs64
    futimesat utime utimensat utimensat_time64 utimes
    fgetxattr flistxattr fremovexattr fsetxattr getxattr lgetxattr listxattr llistxattr lremovexattr lsetxattr
    removexattr setxattr getxattrat listxattrat removexattrat setxattrat listmount statmount
    """
    # Memory.
    """
    brk madvise map_shadow_stack membarrier memfd_create memfd_secret mincore mlock mlock2 mlockall mmap mmap2 mprotect
    mremap mseal msync munlock munlockall munmap pkey_alloc pkey_free pkey_mprotect process_mrelease remap_file_pages
    """
    # Processes, threads, signals.
    """
    execve execveat exit exit_group fork vfork wait4 waitid waitpid kill tgkill tkill pause pidfd_open
    pidfd_send_signal prctl ptrace restart_syscall rseq getcpu getpgid getpgrp getpid getppid getsid gettid setpgid
    setsid get_robust_list set_robust_list get_thread_area set_thread_area set_tid_address
    futex futex_requeue futex_time64 futex_wait futex_waitv futex_wake
    rt_sigaction rt_sigpending rt_sigprocmask rt_sigqueueinfo rt_sigreturn rt_sigsuspend rt_sigtimedwait
    rt_sigtimedwait_time64 rt_tgsigqueueinfo sigaltstack signalfd signalfd4 sigprocmask sigreturn
    landlock_add_rule landlock_create_ruleset landlock_restrict_self seccomp uretprobe
    """
    # Who one is, what one may take.
    """
    capget capset getegid getegid32 geteuid geteuid32 getgid getgid32 getgroups getgroups32 getresgid getresgid32
    getresuid getresuid32 getuid getuid32 setfsgid setfsgid32 setfsuid setfsuid32 setgid setgid32 setgroups
    setgroups32 setregid setregid32 setresgid setresgid32 setresuid setresuid32 setreuid setreuid32 setuid setuid32
    getpriority getrlimit getrusage ioprio_get ioprio_set prlimit64 setpriority setrlimit ugetrlimit
    sched_getaffinity sched_getattr sched_getparam sched_get_priority_max sched_get_priority_min sched_getscheduler
    sched_rr_get_interval sched_rr_get_interval_time64 sched_setaffinity sched_setattr sched_setparam
    sched_setscheduler sched_yield getrandom sysinfo uname
    """
    # Time. adjtimex and its like only read without CAP_SYS_TIME: the kernel sees to that.
    """
    adjtimex alarm clock_adjtime clock_adjtime64 clock_getres clock_getres_time64 clock_gettime clock_gettime64
    clock_nanosleep clock_nanosleep_time64 getitimer gettimeofday nanosleep setitimer time times timer_create
    timer_delete timer_getoverrun timer_gettime timer_gettime64 timer_settime timer_settime64 timerfd_create
    timerfd_gettime timerfd_gettime64 timerfd_settime timerfd_settime64
    """
    # Waiting for many things at once.
    """
    epoll_create epoll_create1 epoll_ctl epoll_ctl_old epoll_pwait epoll_pwait2 epoll_wait epoll_wait_old eventfd
    eventfd2 fanotify_mark inotify_add_watch inotify_init inotify_init1 inotify_rm_watch io_cancel io_destroy
    io_getevents io_pgetevents io_pgetevents_time64 io_setup io_submit _newselect poll ppoll ppoll_time64 pselect6
    pselect6_time64 select
    """
    # Sockets and other talk between processes; `socket` itself is a rule of its own.
    """
    accept accept4 bind connect getpeername getsockname getsockopt listen recv recvfrom recvmmsg recvmmsg_time64
    recvmsg send sendmmsg sendmsg sendto setsockopt shutdown socketcall socketpair
    ipc mq_getsetattr mq_notify mq_open mq_timedreceive mq_timedreceive_time64 mq_timedsend mq_timedsend_time64
    mq_unlink msgctl msgget msgrcv msgsnd semctl semget semop semtimedop semtimedop_time64 shmat shmctl shmdt shmget
    """
)

BY_CAPABILITY = {
    "CAP_BPF": frozenset({"bpf"}),
    "CAP_DAC_READ_SEARCH": frozenset({"open_by_handle_at"}),
    "CAP_PERFMON": frozenset({"perf_event_open"}),
    "CAP_SYS_ADMIN": _calls(
        """
        bpf clone clone3 fanotify_init fsconfig fsmount fsopen fspick lookup_dcookie mount mount_setattr move_mount
        open_tree perf_event_open quotactl quotactl_fd setdomainname sethostname setns syslog umount umount2 unshare
        """
    ),
    "CAP_SYS_BOOT": frozenset({"reboot"}),
    "CAP_SYS_CHROOT": frozenset({"chroot"}),
    "CAP_SYS_MODULE": frozenset({"delete_module", "finit_module", "init_module"}),
    "CAP_SYS_NICE": frozenset({"get_mempolicy", "mbind", "set_mempolicy", "set_mempolicy_home_node"}),
    "CAP_SYS_PACCT": frozenset({"acct"}),
    "CAP_SYS_PTRACE": frozenset(
        {"kcmp", "pidfd_getfd", "process_madvise", "process_vm_readv", "process_vm_writev", "ptrace"}
    ),
    "CAP_SYS_RAWIO": frozenset({"ioperm", "iopl"}),
    "CAP_SYS_TIME": frozenset({"clock_settime", "clock_settime64", "settimeofday", "stime"}),
    "CAP_SYS_TTY_CONFIG": frozenset({"vhangup"}),
    "CAP_SYSLOG": frozenset({"syslog"}),
}

_ARM = frozenset({"arm_fadvise64_64", "arm_sync_file_range", "sync_file_range2", "breakpoint", "cacheflush", "set_tls"})
BY_MACHINE = {
    "x86_64": frozenset({"arch_prctl", "modify_ldt"}),
    "aarch64": _ARM,
    "armv7l": _ARM,
    "ppc64le": frozenset({"sync_file_range2", "swapcontext"}),
    "riscv64": frozenset({"riscv_flush_icache"}),
    "s390x": frozenset({"s390_pci_mmio_read", "s390_pci_mmio_write", "s390_runtime_instr"}),
}

PERSONALITIES = (0x0, 0x8, 0x20000, 0x20008, 0xFFFFFFFF)
"""Linux and its 32-bit view, each with or without its own version told; the last only asks."""
