//! The processes that a hook started, found in `/proc`: their usage, and how to end them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::time::Duration;

use runner_workdir::{Held, children, held};
use rustix::process::{
    Pid, PidfdFlags, Signal, WaitOptions, kill_process_group, pidfd_open, pidfd_send_signal, waitpid,
};

/// The content of `/proc/<pid>/stat` for a process (proc(5)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Process {
    pid: i32,
    zombie: bool,
    parent: i32,
    group: i32,
    /// Clock ticks of itself and of the children that it has waited for.
    ticks: u64,
    /// Since boot, in clock ticks; with the pid it names one process for good.
    started: u64,
    resident_pages: u64,
}

impl Process {
    fn read(pid: i32) -> Option<Self> {
        Self::parse(pid, &fs::read(format!("/proc/{pid}/stat")).ok()?)
    }

    fn parse(pid: i32, stat: &[u8]) -> Option<Self> {
        // The name, in brackets, may contain anything, even brackets and line breaks.
        let end = stat.iter().rposition(|b| *b == b')')?;
        let text = std::str::from_utf8(stat.get(end + 1..)?).ok()?;
        let fields: Vec<&str> = text.split_ascii_whitespace().collect();
        let number = |index: usize| fields.get(index).and_then(|f| f.parse::<i64>().ok());
        let count = |index: usize| number(index).and_then(|n| u64::try_from(n).ok()).unwrap_or(0);
        Some(Self {
            pid,
            zombie: matches!(fields.first().copied(), Some("Z" | "X" | "x")),
            parent: number(1)?.try_into().ok()?,
            group: number(2)?.try_into().ok()?,
            ticks: (11..=14).map(count).sum(),
            started: count(19),
            resident_pages: count(21),
        })
    }
}

fn every_process() -> Vec<Process> {
    let Ok(entries) = fs::read_dir("/proc") else {
        return Vec::new();
    };
    let pids = entries
        .flatten()
        .filter_map(|e| e.file_name().to_str()?.parse::<i32>().ok());
    pids.filter_map(Process::read).collect()
}

/// The usage of a process tree.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Usage {
    /// Resident memory, in bytes; a page that several processes share is counted for each of them.
    pub(crate) resident: u64,
    /// Processor time, including that of ended processes as far as their parents waited for them.
    pub(crate) processor: Duration,
    /// Processes that have not ended.
    pub(crate) processes: usize,
}

/// A hook's processes: all descendants of the one that the server started.
///
/// A process whose parent ended is found because it was seen before, or, under the supervisor (a child subreaper) or
/// in bubblewrap (a pid namespace), because it became a child of that. Without either it is found by the mark in its
/// environment. Only a process that leaves its parent and its group between two scans of the tree, and clears its
/// environment, escapes.
#[derive(Debug)]
pub(crate) struct Tree {
    root: i32,
    /// How many processes, one below the other from the root on, are not the hook but start it.
    wrappers: usize,
    /// Every possibly living process seen in the tree, with its start time.
    seen: BTreeMap<i32, u64>,
    /// An entry (`NAME=value`) that only the environments of this tree's processes have.
    mark: Option<Vec<u8>>,
    /// Processes without the mark, with their start times; none is checked twice.
    strangers: BTreeMap<i32, u64>,
}

impl Tree {
    /// Creates the tree below this child of the server. The child must lead its own process group and must not be
    /// waited for while the tree is in use: only then does its pid stay its own.
    ///
    /// `wrappers` processes, one below the other from the child on, are not the hook but start it: a supervisor, a
    /// sandbox.
    pub(crate) fn new(root: Pid, wrappers: usize) -> Self {
        Self {
            root: root.as_raw_pid(),
            wrappers,
            seen: BTreeMap::new(),
            mark: None,
            strangers: BTreeMap::new(),
        }
    }

    /// Sets the environment entry that marks the tree's processes, unless a process removed it.
    pub(crate) fn marked(mut self, entry: Vec<u8>) -> Self {
        self.mark = Some(entry);
        self
    }

    /// Adds the processes that have the mark.
    fn add_marked(&mut self, all: &[Process], found: &mut BTreeMap<i32, Process>) {
        let Some(mark) = &self.mark else { return };
        let mut strangers = BTreeMap::new();
        // A process that is older than the root cannot have an entry that was made for it.
        let oldest = all
            .iter()
            .find(|p| p.pid == self.root)
            .map_or(0, |root| root.started);
        for process in all.iter().filter(|p| !p.zombie && p.started >= oldest) {
            if found.contains_key(&process.pid) {
                continue;
            }
            let known = self.strangers.get(&process.pid) == Some(&process.started);
            let environment = if known {
                Vec::new()
            } else {
                fs::read(format!("/proc/{}/environ", process.pid)).unwrap_or_default()
            };
            if environment.split(|b| *b == 0).any(|entry| entry == mark) {
                found.insert(process.pid, *process);
            } else {
                strangers.insert(process.pid, process.started);
            }
        }
        self.strangers = strangers;
    }

