//! The hook `check_penguin`; see [`penguins_hooks::check`].

fn main() -> std::process::ExitCode {
    hook_sdk::run(penguins_hooks::check::check_penguin)
}
