//! The database: one that is given, or a private PostgreSQL in the data directory.

use std::time::Duration;

use anyhow::Context as _;
use pg_cluster::{Cluster, Options};
use postgres_adapter::{PoolOptions, connect, migrate};
use sqlx::PgPool;

use crate::config::Config;
use crate::home::Home;

/// How long a server waits for another that migrates.
const MIGRATE_PATIENCE: Duration = Duration::from_secs(600);

/// An open, migrated database.
pub(crate) struct Database {
    pub(crate) pool: PgPool,
    /// The private PostgreSQL, if it is ours.
    pub(crate) cluster: Option<Cluster>,
}

impl Database {
    /// Opens the database and brings it up to date.
    pub(crate) async fn open(config: &Config, home: &Home) -> anyhow::Result<Self> {
        let (url, cluster) = match &config.database_url {
            Some(url) => (url.reveal().to_owned(), None),
            None => {
                let max_connections = config.max_connections + 20;
                let cluster = Cluster::start(Options {
                    max_connections,
                    ..Options::new(home.join("postgres"))
                })
                .await
                .context("the embedded PostgreSQL could not start")?;
                cluster
                    .ensure_database("hallmark")
                    .await
                    .context("the database could not be made")?;
                tracing::info!(directory = %cluster.directory().display(), version = cluster.major_version(), "embedded PostgreSQL runs");
                (cluster.url("hallmark"), Some(cluster))
            }
        };
        let options = PoolOptions {
            url,
            max_connections: config.max_connections,
            acquire_timeout: Duration::from_secs(15),
        };
        let pool = connect(&options)
            .await
            .context("database.url: the database cannot be reached")?;
        let applied = migrate(&pool, MIGRATE_PATIENCE)
            .await
            .context("the database could not be brought up to date")?;
        tracing::info!(migrations = applied, "database is up to date");
        Ok(Self { pool, cluster })
    }

    /// Closes it.
    pub(crate) async fn close(self) -> anyhow::Result<()> {
        // A connection that does not come back must not keep the server from ending.
        let _ = tokio::time::timeout(Duration::from_secs(10), self.pool.close()).await;
        if let Some(cluster) = self.cluster {
            cluster
                .stop()
                .await
                .context("the embedded PostgreSQL did not stop")?;
        }
        Ok(())
    }
}