    fn alive(&self) -> Vec<Process> {
        let known = self
            .seen
            .iter()
            .filter_map(|(pid, started)| Process::read(*pid).filter(|p| p.started == *started));
        known.collect()
    }

    /// Returns the tree's processes. Scanning only the children of known ones is cheap; `thorough` reads all of
    /// `/proc`.
    fn members(&mut self, thorough: bool) -> Vec<Process> {
        let mut found: BTreeMap<i32, Process> = self.alive().into_iter().map(|p| (p.pid, p)).collect();
        if let Some(root) = Process::read(self.root) {
            found.insert(root.pid, root);
        }
        if thorough {
            let all = every_process();
            self.add_marked(&all, &mut found);
            loop {
                let belongs = |p: &&Process| {
                    !found.contains_key(&p.pid) && (found.contains_key(&p.parent) || p.group == self.root)
                };
                let more: Vec<Process> = all.iter().filter(belongs).copied().collect();
                if more.is_empty() {
                    break;
                }
                found.extend(more.into_iter().map(|p| (p.pid, p)));
            }
        } else {
            let mut ask: Vec<i32> = found.keys().copied().collect();
            while let Some(pid) = ask.pop() {
                for child in children(pid)
                    .into_iter()
                    .filter(|c| !found.contains_key(c))
                    .collect::<Vec<_>>()
                {
                    if let Some(process) = Process::read(child) {
                        found.insert(child, process);
                        ask.push(child);
                    }
                }
            }
        }
        for process in found.values() {
            if self.seen.get(&process.pid) != Some(&process.started)
                && !(self.wrappers > 0 && process.pid == self.root)
            {
                // If the machine runs out of memory, the kernel should choose the hook and not the server.
                let _ = fs::write(format!("/proc/{}/oom_score_adj", process.pid), "1000");
            }
        }
        self.seen = found.values().map(|p| (p.pid, p.started)).collect();
        found.into_values().collect()
    }

    /// Returns those of the tree's processes that are the hook's and have not ended.
    fn counted<'a>(&self, members: &'a [Process]) -> Vec<&'a Process> {
        let parents: BTreeMap<i32, i32> = members.iter().map(|p| (p.pid, p.parent)).collect();
        let is_wrapper = |process: &Process| {
            let mut pid = process.pid;
            for _ in 0..self.wrappers {
                if pid == self.root {
                    return true;
                }
                let Some(parent) = parents.get(&pid) else {
                    return false;
                };
                pid = *parent;
            }
            false
        };
        members.iter().filter(|p| !p.zombie && !is_wrapper(p)).collect()
    }

    /// Returns the current usage of the tree.
    pub(crate) fn usage(&mut self, thorough: bool) -> Usage {
        let members = self.members(thorough);
        let ticks: u64 = members.iter().map(|p| p.ticks).sum();
        let per_second = rustix::param::clock_ticks_per_second().max(1);
        let counted = self.counted(&members);
        Usage {
            resident: counted.iter().map(|p| p.resident_pages).sum::<u64>()
                * rustix::param::page_size() as u64,
            processor: Duration::from_millis(ticks.saturating_mul(1000) / per_second),
            processes: counted.len(),
        }
    }

    /// Returns the tree's resident memory in bytes, with each shared page divided among the processes that share it.
    /// Slow: the kernel walks every page table. If it cannot be read, all of a process's resident memory counts.
    pub(crate) fn proportional_memory(&self) -> u64 {
        let alive = self.alive();
        let counted = self.counted(&alive);
        counted
            .iter()
            .map(|p| proportional(p.pid).unwrap_or(p.resident_pages * rustix::param::page_size() as u64))
            .sum()
    }

    /// Returns what the tree's processes hold besides their resident memory and their directories.
    /// `disk` is the device of the directories.
    pub(crate) fn held(&self, disk: u64) -> Held {
        let alive = self.alive();
        let pids: Vec<i32> = self.counted(&alive).iter().map(|p| p.pid).collect();
        held(pids.into_iter(), disk)
    }

    /// Reaps the tree's ended processes that became children of the server. That happens when the server is the first
    /// process of a container; otherwise they would stay as zombies.
    pub(crate) fn reap(&self) {
        let server = rustix::process::getpid().as_raw_pid();
        for process in self
            .alive()
            .iter()
            .filter(|p| p.zombie && p.parent == server && p.pid != self.root)
        {
            let _ = waitpid(Pid::from_raw(process.pid), WaitOptions::NOHANG);
        }
    }

    /// Sends SIGKILL to everything in the tree, except to the root if `spare_root`, and returns how many processes
    /// had not ended yet.
    pub(crate) fn kill(&mut self, spare_root: bool) -> usize {
        let members = self.members(true);
        let spared = |pid: i32| spare_root && pid == self.root;
        let alive: Vec<&Process> = members.iter().filter(|p| !p.zombie && !spared(p.pid)).collect();
        let pids: BTreeSet<i32> = members.iter().map(|p| p.pid).collect();
        // Whole groups at once, because a group that forks faster than single kills would win. Only groups led by a
        // process of the tree: a hook may have joined a foreign one.
        let groups: BTreeSet<i32> = alive
            .iter()
            .map(|p| p.group)
            .filter(|g| pids.contains(g) && !spared(*g))
            .collect();
        for group in groups.into_iter().filter_map(Pid::from_raw) {
            let _ = kill_process_group(group, Signal::KILL);
        }
        for process in &alive {
            kill_exactly(process);
        }
        alive.len()
    }
}

