//! Every action that can be asked for, with who may (wire contract 1 and 3).

use crate::principal::{Action, Requirement};
use crate::role::Role;

macro_rules! actions {
    ($($(#[$doc:meta])* $name:ident: $what:expr, $requirement:expr;)+) => {$(
        $(#[$doc])*
        #[derive(Debug)]
        pub enum $name {}
        impl Action for $name {
            const NAME: &'static str = $what;
            const REQUIREMENT: Requirement = $requirement;
        }
    )+};
}

actions! {
    /// `POST /conventions`.
    DeployConvention: "deploy a convention", Requirement::Scope("conventions:write");
    /// `GET /conventions`, `GET /conventions/{slug}`.
    ReadConventions: "read conventions", Requirement::Anyone;
    /// `POST /hooks/{name}/releases`, `PUT /hooks/{name}/live`.
    WriteHooks: "release hooks", Requirement::Scope("hooks:write");
    /// The hook catalogue, histories and releases.
    ReadHooks: "read hooks", Requirement::Anyone;
    /// `GET /hooks/runs/{id}`.
    ReadHookRuns: "read hook runs", Requirement::Role(Role::Admin);
    /// `POST /ingestions`, its records and its close.
    WriteIngestions: "ingest records", Requirement::Scope("ingestions:write");
    /// `GET /ingestions`, `GET /ingestions/{id}`.
    ReadIngestions: "read ingest runs", Requirement::Scope("ingestions:read");
    /// Everything below `/data`, traces included: an ordinary reader may follow a public row to its release.
    ReadData: "read data", Requirement::Anyone;
    /// `GET /auth/me`.
    ReadOwnProfile: "read one's own profile", Requirement::AnyUser;
    /// `GET /health`, `GET /ready`.
    ReadHealth: "read the server's health", Requirement::Anyone;
}
