//! The open connections: how many there may be, and how many of one address.
//!
//! Invariant: a connection that works for its client is never closed for another one. One that waits for its client
//! is: when there is no more room, the one that has waited longest makes way for a new one.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use super::connection::{Connection, ConnectionLimits, locked};
use crate::http::client::network;

/// All open connections, by address.
pub(super) struct Connections {
    limits: ConnectionLimits,
    open: Mutex<Open>,
}

#[derive(Default)]
struct Open {
    total: usize,
    by_address: HashMap<IpAddr, Vec<Arc<Connection>>>,
}

/// A connection that has its place until this is dropped.
pub(super) struct Admitted {
    pub(super) connection: Arc<Connection>,
    address: IpAddr,
    all: Arc<Connections>,
}

impl Connections {
    pub(super) fn new(limits: ConnectionLimits) -> Self {
        Self {
            limits,
            open: Mutex::default(),
        }
    }

    /// Gives a connection of this address a place, if need be that of one that waits for its client. Returns `None`
    /// when every place that it could have is at work.
    pub(super) fn admit(self: &Arc<Self>, peer: IpAddr) -> Option<Admitted> {
        let (address, now) = (network(peer), Instant::now());
        let mut open = locked(&self.open);
        let own = open.by_address.get(&address).map_or(0, Vec::len);
        let full = self.limits.per_address.is_some_and(|most| own >= most.get());
        if full && !open.make_way_of(address, now) {
            return None;
        }
        if open.total >= self.limits.total.get() && !open.make_way(now) {
            return None;
        }
        let connection = Arc::new(Connection::new(self.limits, now));
        open.total += 1;
        open.by_address
            .entry(address)
            .or_default()
            .push(Arc::clone(&connection));
        Some(Admitted {
            connection,
            address,
            all: Arc::clone(self),
        })
    }

    /// Ends the connection that waits longest, of the address that has most of them.
    pub(super) fn make_way(&self) {
        locked(&self.open).make_way(Instant::now());
    }
}

impl Open {
    fn make_way(&mut self, now: Instant) -> bool {
        let waiting = |(address, all): (&IpAddr, &Vec<Arc<Connection>>)| {
            longest_waiting(all, now).map(|_| (all.len(), *address))
        };
        let crowd = self.by_address.iter().filter_map(waiting).max();
        crowd.is_some_and(|(_, address)| self.make_way_of(address, now))
    }

    fn make_way_of(&mut self, address: IpAddr, now: Instant) -> bool {
        let Some(all) = self.by_address.get_mut(&address) else {
            return false;
        };
        let Some(index) = longest_waiting(all, now) else {
            return false;
        };
        all.swap_remove(index).make_way();
        self.total -= 1;
        if all.is_empty() {
            self.by_address.remove(&address);
        }
        true
    }
}

impl Drop for Admitted {
    fn drop(&mut self) {
        let mut open = locked(&self.all.open);
        let Some(all) = open.by_address.get_mut(&self.address) else {
            return;
        };
        // One that made way is not in the list any more.
        let Some(index) = all.iter().position(|one| Arc::ptr_eq(one, &self.connection)) else {
            return;
        };
        all.swap_remove(index);
        if all.is_empty() {
            open.by_address.remove(&self.address);
        }
        open.total -= 1;
    }
}

fn longest_waiting(all: &[Arc<Connection>], now: Instant) -> Option<usize> {
    let waiting = all
        .iter()
        .enumerate()
        .filter_map(|(index, one)| Some((one.waiting_since(now)?, index)));
    waiting.min().map(|(_, index)| index)
}

#[cfg(test)]
mod tests {
    use super::*;

    use std::num::NonZeroUsize;
    use std::time::Duration;

    const SECOND: Duration = Duration::from_secs(1);

    fn limits(total: usize, per_address: usize) -> ConnectionLimits {
        ConnectionLimits {
            total: NonZeroUsize::new(total).unwrap(),
            per_address: NonZeroUsize::new(per_address),
            head: 10 * SECOND,
            idle: 60 * SECOND,
            write: 30 * SECOND,
        }
    }

    fn address(last: u8) -> IpAddr {
        IpAddr::from([10, 0, 0, last])
    }

    fn count(all: &Connections) -> usize {
        locked(&all.open).total
    }

    // proves ISO-5
    #[test]
    fn who_waits_makes_way_and_who_is_served_does_not() {
        let all = Arc::new(Connections::new(limits(3, 2)));
        let first = all.admit(address(1)).unwrap();
        let served = all.admit(address(1)).unwrap();
        let (_, in_flight) = served.connection.begin();
        // The address is full: of its connections the one that waits is closed.
        let third = all.admit(address(1)).unwrap();
        assert_eq!(count(&all), 2);
        let (_, also) = third.connection.begin();
        assert!(all.admit(address(1)).is_none(), "both are served");
        // Another address has room, and the first one's end changes nothing any more.
        let other = all.admit(address(2)).unwrap();
        drop(first);
        assert_eq!(count(&all), 3);
        // No room at all: the one that waits makes way for any address.
        let last = all.admit(address(3)).unwrap();
        assert_eq!(count(&all), 3);
        let (_, its) = last.connection.begin();
        assert!(all.admit(address(4)).is_none());
        drop((in_flight, also, its));
        assert!(all.admit(address(4)).is_some());
        drop((served, third, other, last));
        assert_eq!(count(&all), 0);
        assert!(locked(&all.open).by_address.is_empty());
    }

    // proves ISO-5
    #[test]
    fn the_address_with_most_connections_makes_way_first() {
        let all = Arc::new(Connections::new(limits(4, 4)));
        let honest = all.admit(address(1)).unwrap();
        let crowd: Vec<Admitted> = (0..3).map(|_| all.admit(address(2)).unwrap()).collect();
        let _new = all.admit(address(3)).unwrap();
        assert_eq!(locked(&all.open).by_address[&address(2)].len(), 2);
        drop((honest, crowd));
    }
}
