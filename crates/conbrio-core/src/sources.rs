//! Who listens to which descriptor, with generations, so that a late event hits nobody.
//!
//! Its own room because events and registrations meet here and nowhere else. It arms nothing: it
//! says what has to be armed. It drops no listener either, since that may run foreign code.

use std::collections::BTreeMap;
use std::os::fd::RawFd;

use conbrio_driver::event::{Interest, Token};

/// Descriptors below this number have a place of their own; the few above, if a program names
/// any, are looked up.
const NEAR: usize = 1 << 16;

/// One direction of a descriptor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// Hears that reading would not wait.
    Reader,
    /// Hears that writing would not wait.
    Writer,
}

impl Side {
    /// Gives the side as an interest.
    #[inline]
    pub const fn interest(self) -> Interest {
        match self {
            Self::Reader => Interest::READ,
            Self::Writer => Interest::WRITE,
        }
    }
}

/// What is known of one descriptor's number.
#[derive(Debug)]
struct Entry<L> {
    /// Grows each time the last listener goes.
    generation: u32,
    reader: Option<L>,
    writer: Option<L>,
}

impl<L> Entry<L> {
    const fn new() -> Self {
        Self {
            generation: 0,
            reader: None,
            writer: None,
        }
    }

    #[inline]
    const fn side(&self, side: Side) -> Option<&L> {
        match side {
            Side::Reader => self.reader.as_ref(),
            Side::Writer => self.writer.as_ref(),
        }
    }

    #[inline]
    const fn side_mut(&mut self, side: Side) -> &mut Option<L> {
        match side {
            Side::Reader => &mut self.reader,
            Side::Writer => &mut self.writer,
        }
    }

    #[inline]
    fn interest(&self) -> Interest {
        let read = if self.reader.is_some() {
            Interest::READ
        } else {
            Interest::EMPTY
        };
        let write = if self.writer.is_some() {
            Interest::WRITE
        } else {
            Interest::EMPTY
        };
        read.with(write)
    }
}

/// What [`Sources::set`] changed.
#[derive(Debug)]
pub struct Change<L> {
    /// The listener that was replaced, or that could not be taken.
    pub old: Option<L>,
    /// What the driver has to watch now.
    pub interest: Interest,
    /// Under which token.
    pub token: Token,
}

/// Listeners by descriptor.
#[derive(Debug)]
pub struct Sources<L> {
    near: Vec<Entry<L>>,
    far: BTreeMap<RawFd, Entry<L>>,
    /// How many descriptors have a listener.
    watched: usize,
}

impl<L> Default for Sources<L> {
    fn default() -> Self {
        Self::new()
    }
}

impl<L> Sources<L> {
    /// Makes a table without listeners.
    pub const fn new() -> Self {
        Self {
            near: Vec::new(),
            far: BTreeMap::new(),
            watched: 0,
        }
    }

    /// Makes `listener` hear `side` of `fd`, and hands back who heard it before.
    ///
    /// A negative `fd` takes no listener: it comes straight back, with an empty interest.
    pub fn set(&mut self, fd: RawFd, side: Side, listener: L) -> Change<L> {
        let Some(entry) = self.grown(fd) else {
            return Change {
                old: Some(listener),
                interest: Interest::EMPTY,
                token: Token::WAKE,
            };
        };
        let first = entry.interest().is_empty();
        let old = entry.side_mut(side).replace(listener);
        let change = Change {
            old,
            interest: entry.interest(),
            token: token(fd, entry),
        };
        self.watched += usize::from(first);
        change
    }

    /// Takes who hears `side` of `fd`, and says what the driver has to watch from now on.
    pub fn unset(&mut self, fd: RawFd, side: Side) -> (Option<L>, Interest) {
        let Some(entry) = self.entry_mut(fd) else {
            return (None, Interest::EMPTY);
        };
        let gone = entry.side_mut(side).take();
        let interest = entry.interest();
        if gone.is_some() && interest.is_empty() {
            entry.generation = entry.generation.wrapping_add(1);
            self.watched -= 1;
        }
        (gone, interest)
    }

