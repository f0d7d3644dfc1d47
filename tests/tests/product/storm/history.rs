//! What clients saw, against what the database holds: is there one serial order of all calls, over all hooks, that agrees with
//! every answer and with real time?
//!
//! Every check here is necessary: none can fail while the server is right, with any timing. A call that got no answer may have
//! been done at any time after it began, or never.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use serde_json::Value;

/// What a response said about the state of a hook.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Seen {
    /// This version is live.
    Live(u32),
    /// This version exists and another one is live.
    NotLive(u32),
    /// This version does not exist.
    Missing(u32),
}

/// What a call meant to do to a hook.
#[derive(Clone, Debug)]
pub(crate) enum Meant {
    /// Submit this content; if it was answered: its version, and whether that is new.
    Submit(String, Option<(u32, bool)>),
    /// Make this version live.
    Live(u32),
    /// Only look.
    Look,
}

/// One call, or one hook's part of it.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) client: String,
    pub(crate) hook: String,
    pub(crate) start: Instant,
    /// None: no answer came.
    pub(crate) end: Option<Instant>,
    pub(crate) meant: Meant,
    pub(crate) seen: Vec<Seen>,
}

/// One move of a hook's pointer, as the database tells it.
#[derive(Clone, Debug)]
pub(crate) struct Move {
    transaction: String,
    hook: String,
    from: Option<u32>,
    to: u32,
    /// Whether `to` was released by it.
    released: bool,
    actor: String,
}

/// Where the moves come from, per hook in their serial order: the number of a move is given under the hook's row lock.
pub(crate) const MOVES: &str = "select coalesce(json_agg(json_build_object('transaction', m.xmin::text, 'hook', m.hook_name,
     'from', f.version, 'to', t.version, 'released', m.xmin = t.xmin, 'actor', a.subject) order by m.hook_name, m.move), '[]')::text
   from hook_live_moves m join hook_releases t on t.id = m.to_release_id left join hook_releases f on f.id = m.from_release_id
     left join service_accounts a on a.id = m.moved_by_service_account_id";

/// Every release, and whether it is live.
pub(crate) const RELEASES: &str = "select coalesce(json_agg(json_build_object('hook', r.hook_name, 'version', r.version, 'digest', r.digest,
     'live', r.id = h.live_release_id, 'builder', (select subject from service_accounts where id = r.built_by_service_account_id))
     order by r.hook_name, r.version), '[]')::text
   from hook_releases r join hooks h on h.name = r.hook_name";

fn number(value: &Value) -> Option<u32> {
    value.as_u64().map(|n| u32::try_from(n).unwrap())
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("{value}")).to_owned()
}

/// The moves of [`MOVES`], by hook.
pub(crate) fn moves(rows: &str) -> BTreeMap<String, Vec<Move>> {
    let mut all: BTreeMap<String, Vec<Move>> = BTreeMap::new();
    let rows: Vec<Value> = serde_json::from_str(rows).unwrap();
    for row in rows {
        let one = Move {
            transaction: text(&row["transaction"]),
            hook: text(&row["hook"]),
            from: number(&row["from"]),
            to: number(&row["to"]).unwrap(),
            released: row["released"] == true,
            actor: text(&row["actor"]),
        };
        all.entry(one.hook.clone()).or_default().push(one);
    }
    all
}

/// A release of [`RELEASES`].
#[derive(Debug)]
pub(crate) struct Release {
    hook: String,
    pub(crate) version: u32,
    pub(crate) digest: String,
    pub(crate) live: bool,
    builder: String,
}

/// The releases of [`RELEASES`], by hook.
pub(crate) fn releases(rows: &str) -> BTreeMap<String, Vec<Release>> {
    let mut all: BTreeMap<String, Vec<Release>> = BTreeMap::new();
    let rows: Vec<Value> = serde_json::from_str(rows).unwrap();
    for row in rows {
        let one = Release {
            hook: text(&row["hook"]),
            version: number(&row["version"]).unwrap(),
            digest: text(&row["digest"]),
            live: row["live"] == true,
            builder: text(&row["builder"]),
        };
        all.entry(one.hook.clone()).or_default().push(one);
    }
    all
}

/// A call that submitted a content, and its answer: the version, and whether that is new.
type Submission<'a> = (&'a Call, Option<(u32, bool)>);

