//! The same types, come by honestly.

use auth::act::DeployConvention;
use auth::{HookGrant, Permit, Principal};
use ports::{Committed, Store, UnitOfWork};

#[expect(dead_code, reason = "it is compiled, not run")]
fn of_a_principal(principal: Principal) -> Option<Permit<DeployConvention>> {
    principal.permit().ok()
}

#[expect(dead_code, reason = "it is compiled, not run")]
fn of_a_grant(grant: &HookGrant) -> &domain::HookName {
    grant.hook()
}

#[expect(dead_code, reason = "it is compiled, not run")]
async fn of_a_commit(store: &dyn Store) -> Result<Committed<i32>, ports::StoreError> {
    UnitOfWork::begin(store).await?.commit(7).await
}

fn main() {
    let anonymous = Principal::anonymous();
    assert!(of_a_principal(anonymous).is_none());
}
