//! `/callees/me/callers`: from whom the caller of this operation takes delegations, as a callee (ISO-5).

use std::collections::BTreeSet;
use std::sync::Arc;

use app::ledger::accept_callers::AcceptedCallers;
use auth::act;
use domain::{Invalid, Loc, Party};
use poem_openapi::payload::Json;
use poem_openapi::{ApiResponse, Object, OpenApi};

use crate::http::body::Body;
use crate::http::gate::Gate;
use crate::http::problem::Problem;
use crate::http::query::refused_body;
use crate::http::render::model_time;
use crate::ledger::delegations::Tag;
use crate::services::Services;

/// Maximum number of callers in a list.
const MAX_CALLERS: usize = 1000;

pub(crate) struct CalleesApi(pub(crate) Arc<Services>);

/// `PUT /callees/me/callers`.
#[derive(Debug, Object)]
struct CallersBody {
    /// Callers, as `user:<id>` or `service_account:<id>`, at most 1000. The callee itself need not be among them. An
    /// empty list accepts no other caller.
    callers: Vec<String>,
}

/// From whom a callee takes delegations.
#[derive(Debug, Object)]
struct AcceptedCallersBody {
    /// The callee: `user:<id>` or `service_account:<id>`.
    callee_id: String,
    /// Callers whose delegations are accepted, besides the callee's own; `null` if every caller's are.
    callers: Option<Vec<String>>,
    /// When the list was set; `null` without a list.
    set_at: Option<String>,
}

#[derive(Debug, ApiResponse)]
enum RemovedResponse {
    /// There is no list: every caller's delegations are accepted.
    #[oai(status = 204)]
    Done,
}

impl From<AcceptedCallers> for AcceptedCallersBody {
    fn from(accepted: AcceptedCallers) -> Self {
        let (callers, set_at) = accepted.list.map(|list| (list.callers, list.set_at)).unzip();
        Self {
            callee_id: accepted.callee.to_string(),
            callers,
            set_at: set_at.map(model_time),
        }
    }
}

/// Parses the callers of a list; each once, in any spelling.
fn parties(callers: &[String]) -> Result<BTreeSet<Party>, Problem> {
    if callers.len() > MAX_CALLERS {
        let rule = format!("must have at most {MAX_CALLERS} entries");
        return Err(refused_body("callers", Invalid::value(rule)));
    }
    let mut parties = BTreeSet::new();
    for (index, name) in callers.iter().enumerate() {
        let party: Result<Party, Invalid> = name.parse();
        let place: [Loc; 2] = ["callers".into(), index.into()];
        parties.insert(party.map_err(|e| Problem::invalid(&e.under(&place), "body"))?);
    }
    Ok(parties)
}

#[OpenApi(tag = "Tag::Delegations")]
impl CalleesApi {
    /// Get the list of callers whose delegations the requester accepts.
    #[oai(
        path = "/callees/me/callers",
        method = "get",
        operation_id = "getAcceptedCallers"
    )]
    async fn read(
        &self,
        Gate(permit): Gate<act::UseDelegations>,
    ) -> Result<Json<AcceptedCallersBody>, Problem> {
        let accepted = self.0.ledger.accept_callers.read(permit).await?.into_inner();
        Ok(Json(accepted.into()))
    }

    /// Accept delegations from these callers only, which replaces an earlier list.
    ///
    /// From the response on, no other caller can delegate to the requester. Delegations that were created before stay,
    /// with their automatic retries.
    #[oai(
        path = "/callees/me/callers",
        method = "put",
        operation_id = "setAcceptedCallers"
    )]
    async fn set(
        &self,
        Gate(permit): Gate<act::UseDelegations>,
        body: Body<CallersBody>,
    ) -> Result<Json<AcceptedCallersBody>, Problem> {
        let callers = parties(&body.0.callers)?;
        let accepted = self.0.ledger.accept_callers.set(permit, Some(callers)).await?;
        Ok(Json(accepted.into_inner().into()))
    }

    /// Accept delegations from every caller again.
    #[oai(
        path = "/callees/me/callers",
        method = "delete",
        operation_id = "removeAcceptedCallers"
    )]
    async fn remove(&self, Gate(permit): Gate<act::UseDelegations>) -> Result<RemovedResponse, Problem> {
        self.0.ledger.accept_callers.set(permit, None).await?.into_inner();
        Ok(RemovedResponse::Done)
    }
}
