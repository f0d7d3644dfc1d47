//! The system calls that a hook may not make (seccomp(2)).

use std::error::Error;

use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
    TargetArch, sock_filter,
};

/// The error that a forbidden system call returns: `EPERM`.
const NOT_PERMITTED: u32 = 1;
/// The error of a system call that the kernel does not have: `ENOSYS`.
const NO_SUCH_CALL: u32 = 38;
/// The flag of `clone` for a new user namespace (clone(2)).
const NEW_USER: u64 = 0x1000_0000;
/// The family of sockets between a virtual machine and its host: `AF_VSOCK` (vsock(7)).
const VSOCK: u64 = 40;
/// The first number of the x32 ABI: kernels of x86-64 that have it know each system call by a second number too.
const X32: u32 = 0x4000_0000;

/// System calls that a hook has no use for and that widen what it can reach of the kernel, or that get around a limit:
/// memory of System V belongs to no process, `io_uring` goes around these filters.
const FORBIDDEN: [i64; 40] = [
    libc::SYS_acct,
    libc::SYS_add_key,
    libc::SYS_bpf,
    libc::SYS_chroot,
    libc::SYS_delete_module,
    libc::SYS_fanotify_init,
    libc::SYS_finit_module,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_fsopen,
    libc::SYS_fspick,
    libc::SYS_init_module,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
    libc::SYS_io_uring_setup,
    libc::SYS_kcmp,
    libc::SYS_kexec_file_load,
    libc::SYS_kexec_load,
    libc::SYS_keyctl,
    libc::SYS_mount,
    libc::SYS_mount_setattr,
    libc::SYS_move_mount,
    libc::SYS_open_by_handle_at,
    libc::SYS_open_tree,
    libc::SYS_perf_event_open,
    libc::SYS_pidfd_getfd,
    libc::SYS_pivot_root,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_ptrace,
    libc::SYS_quotactl,
    libc::SYS_reboot,
    libc::SYS_request_key,
    libc::SYS_setns,
    libc::SYS_shmget,
    libc::SYS_swapon,
    libc::SYS_syslog,
    libc::SYS_umount2,
    libc::SYS_unshare,
    libc::SYS_userfaultfd,
];

/// Forbids system calls to this process and all that it starts.
pub(crate) fn filter() -> Result<(), Box<dyn Error>> {
    let arch = TargetArch::try_from(std::env::consts::ARCH)?;
    let new_user = SeccompCondition::new(
        0,
        SeccompCmpArgLen::Qword,
        SeccompCmpOp::MaskedEq(NEW_USER),
        NEW_USER,
    )?;
    // Sockets to the host of a virtual machine are in no network namespace.
    let vsock = SeccompCondition::new(0, SeccompCmpArgLen::Dword, SeccompCmpOp::Eq, VSOCK)?;
    let forbidden = FORBIDDEN.iter().map(|call| (*call, Vec::new())).chain([
        (libc::SYS_clone, vec![SeccompRule::new(vec![new_user])?]),
        (libc::SYS_socket, vec![SeccompRule::new(vec![vsock])?]),
    ]);
    // The flags of clone3 are in memory, which a filter does not see. Without it, C libraries use clone.
    let missing = [(libc::SYS_clone3, Vec::new())];
    for (calls, error) in [
        (forbidden.collect(), NOT_PERMITTED),
        (missing.into_iter().collect(), NO_SUCH_CALL),
    ] {
        let filter = SeccompFilter::new(calls, SeccompAction::Allow, SeccompAction::Errno(error), arch)?;
        let program: BpfProgram = filter.try_into()?;
        seccompiler::apply_filter(&program)?;
    }
    seccompiler::apply_filter(&only_the_usual_numbers())?;
    Ok(())
}

/// Returns the program that forbids the second numbers of system calls, of which the other filters know nothing. Other
/// machines than x86-64 have no numbers as large.
fn only_the_usual_numbers() -> BpfProgram {
    // `BPF_LD | BPF_W | BPF_ABS`, `BPF_JMP | BPF_JGE | BPF_K`, `BPF_RET | BPF_K` (linux/bpf_common.h).
    const LOAD: u16 = 0x20;
    const JUMP_FROM: u16 = 0x35;
    const RETURN: u16 = 0x06;
    // `SECCOMP_RET_ERRNO`, `SECCOMP_RET_ALLOW` (linux/seccomp.h).
    const WITH_ERROR: u32 = 0x0005_0000;
    const ALLOW: u32 = 0x7fff_0000;
    let step = |code, jf, k| sock_filter { code, jt: 0, jf, k };
    vec![
        // The number of the call is the first field of `seccomp_data`.
        step(LOAD, 0, 0),
        step(JUMP_FROM, 1, X32),
        step(RETURN, 0, WITH_ERROR | NO_SUCH_CALL),
        step(RETURN, 0, ALLOW),
    ]
}