/// Versions are 1..n; each content was created once, by whom the row names, and is one version in every answer.
pub(crate) fn check_contents(calls: &[Call], releases: &[Release]) {
    for (index, release) in releases.iter().enumerate() {
        assert_eq!(release.version as usize, index + 1, "a gap: {releases:#?}");
    }
    let mut submitted: BTreeMap<&str, Vec<Submission>> = BTreeMap::new();
    for call in calls {
        if let Meant::Submit(digest, answer) = &call.meant {
            submitted.entry(digest).or_default().push((call, *answer));
        }
    }
    for (digest, submissions) in &submitted {
        let rows: Vec<&Release> = releases.iter().filter(|r| r.digest == *digest).collect();
        let answers: Vec<(&Call, (u32, bool))> = submissions
            .iter()
            .filter_map(|(call, answer)| answer.map(|answer| (*call, answer)))
            .collect();
        assert!(rows.len() <= 1, "{digest} has two rows: {rows:?}");
        let Some(row) = rows.first() else {
            assert!(
                answers.is_empty(),
                "{digest} was answered and has no row: {answers:?}"
            );
            continue;
        };
        for (call, (version, _)) in &answers {
            assert_eq!(*version, row.version, "one content is one version: {call:?}");
        }
        let created: Vec<&Call> = answers
            .iter()
            .filter(|(_, (_, new))| *new)
            .map(|(call, _)| *call)
            .collect();
        match created.as_slice() {
            [one] => assert_eq!(one.client, row.builder, "{row:?} by {one:?}"),
            [] => assert!(
                submissions
                    .iter()
                    .any(|(call, answer)| answer.is_none() && call.client == row.builder),
                "no response named {row:?}, and no call of its builder went unanswered"
            ),
            more => panic!("{digest} was created more than once: {more:#?}"),
        }
    }
    for release in releases {
        assert!(
            submitted.contains_key(&*release.digest),
            "no call submitted the whole of {release:?}"
        );
    }
}

/// From the clients' side alone: the pointer is where a call put it that no other successful mover strictly follows.
pub(crate) fn check_pointer(calls: &[Call], releases: &[Release]) {
    let live: Vec<&Release> = releases.iter().filter(|r| r.live).collect();
    let [live] = live.as_slice() else {
        panic!("no live release, or two: {releases:?}")
    };
    // (begin, end, the version that it leaves live)
    let result = |call: &Call| match &call.meant {
        Meant::Submit(_, Some((version, true))) | Meant::Live(version) => Some(*version),
        Meant::Submit(digest, None) => releases.iter().find(|r| r.digest == *digest).map(|r| r.version),
        Meant::Submit(_, Some((_, false))) | Meant::Look => None,
    };
    let movers: Vec<(&Call, u32)> = calls
        .iter()
        .filter_map(|call| Some((call, result(call)?)))
        .collect();
    let last_begin = movers
        .iter()
        .filter(|(call, _)| call.end.is_some())
        .map(|(call, _)| call.start)
        .max();
    let may_be_last = |call: &Call| {
        call.end
            .is_none_or(|end| last_begin.is_none_or(|begin| end >= begin))
    };
    assert!(
        movers
            .iter()
            .any(|(call, version)| *version == live.version && may_be_last(call)),
        "version {} of {} is live, and every call that made it so was followed by another",
        live.version,
        live.hook
    );
}

/// Each move takes the pointer from where the one before left it; the last one left it where it is; releases come in their order.
pub(crate) fn check_chain(moves: &[Move], releases: &[Release]) {
    let (mut live, mut last) = (None, 0);
    for (index, one) in moves.iter().enumerate() {
        assert_eq!(
            one.from, live,
            "move {index} does not begin where the one before ended: {one:?}"
        );
        if one.released {
            last += 1;
            assert_eq!(one.to, last, "releases are out of order: {one:?}");
        } else {
            assert!(
                one.to <= last && one.from != Some(one.to),
                "moved to nowhere: {one:?}"
            );
        }
        live = Some(one.to);
    }
    assert_eq!(
        last as usize,
        releases.len(),
        "a release without its move, or the reverse"
    );
    assert_eq!(
        live,
        releases.iter().find(|r| r.live).map(|r| r.version),
        "the pointer is not where the last move put it"
    );
}

/// When a move happened: not before, and not after.
type Window = (Instant, Option<Instant>);

/// The calls that may have made a move, as one window.
fn window(one: &Move, calls: &[Call], releases: &[Release]) -> Window {
    let digest = &releases[one.to as usize - 1].digest;
    let made = |call: &&Call| {
        call.client == one.actor
            && match &call.meant {
                Meant::Submit(content, Some((_, new))) => one.released && content == digest && *new,
                Meant::Submit(content, None) => one.released && content == digest,
                Meant::Live(version) => !one.released && *version == one.to,
                Meant::Look => false,
            }
    };
    let candidates: Vec<&Call> = calls.iter().filter(made).collect();
    // A creation that was answered is known for certain.
    let certain = candidates
        .iter()
        .find(|call| matches!(call.meant, Meant::Submit(_, Some(_))));
    match certain {
        Some(call) => (call.start, call.end),
        None => (
            candidates
                .iter()
                .map(|call| call.start)
                .min()
                .unwrap_or_else(|| panic!("no call asked for {one:?}")),
            candidates
                .iter()
                .map(|call| call.end)
                .collect::<Option<Vec<_>>>()
                .and_then(|ends| ends.into_iter().max()),
        ),
    }
}

