//! The database: a configured one, or a private PostgreSQL in the data directory.
//!
//! A server works with a role that owns nothing and cannot switch a guard off (docs/adr/0024). The private PostgreSQL has
//! three: its superuser, which makes the other two and does nothing else, the owner, which migrates, and the application's.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use pg_cluster::{Cluster, Options};
use postgres_adapter::{
    APPLICATION_ROLE, Login, PoolOptions, RolePowers, Roles, apply_roles, connect, migrate, migrate_for,
    role_powers,
};
use runner_process::UidRange;
use sqlx::PgPool;
use uuid::Uuid;

use crate::config::Config;
use crate::home::Home;

/// How long a request waits for a connection.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(15);

/// How long a server waits while another one migrates.
const MIGRATE_PATIENCE: Duration = Duration::from_secs(600);

/// The name of the database in the private PostgreSQL.
const NAME: &str = "hallmark";
/// The role that owns the tables there.
const OWNER_ROLE: &str = "hallmark_owner";
/// The connections for migrating: one migrates, and one beside it checks the way to the database.
const OWNER_CONNECTIONS: u32 = 2;
/// The first and the longest delay before a private PostgreSQL that ended is started again.
const DELAYS: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(10));
/// How long it must have run for the delays to begin anew.
const RAN_WELL: Duration = Duration::from_secs(60);
/// What PostgreSQL says when there is no room. Its own log may have no room for it.
const NO_ROOM: &str = "No space left on device";
/// PostgreSQL ends if it needs the next part of its write-ahead log, of 16 MiB, and there is less room, in bytes.
const MIN_ROOM: u64 = 20 * 1024 * 1024;

/// Returns how the private PostgreSQL is started.
fn options(config: &Config, home: &Home) -> Options {
    let hooks = config.runner.uids.unwrap_or_else(UidRange::of_this_machine);
    Options {
        // A hook of the same user could do everything with it.
        taken_uids: hooks.base..hooks.base.saturating_add(hooks.count),
        max_connections: config.max_connections + 20,
        ..Options::new(home.join("postgres"))
    }
}

/// How a database is reached.
struct Access {
    url: String,
    /// The URL of the role that owns the tables, if it is another one.
    owner_url: Option<String>,
    /// The private PostgreSQL, if the server runs one.
    cluster: Option<Cluster>,
}

impl Access {
    async fn of(config: &Config, home: &Home) -> anyhow::Result<Self> {
        if let Some(url) = &config.database_url {
            return Ok(Self {
                url: url.reveal().to_owned(),
                owner_url: config
                    .database_owner_url
                    .as_ref()
                    .map(|url| url.reveal().to_owned()),
                cluster: None,
            });
        }
        let cluster = Cluster::start(options(config, home))
            .await
            .context("cannot start the embedded PostgreSQL")?;
        cluster
            .ensure_database(NAME)
            .await
            .context("cannot create the database")?;
        tracing::info!(directory = %cluster.directory().display(), version = cluster.major_version(), "embedded PostgreSQL is running");
        // No file has these passwords: each start makes new ones. Only this process uses the roles.
        let (owner, application) = (password(), password());
        let roles = Roles {
            owner: Some(Login {
                role: OWNER_ROLE,
                password: Some(&owner),
            }),
            application: Login {
                role: APPLICATION_ROLE,
                password: Some(&application),
            },
        };
        // The tables of a server that worked as the superuser become the owner's.
        apply_roles(&cluster.url(NAME), roles)
            .await
            .context("cannot make the roles of the embedded database")?;
        Ok(Self {
            url: cluster.url_as(APPLICATION_ROLE, &application, NAME),
            owner_url: Some(cluster.url_as(OWNER_ROLE, &owner, NAME)),
            cluster: Some(cluster),
        })
    }

    /// Returns what its faults are about.
    fn place(&self) -> &'static str {
        match &self.cluster {
            Some(_) => "the embedded PostgreSQL",
            None => "database.url",
        }
    }
}

/// Returns a password of letters and digits.
fn password() -> String {
    format!("{}{}", Uuid::new_v4().simple(), Uuid::new_v4().simple())
}

/// Migrates as the owner, and gives the application's role its rights.
async fn migrate_as_owner(url: String, application: &str) -> anyhow::Result<()> {
    let options = PoolOptions {
        url,
        max_connections: OWNER_CONNECTIONS,
        acquire_timeout: ACQUIRE_TIMEOUT,
    };
    let owner = connect(&options).await.context("database.owner_url")?;
    let migrated = migrate_for(&owner, Some(application), MIGRATE_PATIENCE).await;
    owner.close().await;
    migrated.context("cannot migrate the database as database.owner_url")?;
    Ok(())
}

