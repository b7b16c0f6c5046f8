//! A limited number of places, of which nobody can keep the others out: while a guest has not shown who he is, he is a stranger,
//! and when the house is full, the stranger who has been there longest leaves for whoever comes.
//!
//! So a thousand connections that send nothing cost a caller nothing: his own takes the place of one of theirs, and he shows
//! his key in the first request. One address may have so many strangers only; more of them push out each other and nobody else.
//! Who is vouched for stays, whatever comes. Where showing who one is takes a while, a stranger has a time of grace in which
//! nobody pushes him out: else a rush of honest guests would push out each other for ever. It knows nothing of what a place is
//! for.
//!
//! Read first: [`Crowd::enter`], [`Place::vouch`].

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

/// Places for guests.
#[derive(Debug)]
pub struct Crowd {
    places: Arc<Semaphore>,
    each: usize,
    grace: Duration,
    strangers: Mutex<Strangers>,
}

/// A stranger in the house.
#[derive(Debug)]
struct Stranger {
    address: IpAddr,
    since: Instant,
    /// How he is asked to leave.
    leave: oneshot::Sender<()>,
}

#[derive(Debug, Default)]
struct Strangers {
    /// Counts guests; the oldest has the lowest number.
    last: u64,
    all: BTreeMap<u64, Stranger>,
    by_address: HashMap<IpAddr, BTreeSet<u64>>,
}

impl Strangers {
    fn remove(&mut self, guest: u64) -> Option<Stranger> {
        let stranger = self.all.remove(&guest)?;
        if let Some(same) = self.by_address.get_mut(&stranger.address) {
            same.remove(&guest);
            if same.is_empty() {
                self.by_address.remove(&stranger.address);
            }
        }
        Some(stranger)
    }

    /// Asks the oldest of all, or of one address, to leave. True: his place is free in a moment. Not asked is who has not had
    /// his time of grace; and who has just gone by himself, or took his place elsewhere (a link that was upgraded has limits of
    /// its own), is passed over: else a few of those would keep everybody waiting.
    fn oldest_leaves(&mut self, of: Option<&IpAddr>, grace: Duration) -> bool {
        loop {
            let oldest = match of {
                Some(address) => self.by_address.get(address).and_then(|same| same.first()).copied(),
                None => self.all.first_key_value().map(|(guest, _)| *guest),
            };
            let Some(oldest) = oldest.filter(|guest| self.all.get(guest).is_some_and(|one| one.since.elapsed() >= grace)) else {
                return false;
            };
            if self.remove(oldest).is_some_and(|stranger| stranger.leave.send(()).is_ok()) {
                return true;
            }
        }
    }
}

/// A place that somebody has. It is free again when this is dropped.
#[derive(Debug)]
pub struct Place {
    crowd: Arc<Crowd>,
    guest: u64,
    _permit: OwnedSemaphorePermit,
}

/// Ends when the place is wanted for somebody else.
#[derive(Debug)]
pub struct Wanted(oneshot::Receiver<()>);

impl Crowd {
    /// So many places, of which the strangers of one address get `each` at most. Each stranger may stay for the time of `grace`.
    pub fn new(places: usize, each: usize, grace: Duration) -> Arc<Crowd> {
        let places = Arc::new(Semaphore::new(places));
        Arc::new(Crowd { places, each: each.max(1), grace, strangers: Mutex::default() })
    }

    /// A place for a stranger from this address. Waits while nobody can be asked to leave, and until who was asked has left.
    pub async fn enter(self: &Arc<Self>, from: IpAddr) -> (Place, Wanted) {
        let from = network(from);
        self.make_room(from);
        self.take(from).await
    }

    /// The same, and `None` at once where nobody can be asked to leave.
    pub async fn try_enter(self: &Arc<Self>, from: IpAddr) -> Option<(Place, Wanted)> {
        let from = network(from);
        if !self.make_room(from) {
            return None;
        }
        Some(self.take(from).await)
    }

    /// True: there is a place, or will be in a moment.
    fn make_room(&self, from: IpAddr) -> bool {
        let mut strangers = self.lock();
        let same = strangers.by_address.get(&from).map_or(0, BTreeSet::len);
        if same >= self.each && strangers.oldest_leaves(Some(&from), self.grace) || self.places.available_permits() > 0 {
            return true;
        }
        strangers.oldest_leaves(None, self.grace)
    }

    async fn take(self: &Arc<Self>, address: IpAddr) -> (Place, Wanted) {
        let permit = match self.places.clone().acquire_owned().await {
            Ok(permit) => permit,
            // Never closed.
            Err(_) => std::future::pending().await,
        };
        let (leave, wanted) = oneshot::channel();
        let mut strangers = self.lock();
        strangers.last += 1;
        let guest = strangers.last;
        strangers.all.insert(guest, Stranger { address, since: Instant::now(), leave });
        strangers.by_address.entry(address).or_default().insert(guest);
        drop(strangers);
        (Place { crowd: self.clone(), guest, _permit: permit }, Wanted(wanted))
    }

