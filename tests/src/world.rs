//! A database of a test's own, and servers on it.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use sha2::{Digest as _, Sha256};
use sqlx::{Connection as _, PgConnection, PgPool};
use tempfile::TempDir;

use crate::server::Server;

/// The workspace.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// The directory of the built binaries. `cargo xtask` builds them and sets `HALLMARK_TEST_BINARIES`; otherwise they are built, or found
/// up to date, once per process.
pub fn binaries() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| {
        if let Some(built) = std::env::var_os("HALLMARK_TEST_BINARIES") {
            return PathBuf::from(built);
        }
        let built = Command::new(env!("CARGO"))
            .current_dir(root())
            .args([
                "build",
                "--quiet",
                "--locked",
                "--package",
                "server",
                "--package",
                "penguins-hooks",
            ])
            .env("SQLX_OFFLINE", "true")
            .status()
            .unwrap();
        assert!(built.success());
        // .../target/debug/deps/main_job-0123
        std::env::current_exe()
            .unwrap()
            .parent()
            .unwrap()
            .parent()
            .unwrap()
            .to_owned()
    })
}

pub(crate) fn runtime() -> &'static tokio::runtime::Runtime {
    static RUNTIME: OnceLock<tokio::runtime::Runtime> = OnceLock::new();
    RUNTIME.get_or_init(|| {
        tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap()
    })
}

/// A database, and a directory that other users can get through.
pub struct World {
    pub url: String,
    pool: PgPool,
    pub home: TempDir,
}

impl World {
    pub fn start() -> Self {
        let database = runtime()
            .block_on(postgres_adapter::testing::TestDatabase::new())
            .unwrap();
        Self {
            url: database.url,
            pool: database.pool,
            home: open_directory(),
        }
    }

    /// On a database of another owner; creates it if it does not exist.
    pub fn at(url: &str) -> Self {
        let pool = runtime().block_on(async { PgPool::connect_lazy(url).unwrap() });
        Self {
            url: url.to_owned(),
            pool,
            home: open_directory(),
        }
    }

    /// A server in dev mode on this world's database; `name` is its data directory.
    pub fn serve(&self, name: &str) -> Server {
        self.serve_with(name, &[])
    }

    pub fn serve_with(&self, name: &str, more: &[(&str, &str)]) -> Server {
        self.with_environment(more, |all| Server::start(&self.home.path().join(name), all))
    }

    /// A server that prints to these streams.
    pub fn serve_printing(&self, name: &str, out: impl Into<Stdio>, err: impl Into<Stdio>) -> Server {
        let data = self.home.path().join(name);
        self.with_environment(&[], |all| Server::start_printing(&data, all, out, err))
    }

    fn with_environment<T>(&self, more: &[(&str, &str)], run: impl FnOnce(&[(&str, &str)]) -> T) -> T {
        let files = self.home.path().join("files");
        let mut all = vec![
            ("HALLMARK_STORAGE", files.to_str().unwrap()),
            ("HALLMARK_DEV_MODE", "true"),
            ("DATABASE_URL", self.url.as_str()),
            ("HALLMARK_WORKER__POLL_SECONDS", "0.2"),
            ("HALLMARK_HTTP__TABLE_POSTS_PER_MINUTE", "0"),
            ("HALLMARK_LIMITS__LEDGER_PER_MINUTE", "0"),
            // Many tests kill servers, and no work is at fault.
            ("HALLMARK_WORKER__MAX_CRASHES", "1000"),
            // What ingesters ask is on this machine, and trying out another network takes its time.
            ("HALLMARK_RUNNER__LOCAL_INGESTER_NETWORK", "host"),
        ];
        // `cargo xtask ci` runs the tests of hooks a second time, without bubblewrap.
        let sandbox = std::env::var("HALLMARK_TEST_SANDBOX").ok();
        all.extend(
            sandbox
                .as_deref()
                .map(|sandbox| ("HALLMARK_RUNNER__SANDBOX", sandbox)),
        );
        all.extend(more);
        run(&all)
    }