    /// Says who hears `side` of `fd`.
    #[inline]
    pub fn get(&self, fd: RawFd, side: Side) -> Option<&L> {
        self.entry(fd)?.side(side)
    }

    /// Says what the driver has to watch of `fd`.
    #[inline]
    pub fn interest(&self, fd: RawFd) -> Interest {
        self.entry(fd).map_or(Interest::EMPTY, Entry::interest)
    }

    /// Says who hears `side` of an event's `token`: nobody, when that registration is over.
    #[inline]
    pub fn find(&self, token: Token, side: Side) -> Option<&L> {
        let entry = self.entry(descriptor(token))?;
        if entry.generation != token.generation() {
            return None;
        }
        entry.side(side)
    }

    /// Gives the token under which `fd` is watched, if it is.
    #[inline]
    pub fn token(&self, fd: RawFd) -> Option<Token> {
        let entry = self.entry(fd)?;
        (!entry.interest().is_empty()).then(|| token(fd, entry))
    }

    /// Tells whether an event of `token`, which nobody hears, can have come of a registration that still stands.
    ///
    /// `armed` is whether the driver knows of one for the descriptor: then it ends soon.
    pub fn is_over(&self, token: Token, armed: impl FnOnce(RawFd) -> bool) -> bool {
        let fd = descriptor(token);
        match self.token(fd) {
            Some(now) => now != token,
            None => !armed(fd),
        }
    }

    /// Lists what the driver has to watch.
    pub fn watched(&self) -> Vec<(RawFd, Token, Interest)> {
        let mut watched: Vec<_> = self
            .iter()
            .filter_map(|(fd, _, _)| Some((fd, self.token(fd)?, self.interest(fd))))
            .collect();
        watched.dedup();
        watched
    }

    /// Counts the descriptors that have a listener.
    #[inline]
    pub fn len(&self) -> usize {
        self.watched
    }

    /// Tells whether nobody listens.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.watched == 0
    }

    /// Goes through the listeners.
    pub fn iter(&self) -> impl Iterator<Item = (RawFd, Side, &L)> + '_ {
        let near = self.near.iter().enumerate();
        let near = near.filter_map(|(fd, entry)| Some((RawFd::try_from(fd).ok()?, entry)));
        near.chain(self.far.iter().map(|(&fd, entry)| (fd, entry)))
            .flat_map(|(fd, entry)| {
                let reader = entry
                    .reader
                    .iter()
                    .map(move |listener| (fd, Side::Reader, listener));
                reader.chain(
                    entry
                        .writer
                        .iter()
                        .map(move |listener| (fd, Side::Writer, listener)),
                )
            })
    }

    #[inline]
    fn entry(&self, fd: RawFd) -> Option<&Entry<L>> {
        match usize::try_from(fd).ok()? {
            place if place < NEAR => self.near.get(place),
            _ => self.far.get(&fd),
        }
    }

    #[inline]
    fn entry_mut(&mut self, fd: RawFd) -> Option<&mut Entry<L>> {
        match usize::try_from(fd).ok()? {
            place if place < NEAR => self.near.get_mut(place),
            _ => self.far.get_mut(&fd),
        }
    }

    /// Finds the entry of `fd`, made if there is none.
    fn grown(&mut self, fd: RawFd) -> Option<&mut Entry<L>> {
        let place = usize::try_from(fd).ok()?;
        if place >= NEAR {
            return Some(self.far.entry(fd).or_insert_with(Entry::new));
        }
        if place >= self.near.len() {
            self.near.resize_with(place + 1, Entry::new);
        }
        self.near.get_mut(place)
    }
}

#[inline]
fn token<L>(fd: RawFd, entry: &Entry<L>) -> Token {
    Token::new(fd.cast_unsigned(), entry.generation)
}

