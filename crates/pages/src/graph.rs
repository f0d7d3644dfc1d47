//! The layout of a trace as boxes and arrows. Numbers only; `picture` draws them.
//!
//! Three lanes run down, side by side: the source of the record, the creator of the work, and the release that did
//! it. Each ends in the run, which is as wide as all of them, so that every arrow is straight; below it is the row.

use crate::model::{Source, Who};
use crate::provenance::{TracePage, TracedDelegation, TracedTask};
use crate::text::{duration, fitted, fitted_end, people_time, short_digest, value_text};

/// The margin around everything.
const MARGIN: usize = 8;
/// The width of a lane.
const LANE: usize = 264;
/// The distance between lanes.
const BETWEEN: usize = 28;
/// The distance between a box and the next one below, for the arrow and its label.
const DROP: usize = 44;
/// The distance from a box's edge to its text.
pub(crate) const PAD: usize = 14;
/// The height of a line in a box.
pub(crate) const LINE: usize = 19;
/// The assumed width of a character, in tenths: more than most are.
const CHARACTER: usize = 78;
/// How much text fits on a line of a lane.
const ROOM: usize = (LANE - 2 * PAD) * 10 / CHARACTER;
/// The maximum number of drawn delegations; of more, the first one and the last two are drawn.
const DELEGATIONS: usize = 3;

/// The look of a box.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Look {
    /// The default.
    Plain,
    /// The subject of the page.
    Main,
    /// A past state: superseded, stuck, failed, withdrawn.
    Past,
}

/// A box: a caption with its kind, and lines that identify it.
#[derive(Clone, Debug)]
pub(crate) struct Card {
    pub(crate) caption: &'static str,
    pub(crate) lines: Vec<String>,
    pub(crate) look: Look,
    pub(crate) x: usize,
    pub(crate) y: usize,
    pub(crate) width: usize,
    pub(crate) height: usize,
}

/// An arrow, straight down.
#[derive(Clone, Debug)]
pub(crate) struct Arrow {
    pub(crate) x: usize,
    pub(crate) from: usize,
    pub(crate) to: usize,
    pub(crate) word: &'static str,
}

/// The whole picture.
#[derive(Clone, Debug)]
pub(crate) struct Graph {
    pub(crate) boxes: Vec<Card>,
    pub(crate) arrows: Vec<Arrow>,
    pub(crate) width: usize,
    pub(crate) height: usize,
}

/// A box without a position, and the label of the arrow that leaves it.
struct Part {
    caption: &'static str,
    lines: Vec<String>,
    look: Look,
    word: &'static str,
}

impl Part {
    fn new(caption: &'static str, word: &'static str, lines: impl IntoIterator<Item = String>) -> Self {
        Self {
            caption,
            lines: lines.into_iter().collect(),
            look: Look::Plain,
            word,
        }
    }

    fn past(mut self, past: bool) -> Self {
        if past {
            self.look = Look::Past;
        }
        self
    }

    fn height(&self) -> usize {
        2 * PAD + LINE * (self.lines.len() + 1) - 6
    }
}

/// Returns a principal as one line.
pub(crate) fn who_text(who: &Who) -> String {
    match &who.name {
        Some(name) if !name.is_empty() => name.clone(),
        _ => who.id.clone(),
    }
}

fn source_part(source: &Source) -> Part {
    match source {
        Source::Deposition {
            srn,
            convention,
            submission,
            owner,
            ..
        } => Part::new(
            "Deposition",
            "was published as",
            [
                // The part before the last colon is the same for every deposition of the node.
                srn.rsplit(':').next().unwrap_or_default().to_owned(),
                format!("by {}", who_text(owner)),
                format!("{convention}, submission {submission}"),
            ],
        ),
        Source::Ingest {
            convention,
            source_id,
            upload,
            line,
            opened_by,
            ..
        } => Part::new(
            "Ingest run",
            "brought",
            [
                source_id.clone(),
                format!("upload {upload}, line {line}"),
                format!("of {convention}"),
                format!("opened by {}", who_text(opened_by)),
            ],
        ),
    }
}

fn delegation_part(delegation: &TracedDelegation) -> Part {
    let past = matches!(delegation.status.as_str(), "failed" | "stuck");
    let lines = [
        format!("to {}", delegation.callee),
        format!("by {}", delegation.caller),
        format!("attempt {}, {}", delegation.attempt, delegation.status),
    ];
    Part::new("Delegation", if past { "then to" } else { "did" }, lines).past(past)
}

