//! `pg-cluster DIR`: a private PostgreSQL in a directory while this program runs. Prints the URL of its `postgres`
//! database.

use std::io::Write as _;

use pg_cluster::{Cluster, Error, Options};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let directory = std::env::args_os().nth(1).ok_or("usage: pg-cluster DIR")?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let mut cluster = Cluster::start(Options::new(directory)).await?;
        let mut out = std::io::stdout();
        writeln!(out, "{}", cluster.url("postgres"))
            .and_then(|()| out.flush())
            .map_err(|source| Error::Io {
                action: "print to",
                path: "standard output".into(),
                source,
            })?;
        cluster.wait().await?;
        Ok(())
    })
}
