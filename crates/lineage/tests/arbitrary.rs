//! No lineage makes a writer panic or leave a reference dangling, with any texts and any references.

use domain::{Actor, DelegationId, RunId, RunStatus, TaskId, UserId};
use lineage::{Lineage, LineageDelegation, LineageRun, LineageSource, openlineage, prov_json, ro_crate};
use proptest::prelude::*;
use time::{Duration, OffsetDateTime};
use uuid::Uuid;

mod common;
use common::{faults_of_crate, faults_of_events, faults_of_prov, sample};

/// Texts of every kind, and those that mean something to one of the forms.
fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<String>(),
        "[a-z:/@#%.\"' ]{0,12}",
        Just("https://".to_owned()),
        "https?://[\\[\\]a-z:@/.%]{0,9}",
        Just("system".to_owned()),
        Just("user:01930000-0000-7000-8000-000000000201".to_owned()),
        Just("./".to_owned()),
        Just(String::new()),
    ]
}

/// Times from before our era to after the year 9999.
fn moment() -> impl Strategy<Value = OffsetDateTime> {
    (-99_999_999_999_i64..=253_402_300_799).prop_map(|s| {
        OffsetDateTime::UNIX_EPOCH
            .checked_add(Duration::seconds(s))
            .unwrap_or(OffsetDateTime::UNIX_EPOCH)
    })
}

prop_compose! {
    /// The sample with every text and time replaced, some descriptions taken away, and references turned around.
    fn lineages()(
        texts in prop::collection::vec(text(), 16),
        moments in prop::collection::vec(moment(), 4),
        keep in any::<u8>(),
        turn in 0_usize..8,
        status in 0_usize..3,
    ) -> Lineage {
        let mut made = sample();
        let text = |n: usize| texts[n % texts.len()].clone();
        let moment = |n: usize| moments[n % moments.len()];
        (made.base_url, made.title, made.license) = (text(0), text(1), Some(text(2)));
        made.exported_at = moment(0);
        let srns: Vec<_> = made.records.iter().map(|r| r.srn.clone()).collect();
        for (n, record) in made.records.iter_mut().enumerate() {
            record.created_at = moment(n);
            record.previous = Some(srns[(n + turn) % srns.len()].clone());
            match &mut record.source {
                Some(LineageSource::Ingest { source_id, .. }) => *source_id = text(3 + n),
                Some(LineageSource::Deposition { srn, .. }) => *srn = text(3 + n),
                None => {}
            }
        }
        for (n, rows) in made.row_sets.iter_mut().enumerate() {
            rows.superseded_by = Some(RunId::from_uuid(Uuid::from_u128(n as u128)));
            rows.count = u64::MAX;
            rows.created_at = moment(n);
        }
        let own = made.runs[0].id;
        made.row_sets[0].superseded_by = Some(own);
        for (n, run) in made.runs.iter_mut().enumerate() {
            run.status = [RunStatus::Passed, RunStatus::Failed, RunStatus::Error][status];
            (run.worker, run.failure) = (text(5 + n), Some(text(6 + n)));
            (run.started_at, run.finished_at) = (moment(n), moment(n + 1));
            run.inputs.clone_from(&srns);
        }
        made.runs.push(made.runs[0].clone());
        for (n, release) in made.releases.iter_mut().enumerate() {
            (release.image, release.source_ref) = (text(7 + n), text(8 + n));
            release.config.insert(text(9), text(10).into());
        }
        for (n, task) in made.tasks.iter_mut().enumerate() {
            task.kind = text(9 + n);
            task.delegations.push(LineageDelegation {
                id: text(10 + n), caller: text(11 + n), callee: text(12 + n), status: text(13), attempt: u32::MAX,
                created_at: moment(1), updated_at: moment(0),
            });
        }
        for (n, agent) in made.agents.iter_mut().enumerate() {
            (agent.name, agent.authority) = (Some(text(14 + n)), Some(text(15 + n)));
        }
        if keep & 1 == 0 { made.records.clear(); }
        if keep & 2 == 0 { made.runs.clear(); }
        if keep & 4 == 0 { made.releases.clear(); }
        if keep & 8 == 0 { made.tasks.clear(); }
        if keep & 16 == 0 { made.agents.clear(); }
        if keep & 32 == 0 { made.row_sets.clear(); }
        made
    }
}

proptest! {
    // A failing case is printed; a file of them would lie beside the tests and be of no use on another machine.
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    // proves PRV-6
    #[test]
    fn no_lineage_leaves_a_reference_dangling(lineage in lineages()) {
        prop_assert_eq!(faults_of_prov(&prov_json(&lineage)), Vec::<String>::new());
        prop_assert_eq!(faults_of_crate(&ro_crate(&lineage)), Vec::<String>::new());
        prop_assert_eq!(faults_of_events(&openlineage(&lineage)), Vec::<String>::new());
    }
}

// proves PRV-6
#[test]
fn ids_that_the_server_gives_itself_are_taken_as_they_are() {
    let mut lineage = sample();
    let task = TaskId::from_uuid(Uuid::from_u128(1));
    lineage.tasks[0].delegations[0].id = DelegationId::of_task(task, 2).to_string();
    lineage.tasks[0].creator = Some(Actor::User(UserId::LOCAL_ADMIN));
    let document = prov_json(&lineage);
    assert!(
        document["activity"]
            .get(format!("api:delegations/{task}.2"))
            .is_some()
    );
    assert_eq!(faults_of_prov(&document), Vec::<String>::new());
}

// proves PRV-6
#[test]
fn the_longest_export_is_written_in_time() {
    let mut lineage = sample();
    let (run, rows) = (lineage.runs[0].clone(), lineage.row_sets[0].clone());
    for n in 0..5000_u128 {
        let id = RunId::from_uuid(Uuid::from_u128(n));
        lineage.runs.push(LineageRun { id, ..run.clone() });
        lineage.row_sets.push(lineage::RowSet {
            run: id,
            ..rows.clone()
        });
    }
    let begun = std::time::Instant::now();
    let events = openlineage(&lineage);
    let (prov, krate) = (prov_json(&lineage), ro_crate(&lineage));
    let took = begun.elapsed();
    assert_eq!(events.len(), 2 * (5000 + sample().runs.len()));
    assert!(prov.is_object() && krate.is_object());
    // About two seconds in a debug build; a writer that searches all rows for every run would take minutes.
    assert!(took.as_secs() < 60, "{took:?}");
    println!("5000 runs: {took:?}");
}
