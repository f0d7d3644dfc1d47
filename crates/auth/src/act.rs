//! Every action that can be asked for, with who may (WC-1 and WC-3).

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
    /// `GET /hooks/runs/{id}`: everybody may ask for a run whose rows are public.
    ReadHookRuns: "read hook runs", Requirement::Known;
    /// Runs that made nothing public, and why runs failed.
    ReadAllHookRuns: "read all hook runs", Requirement::Role(Role::Admin);
    /// `GET /hooks/runs/{id}/logs` and the logs of pulls: who asked for the work decides who may see them (PRV-8).
    ReadRunLogs: "read logs of hook runs and pulls", Requirement::Authenticated;
    /// `POST /ingestions`, its records and its close.
    WriteIngestions: "ingest records", Requirement::Scope("ingestions:write");
    /// `GET /ingestions`, `GET /ingestions/{id}` and what is below it.
    ReadIngestions: "read ingest runs", Requirement::Scope("ingestions:read");
    /// `GET /ingesters`.
    ReadIngesters: "read ingesters", Requirement::Scope("ingesters:read");
    /// Everything below `/data` but traces.
    ReadData: "read data", Requirement::Anyone;
    /// Where rows and records come from: an ordinary reader may follow a public row to its release.
    ReadProvenance: "read where rows come from", Requirement::Known;
    /// The names of the people in it.
    ReadPersonalData: "read who people are", Requirement::Role(Role::Curator);
    /// `POST /schemas`.
    WriteSchemas: "register a schema", Requirement::Role(Role::Admin);
    /// `GET /schemas`, `GET /schemas/{id@version}`.
    ReadSchemas: "read schemas", Requirement::Anyone;
    /// `GET /conventions/{slug}/template`.
    ReadTemplates: "read a convention's template", Requirement::Role(Role::Depositor);
    /// Everything below `/depositions`: whose a deposition is decides what the caller may do about it.
    UseDepositions: "use depositions", Requirement::Role(Role::Depositor);
    /// Reading everybody's depositions, and deciding about them.
    CurateDepositions: "curate depositions", Requirement::Role(Role::Curator);
    /// `GET /validation/runs/{id}`: whose the deposition is decides who may (WC-D6).
    ReadValidations: "read validation runs", Requirement::Authenticated;
    /// Signing in, refreshing, signing out, and the device flow: what they prove is in what they are given.
    SignIn: "sign in", Requirement::Anyone;
    /// `GET /auth/config`.
    ReadAuthConfig: "read how people sign in", Requirement::Role(Role::Admin);
    /// Users and their roles below `/admin/users`.
    ManageRoles: "hand out roles", Requirement::Role(Role::Superadmin);
    /// `/admin/service-accounts`.
    ManageServiceAccounts: "manage service accounts", Requirement::Role(Role::Superadmin);
    /// `GET /auth/me`.
    ReadOwnProfile: "read one's own profile", Requirement::AnyUser;
    /// `GET /activity`.
    ReadActivity: "read the activity log", Requirement::ScopeOrRole("activity:read", Role::Curator);
    /// `GET /events`: everybody may ask, and who asks decides what they see.
    ReadEvents: "read the changefeed", Requirement::Known;
    /// What of `GET /events` is not public (WC-D6).
    ReadAllEvents: "read all of the changefeed", Requirement::ScopeOrRole("events:read", Role::Curator);
    /// Making tasks, and what is asked for about a task: the task itself decides what the caller may do (AUD-6).
    UseTasks: "use tasks", Requirement::Authenticated;
    /// What everybody else's tasks and delegations are about (AUD-6).
    ManageAllTasks: "manage everybody's tasks", Requirement::Role(Role::Admin);
    /// Handing over, being handed, and the inbox: a delegation's parties decide who may do what about it (LED).
    UseDelegations: "use delegations", Requirement::Authenticated;
    /// `GET /health`, `GET /ready`.
    ReadHealth: "read the server's health", Requirement::Anyone;
}
