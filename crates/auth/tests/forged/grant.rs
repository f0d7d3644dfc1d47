//! Only a permit makes a grant.

fn main() {
    let _ = auth::HookGrant {
        hook: "shape".parse().unwrap(),
        actor: domain::Actor::System,
    };
}
