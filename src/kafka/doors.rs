//! How many connections are open, in all and from each address, and whether one more may be. Counts only; sockets are
//! elsewhere.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

/// The counts, shared by all listeners.
#[derive(Debug)]
pub struct Doors {
    limit: usize,
    per_ip_limit: usize,
    open: Mutex<Open>,
}

#[derive(Debug, Default)]
struct Open {
    all: usize,
    by_ip: BTreeMap<IpAddr, usize>,
}

/// The right to one open connection, given back when dropped.
#[derive(Debug)]
pub struct Entry {
    doors: Arc<Doors>,
    ip: IpAddr,
}

/// Why a connection is closed as soon as it was accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shut {
    /// All connections together.
    Full(usize),
    /// Those of one address.
    FullFor(IpAddr, usize),
}

impl Doors {
    pub fn new(limit: usize, per_ip_limit: usize) -> Doors {
        Doors { limit, per_ip_limit, open: Mutex::default() }
    }

    /// Lets one connection from `ip` in.
    pub fn enter(self: &Arc<Doors>, ip: IpAddr) -> Result<Entry, Shut> {
        self.enter_within(ip, self.limit, self.per_ip_limit)
    }

    /// The same within limits that are set while the server runs.
    pub fn enter_within(self: &Arc<Doors>, ip: IpAddr, limit: usize, per_ip_limit: usize) -> Result<Entry, Shut> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if open.all >= limit {
            return Err(Shut::Full(limit));
        }
        if open.by_ip.get(&ip).is_some_and(|count| *count >= per_ip_limit) {
            return Err(Shut::FullFor(ip, per_ip_limit));
        }
        open.all += 1;
        *open.by_ip.entry(ip).or_insert(0) += 1;
        Ok(Entry { doors: self.clone(), ip })
    }

    /// How many connections are open.
    pub fn open(&self) -> usize {
        self.open.lock().unwrap_or_else(PoisonError::into_inner).all
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        let mut open = self.doors.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.all -= 1;
        if let Some(count) = open.by_ip.get_mut(&self.ip) {
            *count -= 1;
            if *count == 0 {
                open.by_ip.remove(&self.ip);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_hold_and_are_given_back() {
        let doors = Arc::new(Doors::new(3, 2));
        let (a, b) = (IpAddr::from([1, 1, 1, 1]), IpAddr::from([2, 2, 2, 2]));
        let first = doors.enter(a).expect("room");
        let _second = doors.enter(a).expect("room");
        assert_eq!(doors.enter(a).unwrap_err(), Shut::FullFor(a, 2));
        let _third = doors.enter(b).expect("room");
        assert_eq!(doors.enter(b).unwrap_err(), Shut::Full(3));
        drop(first);
        assert_eq!(doors.open(), 2);
        doors.enter(a).expect("room again");
    }
}
