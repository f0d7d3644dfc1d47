//! Runs hooks and ingesters as containers of Docker or Podman (PIP-4, PIP-5; WC-5, WC-D11, WC-D18, WC-D19, WC-D30).
//!
//! - An image is named by a reference and pinned by a digest: a repository's digest, or the id of an image that the engine already has.
//!   The container is made of the image that the digest names, not the one that its tag points to. Private images must be on the engine
//!   already: the server has no credentials for registries.
//! - A hook is uid and gid 65534 without capabilities, without a network, on a read-only file system; it may write to `/osa/out`,
//!   and to 100 MiB of `/tmp` and 64 MiB of `/dev/shm`, which count as its memory. An ingester is the user that its image says,
//!   has the network, and may write everywhere in its container. Neither can gain privileges or have more than 256 processes.
//! - The engine holds memory, processor time and the number of processes. The runner holds wall clock and disk.
//! - Memory ran out if the engine says so, whichever process was killed for it and however the entrypoint ended afterwards: a hook that
//!   lost a child and ends with a status of its own is run again with more. An engine on containerd loses that message now and
//!   then; SIGKILL (status 137) then counts as memory too, unless the engine was asked to kill or stop the container. A script that passes
//!   on the 137 of a child looks the same, also if the child was ended otherwise.
//! - Every container has a label with its owner's name. It is removed, with its anonymous volumes, before an attempt ends or soon after
//!   its future is dropped; what a killed server left is removed by [`DockerRunner::clean_stale`].
//!
//! # What a server must see to
//!
//! - The engine binds directories below the work root, so it must see them. A server that is itself a container
//!   says where by [`DockerRunnerOptions::host_work_root`].
//! - The directories that containers write to are open to all users (WC-D19): with user namespaces, uid 65534 of a container is
//!   another uid of the machine, and a server that is not root can give no directory away. The work root keeps strangers out: it is
//!   its owner's alone (0700), and bound one attempt at a time.
//! - What containers write belongs to their users. A server that is not root reads only files that are open to it, and cannot
//!   remove what is in directories that a hook made: those stay until an operator removes them ([`Cleaned::left`]).
//!   Let the server be root in its own container, or use a rootless engine of the server's own user.
//! - With `SELinux`, give the work root a type that containers may use (`chcon -Rt container_file_t`); mounts are not relabelled.
//! - Podman makes a directory that it does not find instead of refusing it: with a wrong `host_work_root`, hooks find no records.
//! - If the message that memory ran out is lost and the entrypoint ends with another status than 137 (a child was killed, and the
//!   entrypoint ended at once, on a machine with much to do), that is the hook's own failure: nothing is left that tells of the memory.
//!   containerd of the end of 2025 and later (containerd#12405, #12714) does not lose it on cgroups v2.
//!
//! Only `/_ping`, `/version`, `/images` and `/containers` of the engine are asked, so a docker-socket-proxy with CONTAINERS=1,
//! IMAGES=1 and POST=1 is enough. After SIGKILL without a word about memory, `/events` is asked as well, which that proxy lets
//! through unless it has EVENTS=0; without an answer, a hook ran out of memory and an ingester was ended by a signal, so that both are
//! run again.
//!
//! The most memory that a container used is not reported: the engine forgets it when the container ends.

mod container;
mod engine;
mod image;
mod killer;
mod options;
mod reference;
mod runner;
mod sandbox;
mod trouble;
mod work;

pub use options::DockerRunnerOptions;
pub use runner::{Cleaned, DockerRunner};