/// Kills this process and never another one that reused its pid.
fn kill_exactly(process: &Process) {
    let Some(pid) = Pid::from_raw(process.pid) else {
        return;
    };
    let Ok(handle) = pidfd_open(pid, PidfdFlags::empty()) else {
        return;
    };
    if Process::read(process.pid).is_some_and(|now| now.started == process.started) {
        let _ = pidfd_send_signal(&handle, Signal::KILL);
    }
}

fn proportional(pid: i32) -> Option<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("Pss:"))?;
    line.trim()
        .strip_suffix("kB")?
        .trim()
        .parse::<u64>()
        .ok()
        .map(|kib| kib * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::process::CommandExt as _;
    use std::process::Command;
    use std::time::Instant;

    #[test]
    fn a_name_with_brackets_and_spaces_does_not_shift_the_fields() {
        let stat = b"7 (a) R 1) S 3 4 5 0 -1 0 0 0 0 0 10 20 30 40 20 0 1 0 999 1000 55 0";
        let process = Process::parse(7, stat).unwrap();
        let expected = Process {
            pid: 7,
            zombie: false,
            parent: 3,
            group: 4,
            ticks: 100,
            started: 999,
            resident_pages: 55,
        };
        assert_eq!(process, expected);
        assert!(Process::parse(7, b"7 (a").is_none());
    }

    #[test]
    fn a_tree_is_found_with_its_setsid_part_and_ended_whole() {
        let mut child = Command::new("/bin/sh")
            .args(["-c", "setsid sleep 61 & sleep 61 & wait"])
            .process_group(0)
            .spawn()
            .unwrap();
        let mut tree = Tree::new(Pid::from_child(&child), 0);
        let patience = Instant::now() + Duration::from_secs(5);
        while tree.usage(false).processes < 3 {
            assert!(Instant::now() < patience, "the tree was not found");
        }
        assert_eq!(tree.usage(true).processes, 3);
        assert!(tree.usage(false).resident > 100_000);
        assert!(tree.proportional_memory() > 0);
        while tree.kill(false) > 0 {
            assert!(Instant::now() < patience, "the tree was not ended");
        }
        child.wait().unwrap();
    }

    #[test]
    fn what_starts_a_hook_is_not_counted_and_its_orphans_are() {
        let process = |pid, parent| Process {
            pid,
            zombie: pid == 9,
            parent,
            group: 1,
            ticks: 0,
            started: 0,
            resident_pages: 1,
        };
        // A supervisor, the two processes of the sandbox, the hook and its child; an orphan; one that has ended.
        let members =
            [(1, 0), (2, 1), (3, 2), (4, 3), (5, 4), (6, 3), (9, 4)].map(|(pid, of)| process(pid, of));
        let of = |wrappers| {
            let tree = Tree::new(Pid::from_raw(1).unwrap(), wrappers);
            tree.counted(&members).iter().map(|p| p.pid).collect::<Vec<i32>>()
        };
        assert_eq!(of(0), [1, 2, 3, 4, 5, 6]);
        assert_eq!(of(1), [2, 3, 4, 5, 6]);
        assert_eq!(of(3), [4, 5, 6]);
    }
}
