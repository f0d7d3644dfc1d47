//! The files that an ingester left, opened one by one.

use std::fs::File;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt as _;

use async_trait::async_trait;
use domain::{FileName, SourceId};
use futures::StreamExt as _;
use ports::{PulledFile, PulledFiles, RunnerError};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use tokio_util::io::ReaderStream;

use crate::workdir::WorkDir;

/// How many bytes are read at once.
const CHUNK: usize = 256 * 1024;

#[async_trait]
impl PulledFiles for WorkDir {
    async fn open(&self, record: &SourceId, name: &FileName) -> Result<Option<PulledFile>, RunnerError> {
        let failed = |e: std::io::Error| RunnerError::new(format!("read the file {name} of {record}"), e);
        let Some(file) = plain_file(self.files(), &record.directory_name(), name.as_str()).map_err(failed)?
        else {
            return Ok(None);
        };
        let about = file.metadata().map_err(failed)?;
        // A second name may be a foreign one: a hard link to a file of the server's.
        if !about.is_file() || about.nlink() != 1 {
            return Ok(None);
        }
        let reader = ReaderStream::with_capacity(tokio::fs::File::from_std(file), CHUNK);
        Ok(Some(PulledFile {
            bytes: about.len(),
            content: reader.boxed(),
        }))
    }
}

/// Opens a regular file. Neither the directory nor the file may be a link, and a FIFO must not block.
fn plain_file(files: &OwnedFd, directory: &str, name: &str) -> std::io::Result<Option<File>> {
    let open = |at: &OwnedFd, name: &str, more: OFlags| match rustix::fs::openat(
        at,
        name,
        OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC | more,
        Mode::empty(),
    ) {
        Ok(fd) => Ok(Some(fd)),
        Err(Errno::NOENT | Errno::LOOP | Errno::NOTDIR | Errno::NAMETOOLONG | Errno::NXIO) => Ok(None),
        Err(error) => Err(std::io::Error::from(error)),
    };
    let Some(directory) = open(files, directory, OFlags::DIRECTORY)? else {
        return Ok(None);
    };
    Ok(open(&directory, name, OFlags::empty())?.map(File::from))
}
