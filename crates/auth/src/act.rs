//! Every action with its policy (WC-1 and WC-3).

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
    /// The hook catalogue and the history of live pointers.
    ReadHooks: "read hooks", Requirement::Anyone;
    /// `GET /hooks/{name}/releases` and its releases: the caller's rights determine whether the places of files are
    /// shown (ISO-4).
    ReadReleases: "read releases", Requirement::Known;
    /// `GET /hooks/runs/{id}`: a run with public rows is public.
    ReadHookRuns: "read hook runs", Requirement::Known;
    /// Runs without public rows, and the reasons for failures.
    ReadAllHookRuns: "read all hook runs", Requirement::Role(Role::Admin);
    /// `GET /hooks/runs/{id}/logs` and the logs of pulls: the requester of the work determines who may read them
    /// (PRV-8).
    ReadRunLogs: "read logs of hook runs and pulls", Requirement::Authenticated;
    /// `POST /ingestions`, its records and its closing.
    WriteIngestions: "ingest records", Requirement::Scope("ingestions:write");
    /// `GET /ingestions`, `GET /ingestions/{id}` and what is below it.
    ReadIngestions: "read ingest runs", Requirement::Scope("ingestions:read");
    /// `GET /ingesters`.
    ReadIngesters: "read ingesters", Requirement::Scope("ingesters:read");
    /// Everything below `/data` except traces.
    ReadData: "read data", Requirement::Anyone;
    /// `POST /data/records/{id}/withdraw` and `/restore`, and those of ingest runs: a caller may withdraw what it
    /// published itself (EDG-4).
    WithdrawOwnRecords: "withdraw records", Requirement::Authenticated;
    /// Withdrawing and restoring what others published.
    WithdrawAllRecords: "withdraw or restore records that others published", Requirement::ScopeOrRole("records:withdraw", Role::Curator);
    /// Provenance of rows and records: the public may trace a public row to its release.
    ReadProvenance: "read provenance", Requirement::Known;
    /// Names of people in provenance.
    ReadPersonalData: "read personal data", Requirement::Role(Role::Curator);
    /// `POST /schemas`.
    WriteSchemas: "register a schema", Requirement::Role(Role::Admin);
    /// `GET /schemas`, `GET /schemas/{id@version}`.
    ReadSchemas: "read schemas", Requirement::Anyone;
    /// `GET /conventions/{slug}/template`.
    ReadTemplates: "read a convention's template", Requirement::Role(Role::Depositor);
    /// Everything below `/depositions`: the owner of a deposition determines what the caller may do.
    UseDepositions: "use depositions", Requirement::Role(Role::Depositor);
    /// Reading the depositions of all users, and deciding on them.
    CurateDepositions: "curate depositions", Requirement::Role(Role::Curator);
    /// `GET /validation/runs/{id}`: the owner of the deposition determines who may read it (WC-D6).
    ReadValidations: "read validation runs", Requirement::Authenticated;
    /// Sign-in, refresh, sign-out, and the device flow: the request itself carries the proof.
    SignIn: "sign in", Requirement::Anyone;
    /// `GET /auth/config`.
    ReadAuthConfig: "read the sign-in configuration", Requirement::Role(Role::Admin);
    /// Users and their roles, below `/admin/users`.
    ManageRoles: "manage roles", Requirement::Role(Role::Superadmin);
    /// `/admin/service-accounts`.
    ManageServiceAccounts: "manage service accounts", Requirement::Role(Role::Superadmin);
    /// `GET /auth/me`.
    ReadOwnProfile: "read one's own profile", Requirement::AnyUser;
    /// `GET /activity`.
    ReadActivity: "read the activity log", Requirement::ScopeOrRole("activity:read", Role::Curator);
    /// `GET /events`: public; the caller's rights determine which events are visible.
    ReadEvents: "read the changefeed", Requirement::Known;
    /// Non-public events of `GET /events` (WC-D6).
    ReadAllEvents: "read all of the changefeed", Requirement::ScopeOrRole("events:read", Role::Curator);
    /// Creating tasks, and operations on a task: the task itself determines what the caller may do (AUD-6).
    UseTasks: "use tasks", Requirement::Authenticated;
    /// Tasks and delegations of all parties (AUD-6).
    ManageAllTasks: "manage all tasks", Requirement::Role(Role::Admin);
    /// Delegating, claiming, and the inbox: a delegation's parties determine who may do what (LED).
    UseDelegations: "use delegations", Requirement::Authenticated;
    /// `GET /health`, `GET /ready`.
    ReadHealth: "read the server's health", Requirement::Anyone;
}