/// Says what the role of the server could still do.
fn warn_of(found: &RolePowers) {
    if !found.powers.is_empty() {
        tracing::warn!(
            role = found.role,
            "the database role of this server can do more than it needs: it {}; \
             `hallmark database roles` makes a role that cannot switch off what keeps provenance from changing",
            found.powers.join("; it ")
        );
    }
}

/// An open, migrated database.
pub(crate) struct Database {
    pub(crate) pool: PgPool,
    /// The private PostgreSQL, if the server runs one.
    pub(crate) cluster: Option<Cluster>,
    /// Whether the role of the server could switch guards off.
    pub(crate) is_overpowered: bool,
}

impl Database {
    /// Opens the database and applies its migrations.
    pub(crate) async fn open(config: &Config, home: &Home) -> anyhow::Result<Self> {
        let access = Access::of(config, home).await?;
        let place = access.place();
        let pool_options = PoolOptions {
            url: access.url,
            max_connections: config.max_connections,
            acquire_timeout: ACQUIRE_TIMEOUT,
        };
        let pool = connect(&pool_options).await.context(place)?;
        let found = role_powers(&pool)
            .await
            .context("cannot read what the role of database.url may do")?;
        let has_owner = access.owner_url.is_some();
        if let Some(owner_url) = access.owner_url {
            migrate_as_owner(owner_url, &found.role).await?;
        }
        // After the owner, this only checks that nothing is pending: that both URLs lead to one database.
        let applied = migrate(&pool, MIGRATE_PATIENCE).await.context(if has_owner {
            "the database of database.url is not the one that database.owner_url migrated"
        } else {
            "cannot migrate the database"
        })?;
        tracing::info!(migrations = applied, "database is up to date");
        // Migrations make tables, which the role may own.
        let found = role_powers(&pool)
            .await
            .context("cannot read what the role of database.url may do")?;
        warn_of(&found);
        Ok(Self {
            pool,
            cluster: access.cluster,
            is_overpowered: !found.powers.is_empty(),
        })
    }

    /// Keeps the private PostgreSQL running: when it ends by itself, it is started again until that succeeds, and
    /// requests are answered with 503 meanwhile. Returns why that is impossible; never if there is none.
    pub(crate) async fn keep_running(&mut self, config: &Config, home: &Home) -> String {
        let mut delay = DELAYS.0;
        loop {
            let Some(cluster) = &mut self.cluster else {
                return std::future::pending().await;
            };
            let begun = Instant::now();
            let ended = match cluster.wait().await {
                Ok(status) => status.to_string(),
                Err(error) => error.to_string(),
            };
            if begun.elapsed() > RAN_WELL {
                delay = DELAYS.0;
            }
            let (url, last_words) = (cluster.url(NAME), cluster.log_tail());
            remember_if_full(home, &last_words);
            tracing::error!(
                ended,
                last_words,
                "the embedded PostgreSQL ended unexpectedly; it is started again"
            );
            if let Some(old) = self.cluster.take()
                && let Err(error) = old.stop().await
            {
                return error.to_string();
            }
            let cluster = loop {
                tokio::time::sleep(delay).await;
                delay = (delay * 2).min(DELAYS.1);
                match Cluster::start(options(config, home)).await {
                    Ok(cluster) => break cluster,
                    Err(error) => {
                        remember_if_full(home, &error.to_string());
                        tracing::error!(
                            error = &error as &dyn std::error::Error,
                            "the embedded PostgreSQL does not start; that is tried again"
                        );
                    }
                }
            };
            let is_elsewhere = cluster.url(NAME) != url;
            self.cluster = Some(cluster);
            if is_elsewhere {
                return "it has another address now, because the path of its socket is too long".to_owned();
            }
            tracing::info!("the embedded PostgreSQL is running again");
        }
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

/// Remembers that PostgreSQL ended for lack of room, so that answers and `/ready` say so.
fn remember_if_full(home: &Home, words: &str) {
    let has_little = rustix::fs::statvfs(home.path())
        .is_ok_and(|disk| disk.f_blocks > 0 && disk.f_bavail.saturating_mul(disk.f_frsize) < MIN_ROOM);
    if has_little || words.contains(NO_ROOM) {
        postgres_adapter::disk_is_full();
    }
}
