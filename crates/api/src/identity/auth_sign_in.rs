//! The browser side of a sign-in: `/auth/login`, `/auth/callback`, and the pages of the device flow (WC-1.10, WC-D28).

use std::sync::Arc;

use ::pages::paths;
use app::identity::sign_in::{Departure, Landing, REASONS, Return};
use auth::{SIGN_IN_SECONDS, act};
use domain::kind::Coded as _;
use poem::http::StatusCode;
use poem::http::header::COOKIE;
use poem_openapi::param::Query;
use poem_openapi::payload::Html;
use poem_openapi::{ApiResponse, Object, OpenApi};
use url::form_urlencoded;

use crate::http::body::FormBody;
use crate::http::gate::Gate;
use crate::http::problem::Problem;
use crate::identity::auth_session::Tag;
use crate::identity::pages;
use crate::services::Services;

/// The cookie that binds the form of the device page to the browser that displayed it. It prevents a foreign page from
/// submitting the code of its own device in this person's name (RFC 8628 5.4). Other sites never cause it to be sent.
const FORM_COOKIE: &str = "hallmark_device_form";
/// Time limit for typing a code, in seconds.
const FORM_SECONDS: i64 = 900;

/// The form of the device page was not of this browser.
const OTHER_FORM: &str = "This form has expired or was opened in another browser. Type the code again.";
/// What the device page says about a code. It shows no other text that its address has.
const FORM_REASONS: [&str; 3] = [
    OTHER_FORM,
    "The code is not a valid device code.",
    "The code was used or has expired; request a new one on the device.",
];

/// The cookie that binds a sign-in to the browser that started it (WC-D28).
const COOKIE_NAME: &str = "hallmark_sign_in";

pub(crate) struct AuthSignInApi(pub(crate) Arc<Services>);

#[derive(Debug, ApiResponse)]
enum Redirect {
    /// Redirect to the next step.
    #[oai(status = 302)]
    Found(
        #[oai(header = "Location")] String,
        /// Binds the sign-in to this browser, or clears that binding.
        #[oai(header = "Set-Cookie")]
        String,
    ),
    /// The sign-in failed. Redirect to a page that states the reason.
    #[oai(status = 307)]
    Failed(
        #[oai(header = "Location")] String,
        #[oai(header = "Set-Cookie")] String,
    ),
}

#[derive(Debug, ApiResponse)]
enum Page {
    /// An HTML page.
    #[oai(status = 200)]
    Shown(
        Html<String>,
        #[oai(header = "Content-Security-Policy")] String,
        #[oai(header = "X-Frame-Options")] String,
        #[oai(header = "Cache-Control")] String,
        #[oai(header = "Set-Cookie")] Option<String>,
    ),
}

impl Page {
    fn of(html: String, cookie: Option<String>) -> Self {
        Self::Shown(
            Html(html),
            "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'"
                .to_owned(),
            "DENY".to_owned(),
            "no-store".to_owned(),
            cookie,
        )
    }
}

/// The submitted form of the device page.
#[derive(Debug, Object)]
struct UserCodeForm {
    /// Code that the device shows. Case, spaces and hyphens are ignored.
    user_code: String,
    /// Token of the form, which equals the form's cookie.
    form_token: Option<String>,
}

fn query(pairs: &[(&str, &str)]) -> String {
    form_urlencoded::Serializer::new(String::new())
        .extend_pairs(pairs)
        .finish()
}

impl AuthSignInApi {
    fn cookie(&self, value: &str, seconds: i64) -> String {
        self.named_cookie(COOKIE_NAME, "Lax", value, seconds)
    }

    fn named_cookie(&self, name: &str, same_site: &str, value: &str, seconds: i64) -> String {
        let base = &self.0.node.base;
        let secure = if base.is_https() { "; Secure" } else { "" };
        let path = base.href(&paths::AUTH);
        format!("{name}={value}; Path={path}; Max-Age={seconds}; HttpOnly; SameSite={same_site}{secure}")
    }

    fn depart(&self, departure: Departure) -> Redirect {
        let cookie = self.cookie(&departure.nonce, SIGN_IN_SECONDS);
        Redirect::Found(departure.url, cookie)
    }

    /// Returns to the page on which the code is typed.
    fn ask_again(&self, query: &str) -> Redirect {
        let page = self.0.node.base.href(&paths::DEVICE_VERIFY);
        Redirect::Found(format!("{page}?{query}"), self.cookie("", 0))
    }

    fn land(&self, landing: Landing) -> Redirect {
        let forget = self.cookie("", 0);
        match landing {
            Landing::Device => Redirect::Found(self.0.node.base.href(&paths::DEVICE_COMPLETE), forget),
            Landing::Home {
                redirect_uri,
                tokens,
                user,
            } => {
                let expires_in = tokens.expires_in.to_string();
                let auth = query(&[
                    ("access_token", &tokens.access_token),
                    ("refresh_token", &tokens.refresh_token),
                    ("token_type", "Bearer"),
                    ("expires_in", &expires_in),
                    ("user_id", &user.id.to_string()),
                    ("display_name", &user.display_name),
                    ("provider", &user.provider),
                    ("external_id", &user.external_id),
                ]);
                // In the fragment, which reaches no server and no log.
                Redirect::Found(format!("{redirect_uri}#auth={auth}"), forget)
            }
            Landing::Failed {
                device: true,
                description,
                ..
            } => {
                let why = query(&[("error_description", &description)]);
                let page = self.0.node.base.href(&paths::DEVICE_ERROR);
                Redirect::Failed(format!("{page}?{why}"), forget)
            }
            Landing::Failed {
                device: false,
                error,
                description,
            } => {
                let mut home = self.0.identity.sign_in.home().clone();
                let path = format!("{}/auth/error", home.path().trim_end_matches('/'));
                home.set_path(&path);
                home.set_query(Some(&query(&[
                    ("error", &error),
                    ("error_description", &description),
                ])));
                Redirect::Failed(home.into(), forget)
            }
        }
    }
}

