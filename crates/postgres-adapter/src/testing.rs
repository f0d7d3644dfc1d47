//! Throwaway databases for tests: one cluster per run, one migrated template, one database per test.

use std::time::Duration;

use domain::NodeDomain;
use pg_cluster::{Cluster, Options};
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection, PgPool};
use tokio::sync::OnceCell;

use crate::PgStore;

/// The variable with the URL of a running test server (`cargo xtask ci` sets it). If unset, each test program starts
/// its own.
pub const SERVER: &str = "HALLMARK_TEST_DATABASE_URL";

/// The application's role of a test database, which owns nothing, and its password.
const APPLICATION: &str = "hallmark_test_app";
const PASSWORD: &str = "application";

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// The server that the tests of this process share. Its supervisor stops it when the process ends.
static OWN: OnceCell<Cluster> = OnceCell::const_new();

/// Returns the URL of a database on the tests' server.
async fn url(database: &str) -> Result<String, Failure> {
    if let Ok(url) = std::env::var(SERVER) {
        let (base, query) = url
            .split_once('?')
            .map_or((url.as_str(), String::new()), |(b, q)| (b, format!("?{q}")));
        let (server, _) = base
            .rsplit_once('/')
            .ok_or("the test server's URL has no database")?;
        return Ok(format!("{server}/{database}{query}"));
    }
    #[cfg(feature = "container")]
    if std::env::var("HALLMARK_TEST_POSTGRES").is_ok_and(|kind| kind == "container") {
        return container::url(database).await;
    }
    let start = || async {
        Cluster::start(Options {
            max_connections: 400,
            ..Options::temporary()?
        })
        .await
    };
    Ok(OWN.get_or_try_init(start).await?.url(database))
}

/// PostgreSQL in a container.
#[cfg(feature = "container")]
mod container {
    use testcontainers::core::wait::LogWaitStrategy;
    use testcontainers::core::{IntoContainerPort as _, WaitFor};
    use testcontainers::runners::AsyncRunner as _;
    use testcontainers::{ContainerAsync, GenericImage, ImageExt as _};
    use tokio::sync::OnceCell;

    static CONTAINER: OnceCell<ContainerAsync<GenericImage>> = OnceCell::const_new();

    /// Returns the URL of a database on the container that the tests of this process share.
    pub(super) async fn url(database: &str) -> Result<String, super::Failure> {
        let start = || async {
            // The image starts the server once to initialise it and once to serve.
            let ready =
                LogWaitStrategy::stderr("database system is ready to accept connections").with_times(2);
            let image = GenericImage::new("postgres", "15-alpine")
                .with_exposed_port(5432.tcp())
                .with_wait_for(WaitFor::Log(ready));
            image
                .with_env_var("POSTGRES_PASSWORD", "test")
                .with_cmd(["postgres", "-c", "max_connections=400", "-c", "fsync=off"])
                .start()
                .await
        };
        let container = CONTAINER.get_or_try_init(start).await?;
        let (host, port) = (
            container.get_host().await?,
            container.get_host_port_ipv4(5432).await?,
        );
        Ok(format!("postgres://postgres:test@{host}:{port}/{database}"))
    }
}

/// A new, migrated, empty database.
#[derive(Debug)]
pub struct TestDatabase {
    /// Its URL.
    pub url: String,
    /// A pool on it.
    pub pool: PgPool,
}

