//! Operations on ingest runs.

use std::sync::Arc;

use crate::services::Services;

pub(crate) mod ingest_detail;
pub(crate) mod ingestions;
pub(crate) mod push;
pub(crate) mod refusals;
pub(crate) mod wire;
pub(crate) mod withdrawals;

/// The API structs of this context.
pub(crate) type Apis = (
    ingestions::IngestionsApi,
    ingest_detail::IngestDetailApi,
    withdrawals::IngestWithdrawalsApi,
);

/// Creates the API structs of this context over `services`.
pub(crate) fn apis(services: &Arc<Services>) -> Apis {
    (
        ingestions::IngestionsApi(Arc::clone(services)),
        ingest_detail::IngestDetailApi(Arc::clone(services)),
        withdrawals::IngestWithdrawalsApi(Arc::clone(services)),
    )
}