#[inline]
fn descriptor(token: Token) -> RawFd {
    token.index().cast_signed()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use conbrio_driver::event::{Interest, Token};
    use proptest::prelude::{any, prop, prop_assert_eq, proptest};

    use super::{NEAR, Side, Sources};

    proptest! {
        #[test]
        fn behaves_as_a_map(
            deeds in prop::collection::vec((0..6, any::<bool>(), any::<bool>()), 0..100)
        ) {
            let mut sources = Sources::new();
            let mut model = BTreeMap::new();
            for (number, (fd, reader, set)) in deeds.into_iter().enumerate() {
                let side = if reader { Side::Reader } else { Side::Writer };
                if set {
                    let change = sources.set(fd, side, number);
                    prop_assert_eq!(change.old, model.insert((fd, reader), number));
                    prop_assert_eq!(sources.find(change.token, side), Some(&number));
                } else {
                    prop_assert_eq!(sources.unset(fd, side).0, model.remove(&(fd, reader)));
                }
                let watched = (0..6).filter(|&fd| {
                    model.contains_key(&(fd, true)) || model.contains_key(&(fd, false))
                });
                prop_assert_eq!(sources.len(), watched.count());
                prop_assert_eq!(sources.iter().count(), model.len());
                let other = if reader { Side::Writer } else { Side::Reader };
                prop_assert_eq!(sources.get(fd, other), model.get(&(fd, !reader)));
            }
        }
    }

    #[test]
    fn a_late_event_hits_nobody() {
        let mut sources = Sources::new();
        let token = sources.set(5, Side::Reader, 'a').token;
        assert_eq!(sources.token(5), Some(token));
        assert_eq!(sources.unset(5, Side::Reader), (Some('a'), Interest::EMPTY));
        assert_eq!(sources.token(5), None);
        let next = sources.set(5, Side::Reader, 'b').token;
        assert_eq!(sources.find(token, Side::Reader), None);
        assert_eq!(sources.find(next, Side::Reader), Some(&'b'));
        assert_eq!(sources.find(Token::WAKE, Side::Reader), None);
        sources.unset(5, Side::Reader);
        assert_eq!(sources.find(next, Side::Reader), None);
    }

    #[test]
    fn a_registration_that_is_over_is_told_from_one_that_stands() {
        let mut sources = Sources::new();
        let token = sources.set(5, Side::Reader, 'r').token;
        sources.set(5, Side::Writer, 'w');
        assert_eq!(sources.watched(), [(5, token, Interest::BOTH)]);
        assert!(!sources.is_over(token, |_| false));
        sources.unset(5, Side::Reader);
        sources.unset(5, Side::Writer);
        // Its descriptor is about to be closed, or was.
        assert!(!sources.is_over(token, |fd| fd == 5));
        assert!(sources.is_over(token, |_| false));
        let next = sources.set(5, Side::Reader, 'n').token;
        assert!(sources.is_over(token, |_| true));
        assert!(!sources.is_over(next, |_| true));
        assert_eq!(sources.watched(), [(5, next, Interest::READ)]);
    }

    #[test]
    fn the_other_side_keeps_the_generation() {
        let mut sources = Sources::new();
        let token = sources.set(5, Side::Reader, 'r').token;
        let change = sources.set(5, Side::Writer, 'w');
        assert_eq!((change.interest, change.token), (Interest::BOTH, token));
        assert_eq!(sources.unset(5, Side::Reader), (Some('r'), Interest::WRITE));
        assert_eq!(sources.find(token, Side::Writer), Some(&'w'));
        assert_eq!(sources.unset(5, Side::Writer), (Some('w'), Interest::EMPTY));
        assert!(sources.is_empty());
    }

    #[test]
    fn numbers_that_no_system_gives_cost_nothing() {
        let mut sources = Sources::new();
        assert_eq!(sources.set(-1, Side::Reader, 'a').old, Some('a'));
        assert_eq!(sources.unset(-1, Side::Reader), (None, Interest::EMPTY));
        let token = sources.set(i32::MAX, Side::Reader, 'b').token;
        assert_eq!(sources.find(token, Side::Reader), Some(&'b'));
        assert!(sources.near.capacity() < NEAR);
        assert_eq!(sources.iter().count(), 1);
        assert_eq!(sources.unset(i32::MAX, Side::Reader).0, Some('b'));
    }
}