#[OpenApi(tag = "Tag::Auth")]
impl AuthSignInApi {
    /// Redirect a browser to the identity provider.
    #[oai(path = "/auth/login", method = "get", operation_id = "logIn")]
    async fn login(
        &self,
        Gate(permit): Gate<act::SignIn>,
        /// The identity provider: `orcid`.
        provider: Query<String>,
        /// Address to return to with tokens. Its origin must be one that the node allows.
        redirect_uri: Query<Option<String>>,
    ) -> Result<Redirect, Problem> {
        let departure = self
            .0
            .identity
            .sign_in
            .begin(&permit, &provider.0, redirect_uri.0.as_deref())
            .map_err(|e| Problem::of_error(&e, "query").for_auth())?;
        Ok(self.depart(departure))
    }

    /// Receive a browser from the identity provider.
    #[oai(path = "/auth/callback", method = "get", operation_id = "finishLogIn")]
    async fn callback(
        &self,
        Gate(permit): Gate<act::SignIn>,
        request: &poem::Request,
        code: Query<Option<String>>,
        state: Query<Option<String>>,
        error: Query<Option<String>>,
        #[oai(name = "error_description")] _description: Query<Option<String>>,
    ) -> Result<Redirect, Problem> {
        let back = Return {
            code: code.0,
            state: state.0,
            error: error.0,
            nonce: cookie_of(request, COOKIE_NAME),
        };
        let landing = self
            .0
            .identity
            .sign_in
            .finish(&permit, back)
            .await
            .map_err(|e| Problem::from(e).for_auth())?;
        Ok(self.land(landing))
    }

    /// Show the page on which a person types a device's code.
    #[oai(path = "/auth/device/verify", method = "get", operation_id = "showDevicePage")]
    async fn verify_page(
        &self,
        Gate(permit): Gate<act::SignIn>,
        code: Query<Option<String>>,
        error_message: Query<Option<String>>,
    ) -> Result<Page, Problem> {
        // Without a configured provider no person could sign in, so the page is not shown.
        self.0
            .identity
            .sign_in
            .begin(&permit, "orcid", None)
            .map_err(|e| unknown_provider(&e))?;
        let token = self.0.identity.sign_in.form_token();
        let cookie = self.named_cookie(FORM_COOKIE, "Strict", &token, FORM_SECONDS);
        let code = code.0.as_deref().unwrap_or_default();
        let error = error_message
            .0
            .as_deref()
            .filter(|text| FORM_REASONS.contains(text));
        let page = pages::device_code(&self.0.node.base, code, &token, error);
        Ok(Page::of(page, Some(cookie)))
    }

    /// Accept a typed code and redirect the browser to the identity provider.
    #[oai(path = "/auth/device/verify", method = "post", operation_id = "verifyDevice")]
    async fn verify(
        &self,
        Gate(permit): Gate<act::SignIn>,
        request: &poem::Request,
        body: FormBody<UserCodeForm>,
    ) -> Result<Redirect, Problem> {
        let typed = &body.0.user_code;
        let shown = cookie_of(request, FORM_COOKIE).filter(|token| !token.is_empty());
        if shown.is_none() || shown != body.0.form_token {
            let back = query(&[("error_message", OTHER_FORM)]);
            return Ok(self.ask_again(&back));
        }
        match self.0.identity.sign_in.begin_device(&permit, typed).await {
            Ok(departure) => Ok(self.depart(departure)),
            Err(e) if e.kind() == domain::Kind::Invalid => {
                let why = e.faults().first().map_or_else(String::new, |f| f.message.clone());
                let why = format!("The code {why}.");
                let shown: String = typed.chars().take(20).collect();
                let back = query(&[("code", &shown), ("error_message", &why)]);
                Ok(self.ask_again(&back))
            }
            Err(e) => Err(unknown_provider(&e)),
        }
    }

    /// Show that a device is signed in.
    #[oai(
        path = "/auth/device/complete",
        method = "get",
        operation_id = "showDeviceComplete"
    )]
    async fn complete(&self, _gate: Gate<act::SignIn>) -> Page {
        Page::of(
            pages::message(
                "The device is signed in",
                "You can close this window and return to the device.",
            ),
            None,
        )
    }

    /// Show why a device was not signed in.
    #[oai(path = "/auth/device/error", method = "get", operation_id = "showDeviceError")]
    async fn error(&self, _gate: Gate<act::SignIn>, error_description: Query<Option<String>>) -> Page {
        Page::of(
            pages::message(
                "The device was not signed in",
                error_description
                    .0
                    .as_deref()
                    .filter(|text| REASONS.contains(text))
                    .unwrap_or("The sign-in failed."),
            ),
            None,
        )
    }
}

/// On the pages of the device flow, an unconfigured provider is reported as a missing page (WC-1.10).
fn unknown_provider(failure: &app::Failure) -> Problem {
    if failure.code() == "unknown_provider" {
        Problem::new(StatusCode::NOT_FOUND, "unknown_provider", failure.to_string()).for_auth()
    } else {
        Problem::of_error(failure, "body").for_auth()
    }
}

/// Returns the value of a cookie of the browser.
fn cookie_of(request: &poem::Request, cookie: &str) -> Option<String> {
    request
        .headers()
        .get_all(COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(';'))
        .find_map(|pair| {
            let (name, value) = pair.trim().split_once('=')?;
            (name == cookie).then(|| value.to_owned())
        })
}
