//! Who is sent what, and how often.
//!
//! Subscriptions that want the same (topics, interval, name) form a class: it is encoded once for
//! each tick at which it is due, and only if it has a member. A class keeps its members in a
//! vector, each subscriber keeps its place in it, and leaving swaps the last member into the gap,
//! so joining and leaving take constant time. The tables have fixed bounds.

use crate::engine::handle::Handle;
use crate::engine::limits::Limits;
use crate::metrics::selection::Selection;

use super::protocol::{DEFAULT_SUBSCRIPTION, ErrorCode, Refusal, SUBSCRIPTIONS_MAX};

/// Classes at a time: each is an encoding and a pooled frame for each tick at which it is due.
pub const CLASSES_MAX: usize = 32;

/// What the members of a class have in common.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Terms {
    /// The subscription's name, which is in the message.
    pub sub: String,
    /// What of a sample is sent.
    pub selection: Selection,
    /// Base ticks from one message to the next.
    pub divisor: u32,
}

impl Terms {
    /// Bytes of heap that terms take at most which one message has asked for. The shortest path of
    /// a row has ten bytes with its quotes and comma and is kept as a text and a mask, in a list
    /// that grows by doubling: 64 bytes for ten, and the text.
    pub fn bytes_max(message_bytes_max: usize) -> usize {
        8 * message_bytes_max + 512
    }
}

/// Subscriptions that are served by one encoding.
#[derive(Debug)]
struct Class {
    terms: Terms,
    /// The class is due when the sequence number leaves this remainder. Classes of one interval
    /// have different ones, so that their encodings do not all fall on one tick.
    phase: u64,
    members: Vec<Member>,
}

/// A connection's subscription, as its class sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Member {
    /// Whose.
    pub handle: Handle,
    /// The outbox's channel for it.
    pub channel: usize,
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
}

impl Hub {
    /// A hub for as many connections as the table has slots.
    pub fn new(slots: usize) -> Hub {
        Hub {
            classes: (0..CLASSES_MAX).map(|_| None).collect(),
            subscribers: (0..slots).map(|_| Subscriber::default()).collect(),
        }
    }

    /// Bytes that a hub takes at most under `limits`, whatever its subscribers ask for.
    pub fn memory_ceiling(limits: &Limits) -> usize {
        // A list of members grows by doubling, and each connection may be in it.
        let members = 2 * limits.connections_max * size_of::<Member>();
        let class =
            size_of::<Option<Class>>() + Terms::bytes_max(limits.message_bytes_max) + members;
        CLASSES_MAX * class + limits.slots() * size_of::<Subscriber>()
    }

