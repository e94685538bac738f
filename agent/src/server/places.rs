//! Places for connections.
//!
//! | who | places | when all are taken |
//! |---|---|---|
//! | strangers, until a certificate or token of theirs is accepted | [`STRANGERS`], [`EACH`] of them for one address | the one that came first leaves |
//! | who is known | [`KNOWN`] | 503 |
//!
//! So strangers take no place from who is known, and who comes to be known finds one among them:
//! it needs it only for as long as hands are shaken, and for a token's question.

use std::collections::VecDeque;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::AbortHandle;

/// Most strangers at a time.
pub const STRANGERS: usize = 256;

/// Most of them from one address: an API server may begin many streams at once.
pub const EACH: usize = 128;

/// Most connections of those who are known, streams among them.
pub const KNOWN: usize = 256;

/// All places.
#[derive(Debug)]
pub struct Places {
    strangers: Mutex<Strangers>,
    known: Arc<Semaphore>,
}

/// Strangers, in the order in which they came.
#[derive(Debug, Default)]
struct Strangers {
    next: u64,
    all: VecDeque<Stranger>,
}

#[derive(Debug)]
struct Stranger {
    number: u64,
    source: IpAddr,
    task: AbortHandle,
}

/// A connection's place.
#[derive(Debug)]
pub struct Place {
    places: Arc<Places>,
    number: u64,
    known: OnceLock<Known>,
}

/// A place of somebody who is known; it is free again once nobody has this.
pub type Known = Arc<OwnedSemaphorePermit>;

impl Places {
    /// All of them free; so many are for who is known.
    #[must_use]
    pub fn new(known: usize) -> Arc<Self> {
        Arc::new(Self { strangers: Mutex::default(), known: Arc::new(Semaphore::new(known)) })
    }

    /// Serves who comes from an address, in a task of its own, as a stranger at first.
    pub fn enter<F>(self: &Arc<Self>, source: IpAddr, serve: impl FnOnce(Place) -> F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let source = network(source);
        let mut strangers = self.strangers();
        strangers.make_room(source);
        let number = strangers.next;
        strangers.next += 1;
        let place = Place { places: self.clone(), number, known: OnceLock::new() };
        // The task may become known at once: it waits for the lock then.
        let task = tokio::spawn(serve(place)).abort_handle();
        strangers.all.push_back(Stranger { number, source, task });
    }

    fn strangers(&self) -> MutexGuard<'_, Strangers> {
        self.strangers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Strangers {
    /// Ends the connection that is to leave for one from here, if one is.
    fn make_room(&mut self, source: IpAddr) {
        self.all.retain(|one| !one.task.is_finished());
        let from_here = |one: &Stranger| one.source == source;
        let leaves = match self.all.iter().filter(|one| from_here(one)).count() {
            EACH.. => self.all.iter().position(from_here),
            _ => (self.all.len() >= STRANGERS).then_some(0),
        };
        if let Some(one) = leaves.and_then(|index| self.all.remove(index)) {
            one.task.abort();
        }
    }
}

impl Place {
    /// Makes it a place of somebody who is known, if it is not one yet; nothing when they are all
    /// taken.
    pub fn known(&self) -> Option<Known> {
        if let Some(known) = self.known.get() {
            return Some(known.clone());
        }
        let permit = self.places.known.clone().try_acquire_owned().ok()?;
        self.places.strangers().all.retain(|one| one.number != self.number);
        Some(self.known.get_or_init(|| Arc::new(permit)).clone())
    }
}

/// What counts as one address: who has an IPv6 network has all of its 2^64 addresses.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(own) => Ipv6Addr::from_bits(own.to_bits() >> 64 << 64).into(),
        own => own,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::sync::mpsc;

    /// Somebody who stays, and tells the number of the place that was left at the end.
    struct Stays(Place, mpsc::UnboundedSender<u64>);

    impl Drop for Stays {
        fn drop(&mut self) {
            let _ = self.1.send(self.0.number);
        }
    }

    fn enter(places: &Arc<Places>, source: &str, left: &mpsc::UnboundedSender<u64>, known: bool) {
        let left = left.clone();
        places.enter(source.parse().unwrap(), move |place| {
            let own = Stays(place, left);
            async move {
                assert!(!known || own.0.known().is_some());
                std::future::pending::<()>().await;
            }
        });
    }

    async fn gone(left: &mut mpsc::UnboundedReceiver<u64>) -> Vec<u64> {
        for _ in 0..10 {
            tokio::task::yield_now().await;
        }
        std::iter::from_fn(|| left.try_recv().ok()).collect()
    }

    #[tokio::test]
    async fn strangers_make_room_for_each_other_and_not_for_who_is_known() {
        let (places, (sender, mut left)) = (Places::new(KNOWN), mpsc::unbounded_channel());
        enter(&places, "192.0.2.1", &sender, true);
        assert!(gone(&mut left).await.is_empty());
        (0..EACH).for_each(|_| enter(&places, "192.0.2.1", &sender, false));
        assert!(gone(&mut left).await.is_empty(), "each has its place");
        enter(&places, "192.0.2.1", &sender, false);
        enter(&places, "::ffff:192.0.2.1", &sender, false);
        assert_eq!(gone(&mut left).await, [1, 2]);
        (0..STRANGERS - EACH)
            .for_each(|last| enter(&places, &format!("192.0.2.{}", last + 2), &sender, false));
        assert!(gone(&mut left).await.is_empty());
        enter(&places, "2001:db8::1", &sender, false);
        assert_eq!(gone(&mut left).await, [3], "the oldest of all");
    }

    #[tokio::test]
    async fn a_network_of_ipv6_is_one_address() {
        let (places, (sender, mut left)) = (Places::new(KNOWN), mpsc::unbounded_channel());
        (0..EACH + 2).for_each(|last| enter(&places, &format!("2001:db8::{last}"), &sender, false));
        assert_eq!(gone(&mut left).await, [0, 1]);
    }

    #[tokio::test]
    async fn places_of_who_is_known_are_free_again() {
        let places = Places::new(KNOWN);
        let place = |number| Place { places: places.clone(), number, known: OnceLock::new() };
        let mut all: Vec<Place> = (0..KNOWN as u64).map(place).collect();
        assert!(all.iter().all(|one| one.known().is_some() && one.known().is_some()));
        assert!(place(1000).known().is_none());
        let stays = all.pop().unwrap().known();
        assert!(place(1001).known().is_none(), "a stream has the place still");
        drop(stays);
        assert!(place(1002).known().is_some());
    }
}
