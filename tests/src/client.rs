//! A client of the API.

use std::io::Read;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

/// An answer.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    /// `Location` and `Set-Cookie`.
    pub location: Option<String>,
    pub set_cookie: Option<String>,
    pub content_type: String,
    pub www_authenticate: Option<String>,
    pub text: String,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|e| panic!("{e}: {self:?}"))
    }

    /// The body, of an answer with this status.
    #[track_caller]
    pub fn expect(self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}", self.text);
        self.json()
    }

    #[track_caller]
    pub fn expect_empty(self, status: u16) {
        assert_eq!((self.status, self.text.as_str()), (status, ""));
    }

    /// The body of a problem with this status and code.
    #[track_caller]
    pub fn problem(self, status: u16, code: &str) -> Value {
        assert_eq!(self.content_type, "application/problem+json", "{self:?}");
        let body = self.expect(status);
        assert_eq!(body["code"], code, "{body}");
        assert_eq!(body["status"], status, "{body}");
        body
    }
}

/// An answer with all of its headers.
#[derive(Debug)]
pub struct Fetched {
    pub status: u16,
    pub headers: std::collections::BTreeMap<String, String>,
    pub bytes: Vec<u8>,
}

impl Fetched {
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }

    pub fn text(&self) -> String {
        String::from_utf8(self.bytes.clone()).unwrap()
    }
}

pub struct Client {
    agent: ureq::Agent,
    base: String,
    token: Option<String>,
}

impl Client {
    /// A client of the server at this address.
    pub fn new(base: &str, token: Option<String>) -> Self {
        let agent = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .timeout_global(Some(Duration::from_secs(120)))
            .build()
            .into();
        Self {
            agent,
            base: base.to_owned(),
            token,
        }
    }

    pub fn send(
        &self,
        method: &str,
        path: &str,
        content_type: Option<&str>,
        body: impl Read,
    ) -> Result<Answer, ureq::Error> {
        self.send_with(method, path, content_type, None, body)
    }

    /// Sends a request with one more header.
    pub fn send_with(
        &self,
        method: &str,
        path: &str,
        content_type: Option<&str>,
        more: Option<(&str, &str)>,
        body: impl Read,
    ) -> Result<Answer, ureq::Error> {
        let path = if path.starts_with("/openapi") || path.starts_with("/docs") {
            path.to_owned()
        } else {
            format!("/api/v1{path}")
        };
        let mut request = ureq::http::Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.base));
        if let Some(token) = &self.token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        if let Some(content_type) = content_type {
            request = request.header("content-type", content_type);
        }
        if let Some((name, value)) = more {
            request = request.header(name, value);
        }
        let mut body = body;
        let mut response = self
            .agent
            .run(request.body(ureq::SendBody::from_reader(&mut body)).unwrap())?;
        let header = |name: &str| {
            response
                .headers()
                .get(name)
                .and_then(|v| v.to_str().ok())
                .map(str::to_owned)
        };
        let (content_type, www_authenticate) = (
            header("content-type").unwrap_or_default(),
            header("www-authenticate"),
        );
        let (location, set_cookie) = (header("location"), header("set-cookie"));
        let status = response.status().as_u16();
        let text = response
            .body_mut()
            .with_config()
            .limit(200 << 20)
            .read_to_string()?;
        Ok(Answer {
            status,
            location,
            set_cookie,
            content_type,
            www_authenticate,
            text,
        })
    }

    pub fn get(&self, path: &str) -> Answer {
        self.send("GET", path, None, std::io::empty()).unwrap()
    }

    pub fn post(&self, path: &str, body: &Value) -> Answer {
        self.send(
            "POST",
            path,
            Some("application/json"),
            body.to_string().as_bytes(),
        )
        .unwrap()
    }

    pub fn put(&self, path: &str, body: &Value) -> Answer {
        self.send("PUT", path, Some("application/json"), body.to_string().as_bytes())
            .unwrap()
    }

    /// `Content-Disposition` and the bytes of a file.
    pub fn send_raw(&self, path: &str) -> (Option<String>, Vec<u8>) {
        let request = ureq::http::Request::builder()
            .uri(format!("{}/api/v1{path}", self.base))
            .header(
                "authorization",
                format!("Bearer {}", self.token.as_deref().unwrap_or_default()),
            );
        let mut response = self.agent.run(request.body(()).unwrap()).unwrap();
        assert_eq!(response.status().as_u16(), 200);
        let name = response.headers().get("content-disposition");
        let name = name.and_then(|v| v.to_str().ok()).map(str::to_owned);
        (name, response.body_mut().read_to_vec().unwrap())
    }

    /// Any request to any path of the server, with the headers of its answer and the bytes as they came; an answer that breaks off is an
    /// error.
    pub fn fetch(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Result<Fetched, ureq::Error> {
        let mut request = ureq::http::Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.base));
        if let Some(token) = &self.token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let mut response = self.agent.run(request.body(body.to_owned()).unwrap())?;
        let headers = response.headers().iter().fold(
            std::collections::BTreeMap::<String, String>::new(),
            |mut all, (name, value)| {
                let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
                // A header that comes twice is a list (RFC 9110 5.3).
                all.entry(name.to_string())
                    .and_modify(|there| {
                        there.push_str(", ");
                        there.push_str(&value);
                    })
                    .or_insert(value);
                all
            },
        );
        Ok(Fetched {
            status: response.status().as_u16(),
            headers,
            bytes: response.body_mut().with_config().limit(500 << 20).read_to_vec()?,
        })
    }

    pub fn delete(&self, path: &str) -> Answer {
        self.send("DELETE", path, None, std::io::empty()).unwrap()
    }

    pub fn push(&self, path: &str, content_type: &str, body: &str) -> Answer {
        self.send("POST", path, Some(content_type), body.as_bytes())
            .unwrap()
    }

    /// Opens a run; gives its id.
    pub fn open(&self, convention: &str, batch_size: u32) -> String {
        let opened = self
            .post(
                "/ingestions",
                &json!({"convention_id": convention, "mode": "push", "batch_size": batch_size}),
            )
            .expect(201);
        opened["id"].as_str().unwrap().to_owned()
    }

    /// Pushes JSON Lines.
    pub fn push_lines(&self, run: &str, lines: &str) -> Value {
        self.push(
            &format!("/ingestions/{run}/records"),
            "application/x-ndjson",
            lines,
        )
        .expect(200)
    }

    /// Closes a run and waits until it is over.
    pub fn finish(&self, run: &str) -> Value {
        self.post(&format!("/ingestions/{run}/close"), &json!({}))
            .expect(200);
        self.wait(run)
    }

    pub fn wait(&self, run: &str) -> Value {
        let begun = Instant::now();
        loop {
            let detail = self.get(&format!("/ingestions/{run}")).expect(200);
            if detail["status"] == "completed" || detail["status"] == "failed" {
                return detail;
            }
            assert!(
                begun.elapsed() < Duration::from_mins(5),
                "the run does not end: {detail}"
            );
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Every row of a table, page by page.
    pub fn rows(&self, table: &str, limit: u32) -> Vec<Value> {
        let (mut rows, mut cursor) = (Vec::new(), String::new());
        loop {
            let page = self
                .get(&format!("/data/{table}?limit={limit}{cursor}"))
                .expect(200);
            rows.extend(page["rows"].as_array().unwrap().clone());
            match page["next_cursor"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => return rows,
            }
        }
    }
}
