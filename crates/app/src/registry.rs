//! Conventions, schemas, hooks and their releases.

use std::sync::Arc;

use crate::port_set::Ports;
use crate::registry::image_check::Images;

pub mod create_release;
pub mod deploy;
pub(crate) mod hook_limiter;
pub mod image_check;
pub(crate) mod locked_hook;
pub mod read_conventions;
pub mod read_hooks;
pub mod read_schemas;
pub mod register_schema;
pub mod set_live;
pub mod unyank_release;
pub mod yank_release;

pub use create_release::CreateRelease;
pub use deploy::Deploy;
pub use image_check::ImageCheck;
pub use read_conventions::ReadConventions;
pub use read_hooks::ReadHooks;
pub use read_schemas::ReadSchemas;
pub use register_schema::RegisterSchema;
pub use set_live::SetLive;
pub use unyank_release::UnyankRelease;
pub use yank_release::YankRelease;

/// The use cases of conventions, schemas, hooks and releases.
#[expect(missing_docs, reason = "each field is named after its use case")]
pub struct Registry {
    pub deploy: Deploy,
    pub create_release: CreateRelease,
    pub set_live: SetLive,
    pub yank_release: YankRelease,
    pub unyank_release: UnyankRelease,
    pub register_schema: RegisterSchema,
    pub read_conventions: ReadConventions,
    pub read_hooks: ReadHooks,
    pub read_schemas: ReadSchemas,
}

impl Registry {
    /// Creates the use cases over these adapters.
    pub fn new(ports: &Ports) -> Self {
        let images = Arc::new(Images::new(ports.runner.clone()));
        Self {
            deploy: Deploy::new(
                ports.store.clone(),
                ports.ids.clone(),
                ports.queue.clone(),
                Arc::clone(&images),
            ),
            create_release: CreateRelease::new(ports.store.clone(), ports.ids.clone(), images),
            set_live: SetLive::new(ports.store.clone()),
            yank_release: YankRelease::new(ports.store.clone()),
            unyank_release: UnyankRelease::new(ports.store.clone()),
            register_schema: RegisterSchema::new(ports.store.clone()),
            read_conventions: ReadConventions::new(ports.registry.clone()),
            read_hooks: ReadHooks::new(ports.registry.clone()),
            read_schemas: ReadSchemas::new(ports.registry.clone()),
        }
    }
}