    /// Enters a subscription, in place of one with the same name. Gives its channel; what still
    /// waits there is for the caller to retract.
    ///
    /// # Errors
    /// A refusal with code `limit` when the connection has all its subscriptions, or when there are
    /// [`CLASSES_MAX`] classes already and none with these terms. Nothing is changed then.
    pub fn subscribe(&mut self, handle: Handle, terms: Terms) -> Result<usize, Refusal> {
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
        Ok(channel)
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

    /// The classes that are due at `sequence` and have members.
    pub fn due(&self, sequence: u64) -> impl Iterator<Item = (&Terms, &[Member])> {
        // The class that stands without members is not encoded for nobody.
        let classes = self.classes.iter().flatten().filter(|class| !class.members.is_empty());
        let due =
            classes.filter(move |class| sequence % u64::from(class.terms.divisor) == class.phase);
        due.map(|class| (&class.terms, &class.members[..]))
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

    fn channel_of(&self, handle: Handle, sub: &str) -> Option<usize> {
        self.subscribers[handle.slot()].places.iter().position(|place| {
            let class = place.and_then(|place| self.classes[place.class].as_ref());
            class.is_some_and(|class| class.terms.sub == sub)
        })
    }

    /// The class with these terms, made if need be. `leaving` is a subscription that is about to
    /// leave its class: if it is alone there, the class's place can be had.
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
        let index = vacant.ok_or_else(|| {
            let message = format_args!("there are {CLASSES_MAX} kinds of subscription already");
            Refusal::new(ErrorCode::Limit, message)
        })?;
        let phase = (index as u64) % u64::from(terms.divisor);
        self.classes[index] = Some(Class { terms, phase, members: Vec::new() });
        Ok(index)
    }

    /// Whether a class goes away when its one member leaves.
    fn is_alone_in(&self, class: usize) -> bool {
        let class = self.classes[class].as_ref();
        class.is_some_and(|class| class.members.len() == 1 && !is_standing(&class.terms))
    }

    fn join(&mut self, handle: Handle, channel: usize, class: usize) {
        let members = &mut self.classes[class].as_mut().expect("a class that was found").members;
        let place = Place { class, position: members.len(), is_told: false };
        members.push(Member { handle, channel });
        self.subscribers[handle.slot()].places[channel] = Some(place);
    }

    fn leave(&mut self, handle: Handle, channel: usize) {
        let Some(place) = self.subscribers[handle.slot()].places[channel].take() else { return };
        let class = self.classes[place.class].as_mut().expect("a member's class is there");
        let left = class.members.swap_remove(place.position);
        assert!(left == Member { handle, channel }, "a subscriber knows its own place");
        if let Some(moved) = class.members.get(place.position) {
            let moved = self.subscribers[moved.handle.slot()].places[moved.channel].as_mut();
            moved.expect("a member has a place").position = place.position;
        } else if class.members.is_empty() && !is_standing(&class.terms) {
            self.classes[place.class] = None;
        }
    }
}

/// Whether a class stays when its last member leaves: the one that every page begins with does, so
/// that its place is never taken.
fn is_standing(terms: &Terms) -> bool {
    terms.divisor == 1
        && terms.sub == DEFAULT_SUBSCRIPTION
        && terms.selection == Selection::standard()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn handle(slot: u32) -> Handle {
        Handle { slot, generation: 0 }
    }

    fn terms(sub: &str, topic: &str, divisor: u32) -> Terms {
        let selection = Selection::parse([topic]).unwrap();
        Terms { sub: sub.to_owned(), selection, divisor }
    }

    fn due(hub: &Hub, sequence: u64) -> Vec<(String, usize)> {
        hub.due(sequence).map(|(terms, members)| (terms.sub.clone(), members.len())).collect()
    }

    #[test]
    fn those_who_want_the_same_share_a_class() {
        let mut hub = Hub::new(4);
        hub.subscribe(handle(0), terms("a", "cpu", 1)).unwrap();
        hub.subscribe(handle(1), terms("a", "cpu", 1)).unwrap();
        hub.subscribe(handle(2), terms("b", "cpu", 1)).unwrap();
        assert_eq!(due(&hub, 1), [("a".to_owned(), 2), ("b".to_owned(), 1)]);
    }

    #[test]
    fn a_class_is_due_once_in_its_interval() {
        let mut hub = Hub::new(4);
        hub.subscribe(handle(0), terms("a", "cpu", 5)).unwrap();
        let count: usize = (100..110).map(|sequence| due(&hub, sequence).len()).sum();
        assert_eq!(count, 2);
    }

    #[test]
    fn subscribing_again_under_a_name_replaces_it() {
        let mut hub = Hub::new(4);
        let first = hub.subscribe(handle(0), terms("a", "cpu", 1)).unwrap();
        let second = hub.subscribe(handle(0), terms("a", "memory", 1)).unwrap();
        assert_eq!((first, hub.len()), (second, 1));
    }

    #[test]
    fn nothing_is_due_once_the_last_viewer_of_the_default_has_left() {
        let mut hub = Hub::new(4);
        let selection = Selection::standard();
        let terms = Terms { sub: DEFAULT_SUBSCRIPTION.to_owned(), selection, divisor: 1 };
        hub.subscribe(handle(0), terms).unwrap();
        assert_eq!(due(&hub, 1).len(), 1);
        hub.remove(handle(0));
        assert_eq!(due(&hub, 2), []);
    }

    #[test]
    fn a_connection_has_a_bound_and_its_own_subscriptions_can_still_change() {
        let mut hub = Hub::new(4);
        for sub in ["a", "b", "c", "d"] {
            hub.subscribe(handle(0), terms(sub, "cpu", 1)).unwrap();
        }
        let refusal = hub.subscribe(handle(0), terms("e", "cpu", 1)).unwrap_err();
        assert_eq!(refusal.code, ErrorCode::Limit);
        assert!(hub.subscribe(handle(0), terms("d", "memory", 2)).is_ok());
        assert_eq!(hub.unsubscribe(handle(0), "b"), Some(1));
        assert_eq!(hub.subscribe(handle(0), terms("e", "cpu", 1)), Ok(1));
    }

    #[test]
    fn the_table_of_classes_has_a_bound_and_a_refusal_changes_nothing() {
        let mut hub = Hub::new(64);
        for slot in 0..CLASSES_MAX as u32 {
            hub.subscribe(handle(slot), terms(&format!("s{slot}"), "cpu", 1)).unwrap();
        }
        assert!(hub.subscribe(handle(40), terms("other", "cpu", 1)).is_err());
        assert_eq!(hub.len(), CLASSES_MAX);
        // One that is alone in its class can change its terms all the same.
        assert!(hub.subscribe(handle(3), terms("s3", "memory", 1)).is_ok());
        hub.remove(handle(5));
        assert!(hub.subscribe(handle(40), terms("other", "cpu", 1)).is_ok());
    }

    proptest! {
        #[test]
        fn membership_agrees_with_a_naive_model(
            steps in prop::collection::vec((0u8..3, 0u32..6, 0usize..3, 0usize..4), 1..200)
        ) {
            let mut hub = Hub::new(6);
            let mut model: Vec<(u32, String, Terms)> = Vec::new();
            for (step, slot, name, topic) in steps {
                let name = ["a", "b", "c"][name];
                match step {
                    0 => {
                        let terms = terms(name, ["cpu", "memory", "load", "disks"][topic], 1);
                        prop_assert!(hub.subscribe(handle(slot), terms.clone()).is_ok());
                        model.retain(|(s, n, _)| (*s, n.as_str()) != (slot, name));
                        model.push((slot, name.to_owned(), terms));
                    }
                    1 => {
                        let was = model.iter().any(|(s, n, _)| (*s, n.as_str()) == (slot, name));
                        prop_assert_eq!(hub.unsubscribe(handle(slot), name).is_some(), was);
                        model.retain(|(s, n, _)| (*s, n.as_str()) != (slot, name));
                    }
                    _ => {
                        hub.remove(handle(slot));
                        model.retain(|(s, _, _)| *s != slot);
                    }
                }
                let mut held: Vec<_> = hub.due(0).flat_map(|(terms, members)| {
                    members.iter().map(move |member| (member.handle.slot() as u32, terms.clone()))
                }).collect();
                let mut expected: Vec<_> =
                    model.iter().map(|(slot, _, terms)| (*slot, terms.clone())).collect();
                held.sort_by_key(|(slot, terms)| (*slot, format!("{terms:?}")));
                expected.sort_by_key(|(slot, terms)| (*slot, format!("{terms:?}")));
                prop_assert_eq!(held, expected);
            }
        }
    }
}