fn task_lane(task: &TracedTask) -> Vec<Part> {
    let handed = if task.delegations.is_empty() {
        "led to"
    } else {
        "was delegated"
    };
    let mut lane = vec![
        Part::new(
            "Creator",
            "created",
            [
                who_text(&task.creator),
                task.creator
                    .authority
                    .clone()
                    .unwrap_or_else(|| task.creator.id.clone()),
            ],
        ),
        Part::new(
            "Task",
            handed,
            [task.name.clone(), format!("{}, {}", task.kind, task.status)],
        ),
    ];
    let all = &task.delegations;
    if all.len() <= DELEGATIONS {
        lane.extend(all.iter().map(delegation_part));
    } else {
        let left_out = all.len() - DELEGATIONS;
        lane.extend(all.iter().take(1).map(delegation_part));
        lane.push(Part::new("Delegations", "then to", [format!("{left_out} more, see below")]).past(true));
        lane.extend(all.iter().skip(all.len() - DELEGATIONS + 1).map(delegation_part));
    }
    lane
}

fn lanes(page: &TracePage) -> Vec<Vec<Part>> {
    let record = Part::new(
        "Record",
        "was read by",
        [
            page.record.id.clone(),
            format!("version {}", page.record.version),
            page.record.schema.clone(),
        ],
    );
    let release = &page.release;
    let mut lines = vec![
        format!("{} version {}", release.hook, release.version),
        short_digest(&release.digest),
        format!("from {}", fitted_end(&release.source_ref, ROOM - 5)),
        format!("built by {}", who_text(&release.built_by)),
        people_time(release.built_at),
    ];
    if release.yanked.is_some() {
        lines.push("withdrawn since".to_owned());
    }
    let release = Part::new("Release", "was executed by", lines).past(release.yanked.is_some());
    let mut lanes = vec![page.source.iter().map(source_part).chain([record]).collect()];
    lanes.extend(page.task.as_ref().map(task_lane));
    lanes.push(vec![release]);
    lanes
}

fn run_and_row(page: &TracePage) -> [Part; 2] {
    let run = &page.run;
    let again = match run.oom_retries {
        0 => String::new(),
        1 => ", once again with more memory".to_owned(),
        n => format!(", {n} times again with more memory"),
    };
    let (started, took) = (people_time(run.started_at), duration(run.duration_s));
    let lines = [
        run.id.clone(),
        format!("{}, started {started}, took {took}", run.status),
        format!("on {}{again}", run.worker),
    ];
    let run = Part::new("Run", "computed", lines);
    let row = &page.row;
    let mut lines = vec![format!("{} {}", page.feature, row.id)];
    // A few values that identify it; all of them are below the picture.
    lines.extend(row.values.iter().take(4).map(|field| {
        let unit = field.column.unit.as_deref().unwrap_or_default();
        format!("{} = {} {unit}", field.column.name, value_text(&field.value))
    }));
    let mut part = Part::new("Row", "", lines);
    part.look = Look::Main;
    if !row.current {
        part.lines.push("superseded since".to_owned());
    }
    [run, part.past(!row.current)]
}

/// Positions a part, with lines that fit.
fn placed(part: &Part, x: usize, y: usize, room: usize) -> Card {
    let height = part.height();
    let most = (room - 2 * PAD) * 10 / CHARACTER;
    // The first line is bold, which is wider.
    let fits =
        |(index, line): (usize, &String)| fitted(line, if index == 0 { most - most / 8 } else { most });
    let lines = part.lines.iter().enumerate().map(fits).collect();
    Card {
        caption: part.caption,
        lines,
        look: part.look,
        x,
        y,
        width: room,
        height,
    }
}

/// Lays a trace out.
pub(crate) fn graph(page: &TracePage) -> Graph {
    let lanes = lanes(page);
    let inner = lanes.len() * LANE + (lanes.len() - 1) * BETWEEN;
    let deep = |lane: &Vec<Part>| lane.iter().map(|part| part.height() + DROP).sum::<usize>();
    let run_y = MARGIN + lanes.iter().map(deep).max().unwrap_or_default();
    let (mut boxes, mut arrows) = (Vec::new(), Vec::new());
    for (index, lane) in lanes.into_iter().enumerate() {
        let x = MARGIN + index * (LANE + BETWEEN);
        // From the bottom up, so that the inputs of the run are right above it.
        let mut bottom = run_y;
        for part in lane.into_iter().rev() {
            let (word, y) = (part.word, bottom - DROP - part.height());
            let made = placed(&part, x, y, LANE);
            arrows.push(Arrow {
                x: x + LANE / 2,
                from: y + made.height,
                to: bottom,
                word,
            });
            bottom = y;
            boxes.push(made);
        }
    }
    let [run, row] = run_and_row(page);
    let word = run.word;
    let run = placed(&run, MARGIN, run_y, inner);
    let row_y = run_y + run.height + DROP;
    let row = placed(&row, MARGIN, row_y, inner);
    arrows.push(Arrow {
        x: MARGIN + inner / 2,
        from: run_y + run.height,
        to: row_y,
        word,
    });
    let height = row_y + row.height + MARGIN;
    boxes.extend([run, row]);
    Graph {
        boxes,
        arrows,
        width: inner + 2 * MARGIN,
        height,
    }
}
