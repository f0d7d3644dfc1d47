//! `hallmark database`: the roles of a configured database.

use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use clap::Args;
use postgres_adapter::{
    APPLICATION_ROLE, Login, PoolOptions, Roles, apply_roles, connect, migrate_for, role_powers,
    role_statements, who_owns,
};
use sqlx::PgPool;
use url::Url;
use uuid::Uuid;

use crate::config::Config;
use crate::output;

/// How long a command waits for the database.
const PATIENCE: Duration = Duration::from_secs(15);
/// How long it waits while a server migrates.
const MIGRATE_PATIENCE: Duration = Duration::from_secs(60);

/// Print the SQL that makes a database role for the server, which owns nothing; with --apply, run it.
#[derive(Debug, Args)]
pub(crate) struct DatabaseRoles {
    /// Name of the role that the server works with.
    #[arg(long, default_value = APPLICATION_ROLE)]
    application: String,
    /// Hand the database and its tables over to this role, which is created if it does not exist. Without it, the present
    /// owner keeps them.
    #[arg(long)]
    owner: Option<String>,
    /// Run the SQL, migrate, and print the new value of `database.url`.
    #[arg(long)]
    apply: bool,
}

/// Opens a pool as the owner: the role of `database.owner_url`, else that of `database.url`.
async fn owners_pool(config: &Config) -> Result<(PgPool, String)> {
    let url = match (&config.database_owner_url, &config.database_url) {
        (Some(url), _) | (None, Some(url)) => url.reveal().to_owned(),
        (None, None) => {
            bail!("there is no database.url: the server makes the roles of its embedded PostgreSQL itself")
        }
    };
    let pool = pool(url.clone()).await?;
    Ok((pool, url))
}

async fn pool(url: String) -> Result<PgPool> {
    let options = PoolOptions {
        url,
        max_connections: 2,
        acquire_timeout: PATIENCE,
    };
    connect(&options).await.context("cannot open the database")
}

/// Returns the URL with another user and password.
fn url_of(url: &str, role: &str, password: &str) -> Result<String> {
    let mut url: Url = url.parse().context("the URL of the database")?;
    let set = url
        .set_username(role)
        .and_then(|()| url.set_password(Some(password)));
    if set.is_err() {
        bail!("the URL of the database has no place for a user");
    }
    Ok(url.into())
}

impl DatabaseRoles {
    pub(crate) async fn run(&self, config: &Config) -> Result<()> {
        let (owners, url) = owners_pool(config).await?;
        let mut session = owners
            .acquire()
            .await
            .context("cannot open the database")?
            .detach();
        let (role, database, owner) = who_owns(&mut session).await?;
        let owner = self.owner.as_ref().unwrap_or(&owner);
        if *owner == self.application {
            bail!(
                "--application: {owner} owns the tables; the server needs another role, which owns nothing"
            );
        }
        if self.apply {
            drop(session);
            return self.apply(&owners, &url).await;
        }
        let roles = Roles {
            owner: self.owner.as_deref().map(without_password),
            application: without_password(&self.application),
        };
        let statements = role_statements(&mut session, roles).await?;
        let mut text = format!(
            "-- Two roles for the database {database}: {owner} owns the tables and migrates, {application} is the server's.\n\
             -- Run this with psql in that database, as a superuser or as {role} if it may create roles.\n",
            application = self.application
        );
        for statement in statements {
            text.push_str(&statement);
            text.push_str(";\n");
        }
        text.push_str("-- Choose passwords of new roles:\n");
        for role in self.owner.iter().chain([&self.application]) {
            text.push_str(&format!("\\password {role}\n"));
        }
        text.push_str(&format!(
            "-- Then set database.url to the URL of {application}, and database.owner_url to that of {owner}.\n\
             -- Each `hallmark migrate`, and each start with database.owner_url, runs this as {owner}:\n\
             --   select grant_application_role('{application}');\n",
            application = self.application
        ));
        output::print(&text)
    }

    async fn apply(&self, owners: &PgPool, url: &str) -> Result<()> {
        let (application, owner) = (password(), password());
        let roles = Roles {
            owner: self.owner.as_deref().map(|role| Login {
                role,
                password: Some(&owner),
            }),
            application: Login {
                role: &self.application,
                password: Some(&application),
            },
        };
        apply_roles(url, roles).await.context(
            "cannot make the roles; `hallmark database roles` without --apply prints the SQL for a superuser",
        )?;
        migrate_for(owners, Some(&self.application), MIGRATE_PATIENCE)
            .await
            .context("cannot migrate the database")?;
        let served = url_of(url, &self.application, &application)?;
        let owned = match &self.owner {
            Some(role) => url_of(url, role, &owner)?,
            None => url.to_owned(),
        };
        output::print(&format!(
            "database.url = {served:?}\ndatabase.owner_url = {owned:?}\n"
        ))
    }
}

/// Returns a role whose password is not changed.
const fn without_password(role: &str) -> Login<'_> {
    Login { role, password: None }
}

/// Returns a password of letters and digits.
fn password() -> String {
    format!("{}{}", Uuid::new_v4().simple(), Uuid::new_v4().simple())
}

/// Prints what the role of `database.url` can do beyond what a server needs; fails if that is anything.
pub(crate) async fn check(config: &Config) -> Result<()> {
    let Some(url) = &config.database_url else {
        bail!("there is no database.url: the server makes the roles of its embedded PostgreSQL itself");
    };
    let found = role_powers(&pool(url.reveal().to_owned()).await?).await?;
    if found.powers.is_empty() {
        return output::print(&format!("the role {} cannot switch a guard off\n", found.role));
    }
    let mut text = String::new();
    for power in &found.powers {
        text.push_str(&format!("the role {} {power}\n", found.role));
    }
    output::print(&text)?;
    bail!("the role {} can do more than a server needs", found.role)
}
