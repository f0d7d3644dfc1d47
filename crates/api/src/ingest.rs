//! Operations on ingest runs.

use std::sync::Arc;

use crate::services::Services;

pub(crate) mod ingest_detail;
pub(crate) mod ingestions;
pub(crate) mod wire;

/// The operations of this context.
pub(crate) type Apis = (ingestions::IngestionsApi, ingest_detail::IngestDetailApi);

/// The operations of this context, over these use cases.
pub(crate) fn apis(services: &Arc<Services>) -> Apis {
    (
        ingestions::IngestionsApi(Arc::clone(services)),
        ingest_detail::IngestDetailApi(Arc::clone(services)),
    )
}
