//! Operations on depositions.

use std::sync::Arc;

use crate::services::Services;

pub(crate) mod curation;
pub(crate) mod depositions;
pub(crate) mod sheet;

/// The API structs of this context.
pub(crate) type Apis = (depositions::DepositionsApi, curation::CurationApi);

/// Creates the API structs of this context over `services`.
pub(crate) fn apis(services: &Arc<Services>) -> Apis {
    (
        depositions::DepositionsApi(Arc::clone(services)),
        curation::CurationApi(Arc::clone(services)),
    )
}
