//! A worker of the ledger storm, as a process that can be killed.

fn main() {
    blackbox::ledger_worker::run();
}
