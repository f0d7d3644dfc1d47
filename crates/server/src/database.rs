//! The database: a configured one, or a private PostgreSQL in the data directory.

use std::time::Duration;

use anyhow::Context as _;
use pg_cluster::{Cluster, Options};
use postgres_adapter::{PoolOptions, connect, migrate};
use sqlx::PgPool;

use crate::config::Config;
use crate::home::Home;

/// How long a server waits while another one migrates.
const MIGRATE_PATIENCE: Duration = Duration::from_secs(600);

/// An open, migrated database.
pub(crate) struct Database {
    pub(crate) pool: PgPool,
    /// The private PostgreSQL, if the server runs one.
    pub(crate) cluster: Option<Cluster>,
}

impl Database {
    /// Opens the database and applies its migrations.
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
                .context("cannot start the embedded PostgreSQL")?;
                cluster
                    .ensure_database("hallmark")
                    .await
                    .context("cannot create the database")?;
                tracing::info!(directory = %cluster.directory().display(), version = cluster.major_version(), "embedded PostgreSQL is running");
                (cluster.url("hallmark"), Some(cluster))
            }
        };
        let options = PoolOptions {
            url,
            max_connections: config.max_connections,
            acquire_timeout: Duration::from_secs(15),
        };
        let pool = connect(&options).await.context(match &cluster {
            Some(_) => "the embedded PostgreSQL",
            None => "database.url",
        })?;
        let applied = migrate(&pool, MIGRATE_PATIENCE)
            .await
            .context("cannot migrate the database")?;
        tracing::info!(migrations = applied, "database is up to date");
        Ok(Self { pool, cluster })
    }

    /// Closes the pool and stops the private PostgreSQL.
    pub(crate) async fn close(self) -> anyhow::Result<()> {
        // A connection that is never returned must not block the shutdown.
        let _ = tokio::time::timeout(Duration::from_secs(10), self.pool.close()).await;
        if let Some(cluster) = self.cluster {
            cluster
                .stop()
                .await
                .context("cannot stop the embedded PostgreSQL")?;
        }
        Ok(())
    }
}
