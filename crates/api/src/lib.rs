//! HTTP. Depends on `app`, `auth` and `domain`, never on `ports`: a handler has no way to the data but through a use case, and no
//! way into a use case but with a permit from its [`gate::Gate`].

mod activity;
mod admin;
mod aliases;
mod allow;
mod auth_session;
mod auth_sign_in;
mod body;
mod claims;
mod conventions;
mod curation;
mod data;
mod delegations;
mod depositions;
mod edge;
mod endings;
mod export;
mod exports;
mod gate;
mod hook_runs;
mod hooks;
mod hooks_live;
mod inbox;
mod ingest_detail;
mod ingestions;
mod listen;
mod manifest;
mod manners;
mod metrics;
mod pages;
mod problem;
mod query;
mod recall;
mod record_provenance;
mod render;
mod rendered;
mod schemas;
mod sheet;
mod site;
mod spec;
mod system;
mod table;
mod tasks;
mod template;
mod trace;
mod upload;
mod wire;
mod wire_deploy;

use std::sync::Arc;

use app::{
    Authenticate, CallOffDelegation, CancelIngestion, CancelTask, ClaimDelegations, CloseIngestion,
    CreateDeposition, CreateRelease, CreateTask, CurateDeposition, Delegate, Deploy, EditDeposition,
    EndSession, FetchDeviceTokens, FillFromSpreadsheet, FinishDelegations, GrantRole, Meters, OpenDevice,
    OpenIngestion, PushRecords, ReadActivity, ReadConventions, ReadData, ReadDelegations, ReadDepositions,
    ReadHealth, ReadHooks, ReadIdentities, ReadInbox, ReadIngestDetail, ReadIngestions, ReadLineage,
    ReadOverview, ReadProfile, ReadProvenance, ReadRunLogs, ReadSchemas, ReadStats, ReadTasks, Recall,
    Redelegate, RefreshSession, RegisterSchema, RevokeRole, SetLive, SetServiceAccountState, ShareTask,
    SignIn, SubmitDeposition, UnyankRelease, UpdateTask, UploadFile, YankRelease,
};
use domain::NodeDomain;
use poem::{Endpoint, EndpointExt, Route};
use poem_openapi::OpenApiService;

pub use listen::serve;
pub use manners::{HttpOptions, Origins};
pub use spec::openapi_document;

/// The use cases that the API serves.
pub struct Services {
    /// From tokens to principals.
    pub authenticate: Arc<Authenticate>,
    /// What this server counts of its own work.
    pub meters: Arc<Meters>,
    /// `POST /conventions`.
    pub deploy: Deploy,
    /// Reading conventions.
    pub read_conventions: ReadConventions,
    /// `POST /hooks/{name}/releases`.
    pub create_release: CreateRelease,
    /// `PUT /hooks/{name}/live`.
    pub set_live: SetLive,
    /// `POST /hooks/{name}/releases/{version}/yank`.
    pub yank_release: YankRelease,
    /// `POST /hooks/{name}/releases/{version}/unyank`.
    pub unyank_release: UnyankRelease,
    /// `POST /schemas`.
    pub register_schema: RegisterSchema,
    /// Reading schemas.
    pub read_schemas: ReadSchemas,
    /// Giving roles.
    pub grant_role: GrantRole,
    /// Taking roles.
    pub revoke_role: RevokeRole,
    /// Reading users and service accounts.
    pub read_identities: ReadIdentities,
    /// Disabling service accounts.
    pub set_service_account_state: SetServiceAccountState,
    /// Signing in.
    pub sign_in: SignIn,
    /// `POST /auth/refresh`.
    pub refresh_session: RefreshSession,
    /// `POST /auth/logout`.
    pub end_session: EndSession,
    /// `POST /auth/device`.
    pub open_device: OpenDevice,
    /// `POST /auth/device/token`.
    pub fetch_device_tokens: FetchDeviceTokens,
    /// Reading hooks.
    pub read_hooks: ReadHooks,
    /// `POST /ingestions`.
    pub open_ingestion: OpenIngestion,
    /// `POST /ingestions/{id}/records`.
    pub push_records: PushRecords,
    /// `POST /ingestions/{id}/close`.
    pub close_ingestion: CloseIngestion,
    /// `POST /ingestions/{id}/cancel`.
    pub cancel_ingestion: CancelIngestion,
    /// Reading ingest runs.
    pub read_ingestions: ReadIngestions,
    /// Reading their batches, records and pulls.
    pub read_ingest_detail: ReadIngestDetail,
    /// Reading logs of hook runs.
    pub read_run_logs: ReadRunLogs,
    /// `POST /depositions`.
    pub create_deposition: CreateDeposition,
    /// Changing drafts.
    pub edit_deposition: EditDeposition,
    /// `POST /depositions/{srn}/files`.
    pub upload_file: UploadFile,
    /// `POST /depositions/{srn}/spreadsheet`.
    pub fill_from_spreadsheet: FillFromSpreadsheet,
    /// `POST /depositions/{srn}/submit`.
    pub submit_deposition: SubmitDeposition,
    /// Deciding about depositions.
    pub curate_deposition: CurateDeposition,
    /// Reading depositions.
    pub read_depositions: ReadDepositions,
    /// Reading tables.
    pub read_data: Arc<ReadData>,
    /// Reading figures.
    pub read_stats: ReadStats,
    /// Reading provenance as a picture.
    pub read_lineage: ReadLineage,
    /// Reading what the archive holds.
    pub read_overview: ReadOverview,
    /// What releases made.
    pub recall: Recall,
    /// Tracing rows.
    pub read_provenance: Arc<ReadProvenance>,
    /// Following the activity log.
    pub read_activity: ReadActivity,
    /// `POST /tasks`.
    pub create_task: CreateTask,
    /// Reading tasks.
    pub read_tasks: ReadTasks,
    /// `PATCH /tasks/{id}`.
    pub update_task: UpdateTask,
    /// `POST /tasks/{id}/cancel`.
    pub cancel_task: CancelTask,
    /// Granting others what they may do about a task.
    pub share_task: ShareTask,
    /// `POST /delegations`.
    pub delegate: Delegate,
    /// Claiming, and beating for claims.
    pub claim_delegations: ClaimDelegations,
    /// Ending delegations.
    pub finish_delegations: FinishDelegations,
    /// `POST /delegations/{id}/cancel`.
    pub call_off_delegation: CallOffDelegation,
    /// `POST /delegations/{id}/redelegate`.
    pub redelegate: Redelegate,
    /// Reading delegations.
    pub read_delegations: ReadDelegations,
    /// The inbox.
    pub read_inbox: ReadInbox,
    /// `GET /auth/me`.
    pub read_profile: ReadProfile,
    /// Health.
    pub read_health: ReadHealth,
    /// What the node is.
    pub node: Node,
}

