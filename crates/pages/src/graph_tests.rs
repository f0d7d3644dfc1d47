//! The picture's layout, on every sample.

use crate::TracePage;
use crate::graph::{Card, Graph, graph};
use crate::samples::{HOSTILE, filled, traces};

fn traces() -> Vec<TracePage> {
    let huge = "wide漢字".repeat(5000);
    let mut all = vec![
        traces::ingest_trace(),
        traces::deposition_trace(),
        traces::bare_trace(),
    ];
    all.extend(HOSTILE.map(filled::trace));
    all.push(filled::trace(&huge));
    all
}

fn overlap(a: &Card, b: &Card) -> bool {
    a.x < b.x + b.width && b.x < a.x + a.width && a.y < b.y + b.height && b.y < a.y + a.height
}

fn inside(graph: &Graph, one: &Card) -> bool {
    one.x + one.width <= graph.width && one.y + one.height <= graph.height
}

// proves PRV-6: every source of a row has its own place in the picture.
#[test]
fn boxes_are_inside_and_do_not_overlap() {
    for trace in traces() {
        let graph = graph(&trace);
        for (index, one) in graph.boxes.iter().enumerate() {
            assert!(inside(&graph, one), "{one:?}");
            for other in &graph.boxes[index + 1..] {
                assert!(!overlap(one, other), "{one:?} {other:?}");
            }
        }
    }
}

// proves PRV-6: the arrows show what led to what, and end at boxes.
#[test]
fn an_arrow_leaves_one_box_and_reaches_the_next() {
    for trace in traces() {
        let graph = graph(&trace);
        for arrow in &graph.arrows {
            let holds = |one: &&Card| one.x < arrow.x && arrow.x < one.x + one.width;
            let from = graph
                .boxes
                .iter()
                .filter(holds)
                .filter(|b| b.y + b.height == arrow.from);
            let to = graph.boxes.iter().filter(holds).filter(|b| b.y == arrow.to);
            assert_eq!((from.count(), to.count()), (1, 1), "{arrow:?}");
            let crossed = graph
                .boxes
                .iter()
                .filter(holds)
                .any(|b| b.y < arrow.to && b.y + b.height > arrow.from);
            assert!(!crossed, "{arrow:?}");
        }
        // Every box but the row leads somewhere.
        assert_eq!(graph.arrows.len(), graph.boxes.len() - 1);
    }
}

// proves PRV-6, LED-1: source, record, creator, task, delegations, release, run and row are all drawn.
#[test]
fn what_a_row_came_from_is_drawn() {
    let captions = |trace: &TracePage| {
        let mut captions: Vec<_> = graph(trace).boxes.iter().map(|b| b.caption).collect();
        captions.sort_unstable();
        captions.join(" ")
    };
    assert_eq!(
        captions(&traces::ingest_trace()),
        "Creator Delegation Delegation Ingest run Record Release Row Run Task"
    );
    assert_eq!(
        captions(&traces::deposition_trace()),
        "Creator Delegation Delegation Delegation Delegations Deposition Record Release Row Run Task"
    );
    assert_eq!(captions(&traces::bare_trace()), "Record Release Row Run");
}
