//! `hallmark serve` and `hallmark migrate`.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use app::Metrics;
use app::background::Pulse;
use app::identity::IssuerKeys;
use app::ingest::{FollowWithdrawals, ScheduleIngestions};
use app::memory::Memory;
use app::work::{
    Archive, ProcessBatch, ProcessSubmission, PullRecords, RunHooks, Sweep, Worker, WorkerJobs, WorkerOptions,
};
use ports::{IdentityQueries as _, WorkerIdentity};
use postgres_adapter::{PgNotifier, PgStore};
use storage_adapter::BlobStore;
use tokio::net::TcpListener;
use tokio::runtime::Handle;
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::config::Config;
use crate::database::Database;
use crate::descriptors::connection_limits;
use crate::home::Home;
use crate::output;
use crate::runners::Runners;
use crate::streams::lower_backend;
use crate::wiring;

/// How long a loop that acts at least once a second may be silent; it may wait for a connection.
const PATIENCE: Duration = Duration::from_secs(60);
/// The pause of such a loop after an error.
const AFTER_ERROR: Duration = Duration::from_secs(1);

/// Runs the server until it is asked to stop. Then it claims nothing new, finishes the requests and work in flight, and
/// returns. Whole tables are read and encoded on the threads of `streams`.
pub(crate) async fn serve(config: Config, streams: &Handle) -> anyhow::Result<()> {
    for name in &config.without_effect {
        tracing::warn!(
            name,
            "this setting of the Open Science Archive server has no effect here"
        );
    }
    let home = Home::open(&config.data_dir)?;
    let runner = Runners::open(&config, &home).await?;
    let blob_dir = config.storage.clone().unwrap_or_else(|| home.join("blobs"));
    let blobs = BlobStore::local(&blob_dir)
        .with_context(|| format!("storage: cannot use {} as the blob store", blob_dir.display()))?;
    let stop = CancellationToken::new();
    tokio::spawn(stop_on_signal(stop.clone())?);

    let mut database = Database::open(&config, &home).await?;
    let result = run(&config, &home, &mut database, (runner, blobs), streams, &stop).await;
    let closed = database.close().await;
    tracing::info!("stopped");
    result.and(closed)
}

async fn run(
    config: &Config,
    home: &Home,
    database: &mut Database,
    (runner, blobs): (Runners, BlobStore),
    streams: &Handle,
    stop: &CancellationToken,
) -> anyhow::Result<()> {
    let store = PgStore::new(database.pool.clone(), config.domain.clone())
        .with_stream_threads(streams.clone())
        .with_lowered_backends(lower_backend);
    if config.dev_mode {
        tracing::warn!("dev mode: every user of this machine can sign tokens of the local administrator");
    }
    if config.dev_mode || config.seed_local_admin {
        store
            .ensure_local_admin()
            .await
            .context("cannot create the local administrator")?;
    }
    let own = blobs
        .id(Uuid::new_v4())
        .await
        .context("storage: cannot read the id of the blob store")?;
    let known = store
        .file_store(own)
        .await
        .context("cannot read the id of the blob store from the database")?;
    if own != known {
        bail!(
            "storage: this directory is not the blob store of this database; all servers of a database must \
             share one (its store-id file contains {known}, this one {own})"
        );
    }
    let restored = store
        .continue_log()
        .await
        .context("cannot continue the activity log")?;
    if restored {
        tracing::warn!(
            "the database was restored into another PostgreSQL cluster: the activity log goes on after its last entry"
        );
    }
    let ledger = wiring::Ledger::of(&database.pool, config.worker.silence);
    let listener = TcpListener::bind(config.listen)
        .await
        .with_context(|| format!("cannot listen on {}", config.listen))?;
    let address = listener.local_addr().unwrap_or(config.listen);
    let identity = wiring::Identity::of(config, home, address).await?;
    let metrics = Arc::new(Metrics::new(
        config.worker.concurrency,
        config.worker.poll,
        output::dropped,
    ));
    // Dropped at the end, which ends the loops.
    let _background = background(&metrics, &ledger.notifier, identity.keys(), stop);
    let about = wiring::About {
        name: config.name.clone(),
        description: config.description.clone(),
        runner: runner.describe(),
        limits: config.limits,
        is_overpowered: database.is_overpowered,
    };
    let hooks = about.runner.clone();
    let work = wiring::Work {
        blobs: Arc::new(blobs),
        runner: Arc::new(runner),
        metrics,
        memory: Memory::new(config.bounds.body_memory),
        stopping: stop.clone(),
        stream_threads: streams.clone(),
    };
    let worker = worker(config, home, &store, &ledger, &work);
    let services = wiring::services(&store, &ledger, config.domain.clone(), identity, work, about);

    let working = tokio::spawn(worker.run(stop.clone()));
    let stopped = stop.clone();
    let serving = api::serve(
        listener,
        api::routes(services, config.http.clone()),
        connection_limits(config),
        async move { stopped.cancelled().await },
        config.worker.drain,
    );
    let mut serving = std::pin::pin!(serving);

    // The one line on standard output, which the parent process may wait for.
    output::STDOUT.put(&format!("listening on http://{address}\n"));
    tracing::info!(%address, hooks, "listening");
    let (mut fault, mut over) = (None, false);
    tokio::select! {
        () = &mut serving => {
            // Without connections, serving ends at the moment of the stop.
            over = true;
        }
        why = database.keep_running(config, home) => {
            fault = Some(format!("the embedded PostgreSQL ended unexpectedly and cannot be started again: {why}"));
            stop.cancel();
        }
        () = stop.cancelled() => {}
    }
    if fault.is_none() && !over {
        tracing::info!("stopping: no new claims, finishing work in flight");
        // Closes connections that exceed the drain time.
        let _ = tokio::time::timeout(config.worker.drain + Duration::from_secs(5), serving).await;
    }
    working.await.context("the worker did not end cleanly")?;
    match fault {
        Some(fault) => bail!(fault),
        None => Ok(()),
    }
}