impl TestDatabase {
    /// Creates one. The template is migrated once per server and set of migrations, under a lock.
    pub async fn new() -> Result<Self, Failure> {
        let mut admin = PgConnection::connect(&url("postgres").await?).await?;
        let template = format!("hallmark_template_{}_roles", fingerprint());
        admin.execute("select pg_advisory_lock(1)").await?;
        let there: bool = sqlx_exists(&mut admin, &template).await?;
        if !there {
            let fresh = format!("{template}_new");
            admin
                .execute(AssertSqlSafe(format!("drop database if exists {fresh}")))
                .await?;
            admin
                .execute(AssertSqlSafe(format!("create database {fresh}")))
                .await?;
            let pool = PgPoolOptions::new()
                .max_connections(2)
                .connect(&url(&fresh).await?)
                .await?;
            // Roles belong to the server, and rights to the database: the copies of the template have them.
            let login = crate::Login {
                role: APPLICATION,
                password: Some(PASSWORD),
            };
            let roles = crate::Roles {
                owner: None,
                application: login,
            };
            crate::apply_roles(&url(&fresh).await?, roles).await?;
            crate::migrate_for(&pool, Some(APPLICATION), Duration::from_secs(60)).await?;
            pool.close().await;
            admin
                .execute(AssertSqlSafe(format!(
                    "alter database {fresh} rename to {template}"
                )))
                .await?;
        }
        admin.execute("select pg_advisory_unlock(1)").await?;
        Self::of(admin, &template).await
    }

    /// Creates one that has the migrations up to a version only, to try the later ones on it.
    pub async fn at(version: i64) -> Result<Self, Failure> {
        let admin = PgConnection::connect(&url("postgres").await?).await?;
        let database = Self::of(admin, "template0").await?;
        sqlx::migrate!("../../migrations")
            .run_to(version, &database.pool)
            .await?;
        Ok(database)
    }

    /// Copies a template.
    async fn of(mut admin: PgConnection, template: &str) -> Result<Self, Failure> {
        let name = format!("test_{}", uuid::Uuid::new_v4().simple());
        admin
            .execute(AssertSqlSafe(format!(
                "create database {name} template {template}"
            )))
            .await?;
        admin.close().await?;
        let url = url(&name).await?;
        let pool = PgPoolOptions::new()
            .max_connections(10)
            .connect_with(url.parse::<PgConnectOptions>()?)
            .await?;
        Ok(Self { url, pool })
    }

    /// Creates a store on it.
    pub fn store(&self) -> PgStore {
        store_on(&self.pool)
    }

    /// Returns the URL of it for the application's role, which owns nothing and has the rights that a server needs.
    pub fn application_url(&self) -> Result<String, Failure> {
        application_url(&self.url)
    }

    /// Opens a pool on it as the application's role.
    pub async fn application(&self) -> Result<PgPool, Failure> {
        let options = self.application_url()?.parse::<PgConnectOptions>()?;
        Ok(PgPoolOptions::new()
            .max_connections(10)
            .connect_with(options)
            .await?)
    }
}

/// Returns the URL of a test database for the application's role, given its URL.
pub fn application_url(url: &str) -> Result<String, Failure> {
    let (scheme, rest) = url.split_once("://").ok_or("a URL without a scheme")?;
    let (_, place) = rest.split_once('@').ok_or("a URL without a user")?;
    Ok(format!("{scheme}://{APPLICATION}:{PASSWORD}@{place}"))
}

/// Creates a store on this pool.
pub fn store_on(pool: &PgPool) -> PgStore {
    let node: Result<NodeDomain, _> = "localhost".parse();
    match node {
        Ok(node) => PgStore::new(pool.clone(), node),
        Err(_) => unreachable!("localhost is a domain"),
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "queries the server, not a migrated database"
)]
async fn sqlx_exists(admin: &mut PgConnection, name: &str) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar("select exists (select 1 from pg_database where datname = $1)")
        .bind(name)
        .fetch_one(admin)
        .await
}

/// Hashes the migrations: another set of migrations is another template.
fn fingerprint() -> String {
    let migrator = sqlx::migrate!("../../migrations");
    let mut sum: u64 = 0;
    for migration in migrator.iter() {
        for byte in migration.checksum.iter() {
            sum = sum.wrapping_mul(1_099_511_628_211).wrapping_add(u64::from(*byte));
        }
    }
    format!("{sum:x}")
}
