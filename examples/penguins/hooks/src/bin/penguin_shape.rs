//! The hook `penguin_shape`; see [`penguins_hooks::shape`].

fn main() -> std::process::ExitCode {
    hook_sdk::run(penguins_hooks::shape::penguin_shape)
}
