//! Servers on the network beside an engine: a proxy that forbids some requests, and a registry of one image.

use std::io::{self, BufRead as _, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex};
use std::thread;

use serde_json::json;
use sha2::{Digest as _, Sha256};

use super::{root_tar, text};

/// A proxy before an engine's socket, as docker-socket-proxy: it lets a request through or answers 403.
pub(crate) struct Proxy {
    /// Its `DOCKER_HOST`.
    pub(crate) host: String,
    seen: Arc<Mutex<Vec<String>>>,
}

impl Proxy {
    /// A proxy that lets through the requests (method, path without version) that `allow` says.
    pub(crate) fn start(socket: &str, allow: fn(&str, &str) -> bool) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let host = format!("tcp://{}", listener.local_addr().unwrap());
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (log, socket) = (Arc::clone(&seen), socket.to_owned());
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let (log, socket) = (Arc::clone(&log), socket.clone());
                thread::spawn(move || relay(&client, &socket, allow, &log));
            }
        });
        Self { host, seen }
    }

    /// What was asked so far, as `METHOD /path`.
    pub(crate) fn seen(&self) -> Vec<String> {
        self.seen.lock().unwrap().clone()
    }
}

fn relay(
    mut client: &TcpStream,
    socket: &str,
    allow: fn(&str, &str) -> bool,
    log: &Mutex<Vec<String>>,
) -> io::Result<()> {
    // Byte by byte: what follows the head is the engine's to read.
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        client.read_exact(&mut byte)?;
        head.push(byte[0]);
    }
    let head = text(&head);
    let mut words = head.split(' ');
    let (method, path) = (words.next().unwrap_or(""), words.next().unwrap_or(""));
    let path = match path.strip_prefix("/v1.") {
        Some(rest) => &rest[rest.find('/').unwrap_or(0)..],
        None => path,
    };
    log.lock().unwrap().push(format!("{method} {path}"));
    if !allow(method, path) {
        client.write_all(b"HTTP/1.1 403 Forbidden\r\ncontent-length: 26\r\nconnection: close\r\n\r\n<html><h1>403</h1></html>\n")?;
        return Ok(());
    }
    let mut engine = UnixStream::connect(socket)?;
    // One request per connection, so that each is seen.
    engine.write_all(head.replacen("\r\n", "\r\nconnection: close\r\n", 1).as_bytes())?;
    let (mut up_from, mut up_to) = (client.try_clone()?, engine.try_clone()?);
    thread::spawn(move || io::copy(&mut up_from, &mut up_to));
    io::copy(&mut engine, &mut client)?;
    client.shutdown(Shutdown::Both)
}

/// A registry that has one image: the tests' root file system with this entrypoint.
pub(crate) struct Registry {
    /// Its image, without tag and digest.
    pub(crate) repository: String,
    /// The digest of the manifest.
    pub(crate) digest: String,
}

impl Registry {
    pub(crate) fn start(script: &str) -> Self {
        let layer = root_tar().to_vec();
        let config = json!({
            "architecture": if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" }, "os": "linux",
            "config": {"Entrypoint": ["/bin/sh", "-c", script], "Env": ["PATH=/bin"]},
            "rootfs": {"type": "layers", "diff_ids": [sha256(&layer)]},
        });
        let config = config.to_string().into_bytes();
        let part = |kind: &str, bytes: &[u8]| json!({"mediaType": kind, "size": bytes.len(), "digest": sha256(bytes)});
        let kind = "application/vnd.oci.image.manifest.v1+json";
        let manifest = json!({
            "schemaVersion": 2, "mediaType": kind,
            "config": part("application/vnd.oci.image.config.v1+json", &config),
            "layers": [part("application/vnd.oci.image.layer.v1.tar", &layer)],
        });
        let manifest = manifest.to_string().into_bytes();
        let digest = sha256(&manifest);
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let name = format!("lab/hook-{}", uuid::Uuid::new_v4());
        let repository = format!("{}/{name}", listener.local_addr().unwrap());
        let contents = Arc::new(vec![
            (format!("/v2/{name}/manifests/{digest}"), kind, manifest),
            (
                format!("/v2/{name}/blobs/{}", sha256(&config)),
                "application/octet-stream",
                config,
            ),
            (
                format!("/v2/{name}/blobs/{}", sha256(&layer)),
                "application/octet-stream",
                layer,
            ),
            ("/v2/".to_owned(), "application/json", b"{}".to_vec()),
        ]);
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let contents = Arc::clone(&contents);
                thread::spawn(move || serve(&client, &contents));
            }
        });
        Self { repository, digest }
    }
}

fn serve(client: &TcpStream, contents: &[(String, &str, Vec<u8>)]) -> io::Result<()> {
    let mut reader = BufReader::new(client);
    let mut first = String::new();
    reader.read_line(&mut first)?;
    let mut line = String::new();
    while reader.read_line(&mut line)? > 2 {
        line.clear();
    }
    let mut words = first.split(' ');
    let (method, path) = (words.next().unwrap_or(""), words.next().unwrap_or(""));
    let mut writer = client;
    match contents.iter().find(|(at, _, _)| at == path) {
        Some((_, kind, bytes)) => {
            write!(
                writer,
                "HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\ncontent-length: {}\r\ndocker-content-digest: {}\r\nconnection: close\r\n\r\n",
                bytes.len(),
                sha256(bytes)
            )?;
            if method != "HEAD" {
                writer.write_all(bytes)?;
            }
        }
        None => {
            writer.write_all(b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")?;
        }
    }
    client.shutdown(Shutdown::Write)
}

fn sha256(bytes: &[u8]) -> String {
    format!("sha256:{}", domain::registry::digest::hex(&Sha256::digest(bytes)))
}