/// At most as many moves as calls that asked for them.
fn check_counts(moves: &[Move], calls: &[Call]) {
    let mut budget: BTreeMap<(&str, u32), i32> = BTreeMap::new();
    for call in calls {
        if let Meant::Live(version) = call.meant {
            *budget.entry((&call.client, version)).or_default() += 1;
        }
    }
    for one in moves.iter().filter(|one| !one.released) {
        let left = budget.entry((&one.actor, one.to)).or_default();
        *left -= 1;
        assert!(*left >= 0, "moved more often than asked for: {one:?}");
    }
}

/// Every answer about a hook is true at some place of its chain that real time allows. With the chain given, placing each as early
/// as can be is optimal, so this fails only if there is no way.
fn check_answers(moves: &[Move], windows: &[Window], calls: &[Call]) {
    let mut looks: Vec<(&Call, Instant, Seen)> = calls
        .iter()
        .flat_map(|call| call.seen.iter().map(move |seen| (call, call.end.unwrap(), *seen)))
        .collect();
    looks.sort_by_key(|(call, ..)| call.start);
    let mut last = 0;
    let states: Vec<(u32, Option<u32>)> = std::iter::once((0, None))
        .chain(moves.iter().map(|one| {
            last += u32::from(one.released);
            (last, Some(one.to))
        }))
        .collect();
    let fits = |seen: Seen, (last, live): (u32, Option<u32>)| match seen {
        Seen::Live(version) => live == Some(version),
        Seen::NotLive(version) => version <= last && live != Some(version),
        Seen::Missing(version) => version > last,
    };
    let mut placed: Vec<(Instant, usize)> = Vec::with_capacity(looks.len());
    for (call, end, seen) in looks {
        let ended_before = |ended: Option<Instant>| ended.is_some_and(|ended| ended < call.start);
        let earliest = windows
            .iter()
            .rposition(|(_, end)| ended_before(*end))
            .map_or(0, |index| index + 1)
            .max(
                placed
                    .iter()
                    .filter(|(ended, _)| ended_before(Some(*ended)))
                    .map(|(_, place)| *place)
                    .max()
                    .unwrap_or(0),
            );
        let latest = windows
            .iter()
            .position(|(start, _)| *start > end)
            .unwrap_or(moves.len());
        let place = (earliest..=latest).find(|place| fits(seen, states[*place]));
        let place = place.unwrap_or_else(|| {
            panic!(
                "{seen:?} was true at no time between the call and its answer: {call:?}\nplaces {earliest} to {latest}: {:?}",
                states.get(earliest..=latest)
            )
        });
        placed.push((end, place));
    }
}

/// One serial order of all transactions, over all hooks: the hooks' chains and real time together have no cycle.
pub(crate) fn check_serial(
    moves: &BTreeMap<String, Vec<Move>>,
    releases: &BTreeMap<String, Vec<Release>>,
    calls: &BTreeMap<String, Vec<Call>>,
) {
    let mut happened: BTreeMap<&str, Window> = BTreeMap::new();
    let mut after: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for (hook, moves) in moves {
        let calls = &calls[hook];
        let windows: Vec<Window> = moves
            .iter()
            .map(|one| window(one, calls, &releases[hook]))
            .collect();
        check_counts(moves, calls);
        check_answers(moves, &windows, calls);
        for (one, (start, end)) in moves.iter().zip(windows) {
            // A deploy moves several hooks at one time, which lies in the window of each.
            let whole = happened.entry(&one.transaction).or_insert((start, end));
            *whole = (whole.0.max(start), [whole.1, end].into_iter().flatten().min());
        }
        for pair in moves.windows(2) {
            assert_ne!(
                pair[0].transaction, pair[1].transaction,
                "one transaction moves a hook once"
            );
            after
                .entry(&pair[0].transaction)
                .or_default()
                .insert(&pair[1].transaction);
        }
    }
    for (one, (_, end)) in &happened {
        let later = happened
            .iter()
            .filter(|(_, (start, _))| end.is_some_and(|end| end < *start));
        after
            .entry(one)
            .or_default()
            .extend(later.map(|(other, _)| *other));
    }
    let mut waits: BTreeMap<&str, usize> = happened.keys().map(|one| (*one, 0)).collect();
    for other in after.values().flatten() {
        *waits.get_mut(other).unwrap() += 1;
    }
    let mut free: Vec<&str> = waits
        .iter()
        .filter(|(_, n)| **n == 0)
        .map(|(one, _)| *one)
        .collect();
    let mut ordered = 0;
    while let Some(one) = free.pop() {
        ordered += 1;
        for other in after.get(one).into_iter().flatten() {
            let n = waits.get_mut(other).unwrap();
            *n -= 1;
            if *n == 0 {
                free.push(other);
            }
        }
    }
    assert_eq!(
        ordered,
        happened.len(),
        "no serial order of all hooks' moves agrees with real time"
    );
}
