//! How many connections are handed on at once: each takes six descriptors, and nobody is to take all of them from
//! the others.

use super::wanted::Place;
use std::mem::discriminant;
use std::net::IpAddr;

/// Most connections to published ports.
const MOST: usize = 4096;
/// Most clients that ask for names by TCP, and most connections of one of them.
const MOST_ASKING: usize = 512;
const MOST_OF_ONE: usize = 32;

/// On whose account a connection is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Account {
    /// It came to this published port.
    Port(Place),
    /// This client asks for names.
    Asker(IpAddr),
}

/// Whether there is room for one more beside these, where so many descriptors may be open.
pub fn is_left(there: impl Iterator<Item = Account>, new: Account, descriptors: u64) -> bool {
    let (most, most_of_one) = match new {
        Account::Port(_) => {
            // Three quarters of the descriptors; one port leaves half of them to others.
            let most = usize::try_from(descriptors / 8).unwrap_or(MOST).min(MOST);
            (most, most / 2)
        }
        Account::Asker(_) => (MOST_ASKING, MOST_OF_ONE),
    };
    let alike = there.filter(|account| discriminant(account) == discriminant(&new));
    let (all, own) = alike.fold((0, 0), |(all, own), account| (all + 1, own + usize::from(account == new)));
    all < most && own < most_of_one
}

#[cfg(test)]
mod tests {
    use super::*;
    use spec::network::Protocol;

    fn port(port: u16) -> Account {
        Account::Port(Place { protocol: Protocol::Tcp, address: ([127, 0, 0, 1], port).into() })
    }

    fn asker(number: u8) -> Account {
        Account::Asker([10, 210, 0, number].into())
    }

    /// How many have room when so many of one account come first, and then others.
    fn admitted(first: (Account, usize), others: &[Account], descriptors: u64) -> (usize, usize) {
        let mut there = Vec::new();
        let mut admit = |account| {
            let left = is_left(there.iter().copied(), account, descriptors);
            there.extend(left.then_some(account));
            left
        };
        let own = (0..first.1).filter(|_| admit(first.0)).count();
        (own, others.iter().filter(|other| admit(**other)).count())
    }

    #[test]
    fn nobody_takes_all() {
        let names: Vec<Account> = (3..=200).map(asker).collect();
        assert_eq!(admitted((asker(2), 1000), &names, 1024), (32, 198));
        let ports: Vec<Account> = (1..=5000).map(port).collect();
        assert_eq!(admitted((port(8080), 5000), &[asker(2)], 1 << 20), (2048, 1));
        assert_eq!(admitted((port(8080), 5000), &ports, 1024), (64, 64));
        assert_eq!(admitted((asker(2), 32), &ports[..10], 1024), (32, 10));
    }
}
