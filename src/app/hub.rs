//! Who is sent what, and how often.
//!
//! Subscriptions on the same terms (topics, interval, mode, name) form a class: it is encoded once
//! for each tick at which it is due, and only if it has a member. A class keeps its members in a
//! vector, each subscriber keeps its place in it, and leaving swaps the last member into the gap,
//! so joining and leaving take constant time. A message may be handed out over several turns, in
//! which members come and go: each gets it at most once. The tables have fixed bounds.

mod class;

use self::class::Class;
pub use self::class::Sample;
use super::protocol::{ErrorCode, Refusal, SUBSCRIPTIONS_MAX};
use super::terms::Terms;
use crate::engine::handle::Handle;
use crate::engine::limits::Limits;
use crate::metrics::snapshot::Snapshot;

/// Classes at a time: each is an encoding for each tick at which it is due.
pub const CLASSES_MAX: usize = 32;

/// A connection's subscription, as its class sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Member {
    /// Whose.
    pub handle: Handle,
    /// The outbox's channel for it.
    pub channel: usize,
    /// The newest sequence number that it has been given.
    sequence: u64,
}

/// Where a subscription is in its class.
#[derive(Clone, Copy, Debug)]
struct Place {
    class: usize,
    position: usize,
    /// The subscriber knows that the class's messages are too long to be sent.
    is_told: bool,
}

/// What is kept for each connection that may subscribe.
#[derive(Debug, Default)]
struct Subscriber {
    places: [Option<Place>; SUBSCRIPTIONS_MAX],
}

/// All classes and their members.
#[derive(Debug)]
pub struct Hub {
    classes: Vec<Option<Class>>,
    /// By slot of the connection table.
    subscribers: Vec<Subscriber>,
    /// Of the class whose message is being handed out, the members from here on have been reached.
    /// Those who come are put behind it; those who move because another leaves are told by their
    /// sequence number.
    reached: Option<Reached>,
    /// Where the search for the next message begins: behind the class of the last, so that one
    /// whose members take longer than its interval leaves time to the others.
    next: usize,
}

/// How far a message has been handed out.
#[derive(Clone, Copy, Debug)]
struct Reached {
    class: usize,
    position: usize,
    sequence: u64,
}

impl Hub {
    /// A hub for as many connections as the table has slots.
    pub fn new(slots: usize) -> Hub {
        let standing = Some(Class::new(Terms::standard(), 0));
        Hub {
            classes: std::iter::once(standing).chain((1..CLASSES_MAX).map(|_| None)).collect(),
            subscribers: (0..slots).map(|_| Subscriber::default()).collect(),
            reached: None,
            next: 0,
        }
    }

    /// Bytes that a hub takes at most under `limits`, whatever its subscribers ask for. Means are
    /// as large as the host, and not in it.
    pub fn memory_ceiling(limits: &Limits) -> usize {
        // A list of members grows by doubling, and each connection may be in it.
        let members = 2 * limits.connections_max * size_of::<Member>();
        let class = size_of::<Option<Class>>()
            + Terms::bytes_max(limits.message_bytes_max)
            + Class::kept_bytes_max(limits.shared_bytes_max)
            + members;
        CLASSES_MAX * class + limits.slots() * size_of::<Subscriber>()
    }

    /// Enters a subscription, in place of one with the same name. Gives its channel, where what
    /// still waits is for the caller to retract, and the terms that are granted. When there are
    /// [`CLASSES_MAX`] classes already and none has these terms, they are those of a class that
    /// covers them, at the longest interval there is.
    ///
    /// # Errors
    /// A refusal with code `limit` when the connection has all its subscriptions, or when there are
    /// all classes and none covers these terms. Nothing is changed then.
    pub fn subscribe(&mut self, handle: Handle, terms: Terms) -> Result<(usize, &Terms), Refusal> {
        let held = self.channel_of(handle, &terms.sub);
        let free = self.subscribers[handle.slot()].places.iter().position(Option::is_none);
        let channel = held.or(free).ok_or_else(|| {
            let message =
                format_args!("a connection holds at most {SUBSCRIPTIONS_MAX} subscriptions");
            Refusal::new(ErrorCode::Limit, message)
        })?;
        let class = self.class_for(terms, held.map(|_| (handle, channel)))?;
        // One that asks for what it has stays where it is: leaving could end the class.
        let place = self.subscribers[handle.slot()].places[channel];
        if place.is_none_or(|place| place.class != class) {
            self.leave(handle, channel);
            self.join(handle, channel, class);
        } else if let Some(place) = &mut self.subscribers[handle.slot()].places[channel] {
            place.is_told = false;
        }
        Ok((channel, &self.class(class).terms))
    }

