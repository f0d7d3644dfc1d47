//! What workers write, the queue, the sweep and the archive.

pub(crate) mod archiving;
pub(crate) mod features;
pub(crate) mod queue;
pub(crate) mod records;
pub(crate) mod runs;
pub(crate) mod sweeping;
