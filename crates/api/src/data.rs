//! Operations that read tables, provenance and the activity log, and that withdraw records.

use std::sync::Arc;

use crate::services::Services;

pub(crate) mod activity;
pub(crate) mod catalogue;
pub(crate) mod export;
pub(crate) mod exports;
pub(crate) mod manifest;
pub(crate) mod recall;
pub(crate) mod record_provenance;
pub(crate) mod table;
pub(crate) mod trace;
pub(crate) mod withdrawals;

/// The API structs of this context.
pub(crate) type Apis = (
    catalogue::DataApi,
    exports::ExportsApi,
    recall::RecallApi,
    activity::ActivityApi,
    withdrawals::WithdrawalsApi,
);

/// Creates the API structs of this context over `services`.
pub(crate) fn apis(services: &Arc<Services>) -> Apis {
    (
        catalogue::DataApi(Arc::clone(services)),
        exports::ExportsApi(Arc::clone(services)),
        recall::RecallApi(Arc::clone(services)),
        activity::ActivityApi(Arc::clone(services)),
        withdrawals::WithdrawalsApi(Arc::clone(services)),
    )
}