/// What the node is.
#[derive(Clone, Debug)]
pub struct Node {
    /// Its name, for people.
    pub name: String,
    /// What it is, for people.
    pub description: String,
    /// Its domain, as in every SRN.
    pub domain: NodeDomain,
    /// Its address for people and machines, without a slash at the end.
    pub base_url: String,
    /// The server's version.
    pub version: &'static str,
    /// What runs hooks, as `/ready` tells it.
    pub runner: String,
}

/// The framework takes at most 16 at one level.
type LedgerApis = (
    tasks::TasksApi,
    delegations::DelegationsApi,
    claims::ClaimsApi,
    endings::EndingsApi,
    inbox::InboxApi,
);

type DataApis = (data::DataApi, exports::ExportsApi);

type HookApis = (
    hooks::HooksApi,
    hooks_live::HooksLiveApi,
    hook_runs::HookRunsApi,
    recall::RecallApi,
);

type IngestApis = (
    ingestions::IngestionsApi,
    ingest_detail::IngestDetailApi,
    depositions::DepositionsApi,
    curation::CurationApi,
);

type Apis = (
    conventions::ConventionsApi,
    schemas::SchemasApi,
    HookApis,
    IngestApis,
    DataApis,
    auth_session::AuthSessionApi,
    auth_sign_in::AuthSignInApi,
    admin::AdminApi,
    activity::ActivityApi,
    LedgerApis,
    system::SystemApi,
);

fn service(services: &Arc<Services>) -> OpenApiService<Apis, ()> {
    let ledger = (
        tasks::TasksApi(Arc::clone(services)),
        delegations::DelegationsApi(Arc::clone(services)),
        claims::ClaimsApi(Arc::clone(services)),
        endings::EndingsApi(Arc::clone(services)),
        inbox::InboxApi(Arc::clone(services)),
    );
    let data = (
        data::DataApi(Arc::clone(services)),
        exports::ExportsApi(Arc::clone(services)),
    );
    let hooks = (
        hooks::HooksApi::new(services),
        hooks_live::HooksLiveApi(Arc::clone(services)),
        hook_runs::HookRunsApi(Arc::clone(services)),
        recall::RecallApi(Arc::clone(services)),
    );
    let ingests = (
        ingestions::IngestionsApi(Arc::clone(services)),
        ingest_detail::IngestDetailApi(Arc::clone(services)),
        depositions::DepositionsApi(Arc::clone(services)),
        curation::CurationApi(Arc::clone(services)),
    );
    let apis = (
        conventions::ConventionsApi(Arc::clone(services)),
        schemas::SchemasApi(Arc::clone(services)),
        hooks,
        ingests,
        data,
        auth_session::AuthSessionApi(Arc::clone(services)),
        auth_sign_in::AuthSignInApi(Arc::clone(services)),
        admin::AdminApi(Arc::clone(services)),
        activity::ActivityApi(Arc::clone(services)),
        ledger,
        system::SystemApi(Arc::clone(services)),
    );
    OpenApiService::new(apis, "Hallmark", env!("CARGO_PKG_VERSION"))
        .description(spec::DESCRIPTION)
        .url_prefix("/api/v1")
}

/// The whole HTTP service: the API below `/api/v1`, its document at `/openapi.json`, and interactive docs at `/docs`.
pub fn routes(services: Services, http: HttpOptions) -> impl Endpoint<Output = poem::Response> + 'static {
    let services = Arc::new(services);
    let service = service(&services);
    let document = spec::finished(&service.spec());
    let docs = service.swagger_ui_html();
    let allowed = Arc::new(allow::Allowed::of(&document));
    let route = Route::new()
        .at(
            "/openapi.json",
            poem::get(poem::endpoint::make_sync(move |_| {
                poem::Response::builder()
                    .content_type("application/json")
                    .body(document.clone())
            })),
        )
        .at(
            "/docs",
            poem::get(poem::endpoint::make_sync(move |_| poem::web::Html(docs.clone()))),
        );
    site::add(route, &services)
        .nest("/api/v1", service)
        .data(Arc::clone(&services.authenticate))
        .with(edge::Edge(allowed, Arc::clone(&services.meters)))
        .with(manners::Manners::new(http))
}
