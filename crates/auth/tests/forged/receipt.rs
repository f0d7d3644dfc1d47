//! Only a commit makes a receipt.

fn main() {
    let _ = ports::Committed(7);
}
