//! Operations on depositions.

use std::sync::Arc;

use crate::services::Services;

pub(crate) mod curation;
pub(crate) mod depositions;
pub(crate) mod sheet;

/// The operations of this context.
pub(crate) type Apis = (depositions::DepositionsApi, curation::CurationApi);

/// The operations of this context, over these use cases.
pub(crate) fn apis(services: &Arc<Services>) -> Apis {
    (
        depositions::DepositionsApi(Arc::clone(services)),
        curation::CurationApi(Arc::clone(services)),
    )
}