/// Starts the loops besides those of the worker.
fn background(
    metrics: &Metrics,
    notifier: &Arc<PgNotifier>,
    keys: Vec<Arc<IssuerKeys>>,
    stop: &CancellationToken,
) -> JoinSet<()> {
    let mut all = JoinSet::new();
    let (loops, sender, until) = (Arc::clone(metrics.loops()), Arc::clone(notifier), stop.clone());
    all.spawn(async move {
        let start = |pulse: Pulse| {
            let sender = &sender;
            async move {
                loop {
                    let sent = sender.send().await;
                    pulse.round(&sent);
                    if sent.is_err() {
                        tokio::time::sleep(AFTER_ERROR).await;
                    }
                }
            }
        };
        loops.keep("notifications_sent", PATIENCE, &until, start).await;
    });
    let (loops, listener, until) = (Arc::clone(metrics.loops()), Arc::clone(notifier), stop.clone());
    all.spawn(async move {
        let start = |pulse: Pulse| {
            let listener = &listener;
            async move {
                loop {
                    let alive = pulse.clone();
                    let ended = listener.listen(move || alive.alive()).await;
                    pulse.round(&ended);
                    tokio::time::sleep(AFTER_ERROR).await;
                }
            }
        };
        loops
            .keep("notifications_received", PATIENCE, &until, start)
            .await;
    });
    if !keys.is_empty() {
        let (loops, until) = (Arc::clone(metrics.loops()), stop.clone());
        let patience = PATIENCE + 2 * IssuerKeys::max_age(&keys);
        all.spawn(async move {
            let start = |pulse| IssuerKeys::keep_fresh(&keys, pulse);
            loops.keep("issuer_keys", patience, &until, start).await;
        });
    }
    all
}

fn worker(
    config: &Config,
    home: &Home,
    store: &PgStore,
    ledger: &wiring::Ledger,
    with: &wiring::Work,
) -> Arc<Worker> {
    let store = Arc::new(store.clone());
    let queue = ledger.queue.clone();
    let hooks = Arc::new(RunHooks::new(
        store.clone(),
        Arc::clone(&with.runner),
        Arc::clone(&with.blobs),
        Arc::clone(&with.metrics),
        config.bounds.rows,
    ));
    let work = WorkerJobs {
        batches: ProcessBatch::new(
            store.clone(),
            queue.clone(),
            Arc::clone(&hooks),
            config.max_connections / 2,
        ),
        pulls: PullRecords::new(store.clone(), queue.clone(), Arc::clone(&hooks)),
        submissions: ProcessSubmission::new(
            store.clone(),
            queue.clone(),
            Arc::clone(&hooks),
            config.domain.clone(),
        ),
        hooks,
        schedules: ScheduleIngestions::new(
            store.clone(),
            Arc::new(wiring::SystemIds),
            queue.clone(),
            store.clone(),
        ),
        withdrawals: FollowWithdrawals::new(store.clone()),
    };
    let sweep = Sweep::new(store, ledger.notifier.clone(), config.bounds.crashes);
    let archive = Archive::new(ledger.ledger.clone(), config.worker.retention);
    let options = WorkerOptions {
        identity: WorkerIdentity {
            name: home.worker.clone(),
            boot: Uuid::new_v4(),
        },
        concurrency: config.worker.concurrency,
        silence: config.worker.silence,
        poll: config.worker.poll,
        drain: config.worker.drain,
    };
    Arc::new(Worker::new(
        options,
        queue,
        work,
        Arc::new(sweep),
        Arc::new(archive),
        Arc::clone(&with.metrics),
    ))
}

/// Returns a future that cancels `stop` at the first SIGTERM or SIGINT.
fn stop_on_signal(stop: CancellationToken) -> anyhow::Result<impl Future<Output = ()> + Send> {
    let mut terminate = signal(SignalKind::terminate()).context("cannot handle SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot handle SIGINT")?;
    Ok(async move {
        tokio::select! { _ = terminate.recv() => {}, _ = interrupt.recv() => {} }
        stop.cancel();
    })
}

/// Migrates the database.
pub(crate) async fn migrate(config: Config) -> anyhow::Result<()> {
    let home = Home::open(&config.data_dir)?;
    Database::open(&config, &home).await?.close().await
}
