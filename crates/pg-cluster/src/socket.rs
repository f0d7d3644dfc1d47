//! The directory of the unix socket, and the URL that leads to it.

use std::path::{Path, PathBuf};

use crate::account::Account;
use crate::directory::{self, Directory};
use crate::endpoint::PORT;
use crate::error::Error;

/// The longest path of a socket, in bytes: 107 on Linux, 103 on macOS.
const LONGEST: usize = 103;

/// The directory of the socket.
#[derive(Debug)]
pub(crate) struct SocketDirectory {
    /// Its path, which is valid UTF-8.
    pub(crate) path: String,
    /// Whether it is outside of the cluster's directory, and so must be removed at the end.
    pub(crate) outside: bool,
}

impl SocketDirectory {
    /// Creates it anew, mode 0700 and owned by the user of PostgreSQL. Call it only while no server runs in the
    /// cluster.
    pub(crate) async fn make(directory: &Directory, account: &Account) -> Result<Self, Error> {
        let inside = directory.socket();
        directory::remove_tree(&inside).await?;
        let outside = !fits(&inside);
        let path = if outside {
            // Not the system's temporary directory, whose name may be long as well.
            PathBuf::from(format!("/tmp/pg-socket-{}", directory::random_hex(8)?))
        } else {
            inside
        };
        account.private_directory(&path)?;
        match path.into_os_string().into_string() {
            Ok(path) => Ok(Self { path, outside }),
            Err(path) => Err(Error::NotUnicode { path: path.into() }),
        }
    }
}

/// Returns whether clients can connect to a socket in this directory: its path is short enough, and libpq does not
/// take it for a list of hosts, as it does with commas.
fn fits(directory: &Path) -> bool {
    if directory.as_os_str().as_encoded_bytes().contains(&b',') {
        return false;
    }
    directory.as_os_str().len() + format!("/.s.PGSQL.{PORT}").len() <= LONGEST
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::fits;

    #[test]
    fn a_path_of_103_bytes_fits() {
        let directory = format!("/{}", "d".repeat(103 - 1 - "/.s.PGSQL.5432".len()));
        assert!(fits(Path::new(&directory)));
        assert!(!fits(Path::new(&format!("{directory}d"))));
        assert!(!fits(Path::new("/a,b")));
    }
}