    /// Takes a subscription out; gives its channel if there was one of that name.
    pub fn unsubscribe(&mut self, handle: Handle, sub: &str) -> Option<usize> {
        let channel = self.channel_of(handle, sub)?;
        self.leave(handle, channel);
        Some(channel)
    }

    /// Takes out all that a connection has.
    pub fn remove(&mut self, handle: Handle) {
        for channel in 0..SUBSCRIPTIONS_MAX {
            self.leave(handle, channel);
        }
    }

    /// Takes note of a sample: classes that are due from now on have a message for
    /// [`Hub::take_due`]. A message has at most `bytes_max`. Gives how many encodings it took.
    pub fn step(&mut self, sample: Sample<'_>, scratch: &mut Vec<u8>, bytes_max: usize) -> u64 {
        // The class that stands without members is not encoded for nobody.
        let classes = self.classes.iter_mut().flatten().filter(|class| !class.members.is_empty());
        classes.map(|class| class.step(sample, scratch, bytes_max)).sum()
    }

    /// Appends the message of a class that is due to `out`, to be handed out to whoever
    /// [`Hub::next_member`] gives. Gives how many encodings it took; `None` if none is due.
    pub fn take_due(
        &mut self,
        snapshot: &Snapshot,
        sequence: u64,
        out: &mut Vec<u8>,
    ) -> Option<u64> {
        let is_due = |index: &usize| {
            let class = self.classes[*index].as_ref();
            class.is_some_and(|class| class.is_due && !class.members.is_empty())
        };
        let index = (self.next..CLASSES_MAX).chain(0..self.next).find(is_due)?;
        self.next = index + 1;
        let class = self.classes[index].as_mut()?;
        let encodings = class.take(snapshot, sequence, out);
        self.reached = Some(Reached { class: index, position: class.members.len(), sequence });
        Some(encodings)
    }

    /// The next to be given the message that was taken last; `None` when everybody has it.
    pub fn next_member(&mut self) -> Option<Member> {
        let Reached { class, position, sequence } = self.reached?;
        let members = &mut self.classes[class].as_mut()?.members;
        let end = position.min(members.len());
        let mut rest = members[..end].iter_mut().enumerate().rev();
        let next = rest.find(|(_, member)| member.sequence < sequence);
        let Some((position, member)) = next else {
            self.reached = None;
            return None;
        };
        member.sequence = sequence;
        self.reached = Some(Reached { class, position, sequence });
        Some(*member)
    }

    /// The name of a subscription whose holder does not know that its messages are too long.
    pub fn untold(&self, member: Member) -> Option<&str> {
        let place = self.subscribers[member.handle.slot()].places[member.channel]?;
        let class = self.classes[place.class].as_ref().filter(|_| !place.is_told)?;
        Some(&class.terms.sub)
    }

    /// Remembers that a subscription's holder has been told.
    pub fn set_told(&mut self, member: Member) {
        if let Some(place) = &mut self.subscribers[member.handle.slot()].places[member.channel] {
            place.is_told = true;
        }
    }

    /// Subscriptions in all.
    pub fn len(&self) -> usize {
        self.classes.iter().flatten().map(|class| class.members.len()).sum()
    }

    /// Whether nobody is subscribed.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Classes that have a member.
    pub fn classes(&self) -> usize {
        self.classes.iter().flatten().filter(|class| !class.members.is_empty()).count()
    }

    fn class(&self, index: usize) -> &Class {
        self.classes[index].as_ref().expect("a class that was found")
    }

