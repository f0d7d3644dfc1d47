//! Only verified credentials become a principal with rights.

fn main() {
    let _ = auth::Principal { who: todo() };
}

fn todo<T>() -> T {
    panic!()
}
