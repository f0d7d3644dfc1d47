//! Only a principal makes a permit.

fn main() {
    let _ = auth::Permit::<auth::act::DeployConvention> {
        principal: auth::Principal::anonymous(),
        _action: std::marker::PhantomData,
    };
}