    fn lock(&self) -> MutexGuard<'_, Strangers> {
        self.strangers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    /// Its guest has shown who he is: from now on nobody else gets the place.
    pub fn vouch(&self) {
        drop(self.crowd.lock().remove(self.guest));
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        drop(self.crowd.lock().remove(self.guest));
    }
}

impl Wanted {
    /// Waits until the place is wanted; for ever, once its guest is vouched for.
    pub async fn wait(self) {
        if self.0.await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

/// Whoever holds one IPv6 address holds a whole network of 64 bits; an IPv4 address stands for itself.
pub fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & !u128::from(u64::MAX))),
        v4 => v4,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::pin::pin;
    use std::task::{Context, Waker};

    use super::*;

    fn from(last: u8) -> IpAddr {
        IpAddr::from([192, 0, 2, last])
    }

    /// Is somebody asked to leave? Looks once, without waiting.
    fn is_wanted(wanted: &mut Wanted) -> bool {
        wanted.0.try_recv().is_ok()
    }

    /// Would it have to wait?
    fn waits(future: impl Future) -> bool {
        pin!(future).poll(&mut Context::from_waker(Waker::noop())).is_pending()
    }

    #[tokio::test]
    async fn the_oldest_stranger_leaves_for_whoever_comes_and_who_is_vouched_for_stays() {
        let crowd = Crowd::new(3, 3, Duration::ZERO);
        let (known, mut known_wanted) = crowd.enter(from(1)).await;
        known.vouch();
        let (older, mut older_wanted) = crowd.enter(from(2)).await;
        let (_younger, mut younger_wanted) = crowd.enter(from(3)).await;
        let coming = tokio::spawn({
            let crowd = crowd.clone();
            async move { crowd.enter(from(4)).await }
        });
        (&mut older_wanted.0).await.unwrap();
        assert!(!is_wanted(&mut known_wanted) && !is_wanted(&mut younger_wanted));
        drop(older);
        let (_comer, _wanted) = coming.await.unwrap();
        assert_eq!(crowd.lock().all.len(), 2, "the younger one and the one that came");
    }

    #[tokio::test]
    async fn one_address_pushes_out_its_own_strangers_alone() {
        let crowd = Crowd::new(100, 2, Duration::ZERO);
        let (_other, mut other_wanted) = crowd.enter(from(1)).await;
        let (_first, mut first_wanted) = crowd.enter(from(2)).await;
        let (second, mut second_wanted) = crowd.enter(from(2)).await;
        let (_third, mut third_wanted) = crowd.enter(from(2)).await;
        assert!(is_wanted(&mut first_wanted) && !is_wanted(&mut second_wanted) && !is_wanted(&mut other_wanted));
        // Who is vouched for counts no more.
        second.vouch();
        let _fourth = crowd.enter(from(2)).await;
        assert!(!is_wanted(&mut third_wanted));
        assert_eq!(network("2001:db8::1:2:3:4".parse().unwrap()), network("2001:db8::9".parse().unwrap()));
        assert_ne!(network("2001:db8::1".parse().unwrap()), network("2001:db8:0:1::1".parse().unwrap()));
    }

    #[tokio::test]
    async fn a_house_full_of_known_guests_makes_wait_and_none_of_them_leaves() {
        let crowd = Crowd::new(1, 1, Duration::ZERO);
        let (known, wanted) = crowd.enter(from(1)).await;
        known.vouch();
        assert!(waits(wanted.wait()), "he is never asked to leave");
        assert!(waits(crowd.enter(from(2))), "the place is not given twice");
        assert!(crowd.try_enter(from(2)).await.is_none());
        drop(known);
        drop(crowd.enter(from(2)).await);
        assert!(crowd.lock().by_address.is_empty(), "nothing is remembered of who has gone");
    }

    #[tokio::test]
    async fn who_listens_no_more_is_passed_over() {
        let crowd = Crowd::new(3, 3, Duration::ZERO);
        // They keep their places, and nobody there hears that they are wanted.
        let (_deaf, _) = crowd.enter(from(1)).await;
        let (_deaf_too, _) = crowd.enter(from(2)).await;
        let (listening, mut wanted) = crowd.enter(from(3)).await;
        let coming = tokio::spawn({
            let crowd = crowd.clone();
            async move { crowd.try_enter(from(4)).await.is_some() }
        });
        (&mut wanted.0).await.unwrap();
        drop(listening);
        assert!(coming.await.unwrap());
    }

    #[tokio::test]
    async fn in_his_time_of_grace_a_stranger_is_not_pushed_out() {
        let crowd = Crowd::new(1, 1, Duration::from_secs(3600));
        let (_first, mut first_wanted) = crowd.try_enter(from(1)).await.unwrap();
        assert!(crowd.try_enter(from(2)).await.is_none());
        assert!(!is_wanted(&mut first_wanted));
    }
}