    fn channel_of(&self, handle: Handle, sub: &str) -> Option<usize> {
        self.subscribers[handle.slot()].places.iter().position(|place| {
            let class = place.and_then(|place| self.classes[place.class].as_ref());
            class.is_some_and(|class| class.terms.sub == sub)
        })
    }

    /// The class with these terms, made if need be, or one that covers them. `leaving` is a
    /// subscription that is about to leave its class: if it is alone there, the class's place can
    /// be had.
    fn class_for(
        &mut self,
        terms: Terms,
        leaving: Option<(Handle, usize)>,
    ) -> Result<usize, Refusal> {
        let same = |class: &Option<Class>| class.as_ref().is_some_and(|class| class.terms == terms);
        if let Some(index) = self.classes.iter().position(same) {
            return Ok(index);
        }
        let mut vacant = self.classes.iter().position(Option::is_none);
        if let (None, Some((handle, channel))) = (vacant, leaving) {
            let place = self.subscribers[handle.slot()].places[channel];
            let class = place.map(|place| place.class).filter(|&class| self.is_alone_in(class));
            if class.is_some() {
                self.leave(handle, channel);
                vacant = class;
            }
        }
        let Some(index) = vacant else { return self.class_covering(&terms) };
        let phase = self.phase_for(terms.divisor);
        self.classes[index] = Some(Class::new(terms, phase));
        Ok(index)
    }

    fn class_covering(&self, terms: &Terms) -> Result<usize, Refusal> {
        let classes = self.classes.iter().enumerate();
        let classes = classes.filter_map(|(index, class)| Some((index, class.as_ref()?)));
        let covering = classes.filter(|(_, class)| class.terms.cover(terms));
        let longest = covering.max_by_key(|(_, class)| class.terms.divisor);
        longest.map(|(index, _)| index).ok_or_else(|| {
            let message = format_args!("there are {CLASSES_MAX} kinds of subscription already");
            Refusal::new(ErrorCode::Limit, message)
        })
    }

    /// The phase that the fewest classes of this interval have.
    fn phase_for(&self, divisor: u32) -> u64 {
        let classes =
            || self.classes.iter().flatten().filter(|class| class.terms.divisor == divisor);
        let count = |phase: &u64| classes().filter(|class| class.phase == *phase).count();
        (0..u64::from(divisor)).min_by_key(count).unwrap_or(0)
    }

    /// Whether a class goes away when its one member leaves.
    fn is_alone_in(&self, class: usize) -> bool {
        let class = self.classes[class].as_ref();
        class.is_some_and(|class| class.members.len() == 1 && !is_standing(&class.terms))
    }

    fn join(&mut self, handle: Handle, channel: usize, class: usize) {
        // Of a message that is being handed out it may have had the like by other terms.
        let reached = self.reached.filter(|reached| reached.class == class);
        let sequence = reached.map_or(0, |reached| reached.sequence);
        let members = &mut self.classes[class].as_mut().expect("a class that was found").members;
        let place = Place { class, position: members.len(), is_told: false };
        members.push(Member { handle, channel, sequence });
        self.subscribers[handle.slot()].places[channel] = Some(place);
    }

    fn leave(&mut self, handle: Handle, channel: usize) {
        let Some(place) = self.subscribers[handle.slot()].places[channel].take() else { return };
        let class = self.classes[place.class].as_mut().expect("a member's class is there");
        let left = class.members.swap_remove(place.position);
        let is_right = (left.handle, left.channel) == (handle, channel);
        assert!(is_right, "a subscriber knows its own place");
        if let Some(moved) = class.members.get(place.position) {
            let moved = self.subscribers[moved.handle.slot()].places[moved.channel].as_mut();
            moved.expect("a member has a place").position = place.position;
        } else if class.members.is_empty() && !is_standing(&class.terms) {
            self.classes[place.class] = None;
            self.reached = self.reached.filter(|reached| reached.class != place.class);
        }
    }
}

/// Whether a class is there without members too: the one that every page begins with is, so that
/// its place is never taken.
fn is_standing(terms: &Terms) -> bool {
    *terms == Terms::standard()
}

#[cfg(test)]
mod tests;
