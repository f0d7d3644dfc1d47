//! Keys of issuers.

use std::path::{Path, PathBuf};

use async_trait::async_trait;
use ports::{KeyDocument, KeySource};
use tokio::io::AsyncReadExt as _;

use crate::http::{agent, blocking, read};

/// The maximum size of a key file, in bytes.
const MAX_FILE_BYTES: u64 = 256 * 1024;

async fn file(path: &Path) -> Result<String, String> {
    let opened = tokio::fs::File::open(path).await.map_err(|e| e.to_string())?;
    let mut text = String::new();
    let read = opened
        .take(MAX_FILE_BYTES + 1)
        .read_to_string(&mut text)
        .await
        .map_err(|e| e.to_string())?;
    if read as u64 > MAX_FILE_BYTES {
        return Err(format!("is larger than {MAX_FILE_BYTES} bytes"));
    }
    Ok(text)
}

/// A PEM in the configuration itself.
#[derive(Clone, Debug)]
pub struct InlinePem {
    /// Its id.
    pub kid: Option<String>,
    /// The PEM.
    pub text: String,
}

#[async_trait]
impl KeySource for InlinePem {
    fn describe(&self) -> String {
        "the configuration".to_owned()
    }
    async fn read(&self) -> Result<KeyDocument, String> {
        Ok(KeyDocument::Pem {
            kid: self.kid.clone(),
            text: self.text.clone(),
        })
    }
}

/// A PEM file.
#[derive(Clone, Debug)]
pub struct PemFile {
    /// Its id.
    pub kid: Option<String>,
    /// Its path.
    pub path: PathBuf,
}

#[async_trait]
impl KeySource for PemFile {
    fn describe(&self) -> String {
        self.path.display().to_string()
    }
    async fn read(&self) -> Result<KeyDocument, String> {
        Ok(KeyDocument::Pem {
            kid: self.kid.clone(),
            text: file(&self.path).await?,
        })
    }
}

/// A JWKS file.
#[derive(Clone, Debug)]
pub struct JwksFile(pub PathBuf);

#[async_trait]
impl KeySource for JwksFile {
    fn describe(&self) -> String {
        self.0.display().to_string()
    }
    async fn read(&self) -> Result<KeyDocument, String> {
        Ok(KeyDocument::Jwks(file(&self.0).await?))
    }
}

/// A JWKS document at a URL.
#[derive(Clone, Debug)]
pub struct JwksUrl(pub String);

#[async_trait]
impl KeySource for JwksUrl {
    fn describe(&self) -> String {
        self.0.clone()
    }
    async fn read(&self) -> Result<KeyDocument, String> {
        let url = self.0.clone();
        let (status, text) = blocking(move || read(agent().get(&url).call())).await?;
        if status == 200 {
            Ok(KeyDocument::Jwks(text))
        } else {
            Err(format!("answered {status}"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_file_that_is_too_large_or_gone_is_reported() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("keys");
        assert!(JwksFile(path.clone()).read().await.is_err());
        std::fs::write(&path, "x".repeat(300_000)).unwrap();
        assert!(
            JwksFile(path.clone())
                .read()
                .await
                .unwrap_err()
                .contains("larger")
        );
        std::fs::write(&path, "{}").unwrap();
        assert_eq!(
            JwksFile(path).read().await.unwrap(),
            KeyDocument::Jwks("{}".into())
        );
        assert!(JwksUrl("http://127.0.0.1:1/".into()).read().await.is_err());
    }
}
