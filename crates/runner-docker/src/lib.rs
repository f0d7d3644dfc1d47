//! Runs hooks and ingesters as containers of Docker or Podman (PIP-4, PIP-5; WC-5, WC-D11, WC-D18, WC-D19, WC-D30).
//!
//! - An image is named by a reference and pinned by a digest: a repository's digest, or the id of an image that the
//!   engine already has. The container is created from the image that the digest names, not from the one that its tag
//!   points to. Private images must be on the engine already: the server has no credentials for registries.
//! - A hook is uid and gid 65534 without capabilities, without a network, on a read-only file system; it may write to
//!   `/osa/out`, and to 100 MiB of `/tmp` and 64 MiB of `/dev/shm`, which count as its memory. An ingester is the user
//!   of its image, has the network, and may write everywhere in its container. Neither can gain privileges or have
//!   more than 256 processes.
//! - The engine limits memory, processor time and the number of processes. The runner limits wall clock and disk. Disk is
//!   what is in the work directory, and, where the server sees the processes of the container (root on the machine of
//!   the engine, or the user of a rootless one), what is in removed files that are open. No file exceeds that limit.
//! - Memory ran out if the engine reports it, independently of which process was killed and of how the entrypoint
//!   ended afterwards: a hook that lost a child and exits with a status of its own is run again with more memory. An
//!   engine on containerd occasionally loses that message; SIGKILL (status 137) then counts as memory too, unless the
//!   engine was asked to kill or stop the container. A script that passes on the 137 of a child looks the same, even if
//!   the child ended for another reason.
//! - Every container has a label with its owner's name. It is removed, with its anonymous volumes, before an attempt
//!   ends or soon after its future is dropped. [`DockerRunner::clean_stale`] removes what a killed server left.
//!
//! # Requirements on the server
//!
//! - The engine binds directories below the work root, so it must see them. A server that is itself a container
//!   names their place on the host in [`DockerRunnerOptions::host_work_root`].
//! - The directories that containers write to are open to all users (WC-D19): with user namespaces, uid 65534 of a
//!   container is another uid of the machine, and a server that is not root cannot change the owner of a directory. The
//!   work root keeps other users out: only its owner may enter it (0700), and it is bound one attempt at a time.
//! - What containers write belongs to their users. A server that is not root reads only files that are open to it, and
//!   cannot remove the content of directories that a hook created: those stay until an operator removes them
//!   ([`Cleaned::left`]). Let the server be root in its own container, or use a rootless engine of the server's own
//!   user.
//! - With `SELinux`, set a type on the work root that containers may use (`chcon -Rt container_file_t`); mounts are not
//!   relabelled.
//! - Podman creates a missing directory instead of refusing it: with a wrong `host_work_root`, hooks find no records.
//! - If the message that memory ran out is lost and the entrypoint exits with another status than 137 (a child was
//!   killed, and the entrypoint ended at once, on a busy machine), that is the hook's own failure: nothing is left that
//!   shows the lack of memory. containerd of the end of 2025 and later (containerd#12405, #12714) does not lose it on
//!   cgroups v2.
//!
//! Only `/_ping`, `/version`, `/images` and `/containers` of the engine are requested, so a docker-socket-proxy with
//! CONTAINERS=1, IMAGES=1 and POST=1 is enough. After SIGKILL without a message about memory, `/events` is requested as
//! well, which that proxy allows unless it has EVENTS=0. Without a response, a hook counts as out of memory and an
//! ingester as ended by a signal, so that both are run again.
//!
//! The peak memory of a container is not reported: the engine discards it when the container ends.

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
