//! A reverse proxy of a test's own: what it serves lies below a path, and nothing else is there.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use crate::server::Server;

/// A proxy that listens; it ends with the test's process.
pub struct Proxy {
    /// The address that browsers know, with the path and without a slash at its end.
    pub url: String,
    shared: Arc<Shared>,
}

struct Shared {
    path: &'static str,
    /// Whether the path is removed from what is passed on.
    strips: bool,
    upstream: Mutex<String>,
    outside: Mutex<Vec<String>>,
}

impl Proxy {
    /// A proxy for what lies below this path.
    pub fn start(path: &'static str, strips: bool) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}{path}", listener.local_addr().unwrap());
        let shared = Arc::new(Shared {
            path,
            strips,
            upstream: Mutex::default(),
            outside: Mutex::default(),
        });
        let own = Arc::clone(&shared);
        std::thread::spawn(move || {
            for client in listener.incoming() {
                let shared = Arc::clone(&own);
                std::thread::spawn(move || shared.pass_on(client.unwrap()));
            }
        });
        Self { url, shared }
    }

    /// Names the server behind it.
    pub fn lead_to(&self, server: &Server) {
        let address = server.url.strip_prefix("http://").unwrap();
        address.clone_into(&mut self.shared.upstream.lock().unwrap());
    }

    /// What was asked for outside of the path.
    pub fn outside(&self) -> Vec<String> {
        self.shared.outside.lock().unwrap().clone()
    }
}

impl Shared {
    /// Passes one request on, and its answer back.
    fn pass_on(&self, mut client: TcpStream) {
        let mut read = Vec::new();
        let mut piece = [0; 8192];
        let head = loop {
            match client.read(&mut piece) {
                Ok(0) | Err(_) => return,
                Ok(n) => read.extend_from_slice(&piece[..n]),
            }
            if let Some(end) = read.windows(4).position(|four| four == b"\r\n\r\n") {
                break end;
            }
        };
        let body = read.split_off(head + 4);
        let head = String::from_utf8(read).unwrap();
        let (line, headers) = head.split_once("\r\n").unwrap();
        let mut words = line.split(' ');
        let (method, target) = (words.next().unwrap(), words.next().unwrap());
        let below = target
            .strip_prefix(self.path)
            .filter(|rest| rest.is_empty() || rest.starts_with(['/', '?']));
        let Some(below) = below else {
            self.outside.lock().unwrap().push(target.to_owned());
            let _ =
                client.write_all(b"HTTP/1.1 404 x\r\nconnection: close\r\ncontent-length: 7\r\n\r\noutside");
            return;
        };
        let target = match below {
            _ if !self.strips => target.to_owned(),
            "" => "/".to_owned(),
            rest if rest.starts_with('?') => format!("/{rest}"),
            rest => rest.to_owned(),
        };
        let address = self.upstream.lock().unwrap().clone();
        let mut server = TcpStream::connect(address).unwrap();
        let kept: String = headers
            .lines()
            .filter(|line| !line.is_empty() && !line.to_ascii_lowercase().starts_with("connection:"))
            .map(|line| format!("{line}\r\n"))
            .collect();
        write!(
            server,
            "{method} {target} HTTP/1.1\r\n{kept}connection: close\r\n\r\n"
        )
        .unwrap();
        server.write_all(&body).unwrap();
        let (mut from, mut to) = (client.try_clone().unwrap(), server.try_clone().unwrap());
        std::thread::spawn(move || std::io::copy(&mut from, &mut to));
        let _ = std::io::copy(&mut server, &mut client);
        let _ = client.shutdown(Shutdown::Both);
    }
}