    /// The one text that a query gives.
    #[expect(
        clippy::disallowed_methods,
        reason = "looks behind the API, to prove what is there or not"
    )]
    pub fn query(&self, statement: &'static str) -> String {
        runtime()
            .block_on(sqlx::query_scalar(statement).fetch_one(&self.pool))
            .unwrap()
    }

    /// All that the database holds, in one text that is another one as soon as a transaction has left something behind: the rows of
    /// every table, and of the catalogue which version of each row there is, by who wrote it and where it lies. Not where sequences
    /// stand, which are no part of any transaction, nor what a vacuum finds out.
    #[expect(
        clippy::disallowed_methods,
        reason = "looks behind the API, to prove what is there or not"
    )]
    pub fn state(&self) -> String {
        // A digest of each table, in one statement, which is one snapshot.
        let digests = "select string_agg(format(case when relnamespace = 'pg_catalog'::regnamespace
                   then 'select %L || md5(coalesce(string_agg(xmin::text || ctid::text, '','' order by ctid), '''')) as part from only %s'
                   else 'select %L || md5(coalesce(string_agg(whole::text, '','' order by whole::text), '''')) as part from only %s whole' end,
                 oid::regclass::text || ' ', oid::regclass), ' union all ')
               from pg_class
               where relkind = 'r' and not relisshared and relpersistence <> 't' and relname not in ('pg_statistic', 'pg_statistic_ext_data')";
        let digests: String = runtime()
            .block_on(sqlx::query_scalar(digests).fetch_one(&self.pool))
            .unwrap();
        let statement = format!("select string_agg(part, E'\\n' order by part) from ({digests}) parts");
        runtime()
            .block_on(sqlx::query_scalar(sqlx::AssertSqlSafe(statement)).fetch_one(&self.pool))
            .unwrap()
    }

    /// The type of a column in PostgreSQL.
    #[expect(clippy::disallowed_methods, reason = "looks at the catalogue")]
    pub fn column_type(&self, table: &str, column: &str) -> String {
        let statement = "select format_type(atttypid, null) from pg_attribute where attrelid = $1::regclass and attname = $2 and attnum > 0";
        let query = sqlx::query_scalar(statement).bind(table).bind(column);
        runtime()
            .block_on(query.fetch_one(&self.pool))
            .unwrap_or_else(|error| panic!("{table}.{column}: {error}"))
    }

    /// Does something behind the API's back.
    pub fn execute(&self, statement: &str) {
        runtime()
            .block_on(sqlx::raw_sql(sqlx::AssertSqlSafe(statement.to_owned())).execute(&self.pool))
            .unwrap();
    }

    /// Does something behind the API's back, if the database lets it.
    pub fn try_execute(&self, statement: &'static str) -> bool {
        runtime()
            .block_on(sqlx::raw_sql(statement).execute(&self.pool))
            .is_ok()
    }

    /// The URL for the application's role, which owns nothing.
    pub fn application_url(&self) -> String {
        postgres_adapter::testing::application_url(&self.url).unwrap()
    }

    /// Sends plain statements as the application's role; gives the SQLSTATE of what is refused.
    pub fn as_application(&self, statements: &str) -> Result<(), String> {
        runtime().block_on(async {
            let mut session = PgConnection::connect(&self.application_url()).await.unwrap();
            let done = sqlx::raw_sql(sqlx::AssertSqlSafe(statements.to_owned()))
                .execute(&mut session)
                .await;
            session.close().await.unwrap();
            match done {
                Ok(_) => Ok(()),
                Err(error) => Err(error
                    .as_database_error()
                    .and_then(|e| e.code().map(String::from))
                    .unwrap_or_else(|| panic!("{statements}: {error}"))),
            }
        })
    }

    /// A transaction beside the servers', to be in their way.
    #[expect(clippy::disallowed_methods, reason = "no unit of work of ours; a test's own")]
    pub fn transaction(&self) -> Aside {
        Aside(runtime().block_on(self.pool.begin()).unwrap())
    }

    /// A hook that is a shell script; gives its path.
    pub fn script(&self, name: &str, body: &str) -> PathBuf {
        let path = self.home.path().join(name);
        std::fs::write(&path, format!("#!/bin/sh\n{body}\n")).unwrap();
        path
    }
}

/// A transaction of a test's own.
pub struct Aside(sqlx::Transaction<'static, sqlx::Postgres>);

impl Aside {
    #[expect(clippy::disallowed_methods, reason = "a statement of a test's own")]
    pub fn execute(&mut self, statement: &'static str) {
        runtime()
            .block_on(sqlx::query(statement).execute(&mut *self.0))
            .unwrap();
    }

    pub fn commit(self) {
        runtime().block_on(self.0.commit()).unwrap();
    }
}

pub fn open_directory() -> TempDir {
    tempfile::Builder::new()
        .prefix("hallmark-test-")
        .permissions(Permissions::from_mode(0o711))
        .tempdir()
        .unwrap()
}

pub fn digest(file: &Path) -> String {
    let hex: String = Sha256::digest(std::fs::read(file).unwrap())
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    format!("sha256:{hex}")
}
