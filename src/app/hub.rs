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
        let is_due = |class: &Option<Class>| {
            class.as_ref().is_some_and(|class| class.is_due && !class.members.is_empty())
        };
        let index = self.classes.iter().position(is_due)?;
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
mod tests {
    use super::*;
    use crate::app::terms::Mode;
    use crate::metrics::selection::Selection;
    use proptest::prelude::*;

    fn handle(slot: u32) -> Handle {
        Handle { slot, generation: 0 }
    }

    fn terms(sub: &str, topic: &str, divisor: u32) -> Terms {
        let selection = Selection::parse([topic]).unwrap();
        Terms { sub: sub.to_owned(), selection, divisor, mode: Mode::Last }
    }

    fn step(hub: &mut Hub, sequence: u64) {
        let sample = Sample { snapshot: &Snapshot::default(), sequence, skipped: 0 };
        hub.step(sample, &mut Vec::new(), 1000);
    }

    fn take(hub: &mut Hub, sequence: u64) -> Option<String> {
        let mut out = Vec::new();
        hub.take_due(&Snapshot::default(), sequence, &mut out)?;
        let message: serde_json::Value = serde_json::from_slice(&out).unwrap();
        Some(message.get("sub").map_or("default", |sub| sub.as_str().unwrap()).to_owned())
    }

    /// The messages of a tick, by their subscription, and who gets each.
    fn messages(hub: &mut Hub, sequence: u64) -> Vec<(String, Vec<u32>)> {
        step(hub, sequence);
        let mut messages = Vec::new();
        while let Some(sub) = take(hub, sequence) {
            let members = std::iter::from_fn(|| hub.next_member());
            messages.push((sub, members.map(|member| member.handle.slot).collect()));
        }
        messages
    }

    fn due(hub: &mut Hub, sequence: u64) -> Vec<(String, usize)> {
        let messages = messages(hub, sequence).into_iter();
        messages.map(|(sub, members)| (sub, members.len())).collect()
    }

    #[test]
    fn those_who_want_the_same_share_a_class() {
        let mut hub = Hub::new(4);
        hub.subscribe(handle(0), terms("a", "cpu", 1)).unwrap();
        hub.subscribe(handle(1), terms("a", "cpu", 1)).unwrap();
        hub.subscribe(handle(2), terms("b", "cpu", 1)).unwrap();
        assert_eq!(due(&mut hub, 1), [("a".to_owned(), 2), ("b".to_owned(), 1)]);
    }

    #[test]
    fn a_class_is_due_once_in_its_interval() {
        let mut hub = Hub::new(4);
        hub.subscribe(handle(0), terms("a", "cpu", 5)).unwrap();
        step(&mut hub, 99);
        let count: usize = (100..110).map(|sequence| due(&mut hub, sequence).len()).sum();
        assert_eq!(count, 2);
    }

    #[test]
    fn subscribing_again_under_a_name_replaces_it() {
        let mut hub = Hub::new(4);
        let first = hub.subscribe(handle(0), terms("a", "cpu", 1)).unwrap().0;
        let second = hub.subscribe(handle(0), terms("a", "memory", 1)).unwrap().0;
        assert_eq!((first, hub.len()), (second, 1));
    }

    #[test]
    fn nothing_is_due_once_the_last_viewer_of_the_default_has_left() {
        let mut hub = Hub::new(4);
        hub.subscribe(handle(0), Terms::standard()).unwrap();
        assert_eq!(due(&mut hub, 1).len(), 1);
        hub.remove(handle(0));
        assert_eq!(due(&mut hub, 2), []);
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
        assert_eq!(hub.subscribe(handle(0), terms("e", "cpu", 1)).unwrap().0, 1);
    }

    #[test]
    fn classes_of_one_interval_are_due_at_different_ticks() {
        let mut hub = Hub::new(4);
        for (slot, topic) in ["cpu", "memory", "load", "disks"].into_iter().enumerate() {
            hub.subscribe(handle(slot as u32), terms("a", topic, 2)).unwrap();
        }
        step(&mut hub, 9);
        while take(&mut hub, 9).is_some() {}
        assert_eq!([due(&mut hub, 10).len(), due(&mut hub, 11).len()], [2, 2]);
    }

    #[test]
    fn a_message_that_is_handed_out_over_turns_reaches_each_member_once() {
        let mut hub = Hub::new(12);
        for slot in 0..8 {
            hub.subscribe(handle(slot), terms("a", "cpu", 1)).unwrap();
        }
        step(&mut hub, 5);
        take(&mut hub, 5).unwrap();
        let mut given: Vec<u32> = (0..3).map(|_| hub.next_member().unwrap().handle.slot).collect();
        // Leaving moves one who has it to where those are who have not; who comes has to wait.
        hub.unsubscribe(handle(1), "a");
        hub.subscribe(handle(9), terms("a", "cpu", 1)).unwrap();
        hub.unsubscribe(handle(2), "a");
        hub.unsubscribe(handle(9), "a");
        hub.subscribe(handle(10), terms("a", "cpu", 1)).unwrap();
        given.extend(std::iter::from_fn(|| hub.next_member()).map(|member| member.handle.slot));
        given.sort_unstable();
        assert_eq!(given, [0, 3, 4, 5, 6, 7]);
        assert_eq!(due(&mut hub, 6), [("a".to_owned(), 7)]);
    }

    #[test]
    fn a_class_that_ends_while_its_message_is_handed_out_ends_that_too() {
        let mut hub = Hub::new(4);
        hub.subscribe(handle(0), terms("a", "cpu", 1)).unwrap();
        step(&mut hub, 5);
        take(&mut hub, 5).unwrap();
        hub.unsubscribe(handle(0), "a");
        hub.subscribe(handle(1), terms("b", "cpu", 1)).unwrap();
        assert_eq!(hub.next_member(), None);
    }

    #[test]
    fn the_table_of_classes_has_a_bound_and_a_refusal_changes_nothing() {
        let mut hub = Hub::new(64);
        for slot in 1..CLASSES_MAX as u32 {
            hub.subscribe(handle(slot), terms(&format!("s{slot}"), "cpu", 1)).unwrap();
        }
        assert!(hub.subscribe(handle(40), terms("other", "cpu", 1)).is_err());
        assert_eq!(hub.len(), CLASSES_MAX - 1);
        // One that is alone in its class can change its terms all the same.
        assert!(hub.subscribe(handle(3), terms("s3", "memory", 1)).is_ok());
        hub.remove(handle(5));
        assert!(hub.subscribe(handle(40), terms("other", "cpu", 1)).is_ok());
    }

    #[test]
    fn the_class_that_every_page_begins_with_has_a_place_though_nobody_has_been_there() {
        let mut hub = Hub::new(64);
        let taken = |&slot: &u32| terms(&format!("s{slot}"), "cpu", 1);
        let granted = (0..64).filter(|slot| hub.subscribe(handle(*slot), taken(slot)).is_ok());
        assert_eq!(granted.count(), CLASSES_MAX - 1);
        assert_eq!(hub.subscribe(handle(63), Terms::standard()).unwrap().1, &Terms::standard());
    }

    #[test]
    fn without_room_for_a_class_one_that_covers_it_will_do() {
        let mut hub = Hub::new(64);
        for slot in 1..CLASSES_MAX as u32 - 3 {
            hub.subscribe(handle(slot), terms(&format!("s{slot}"), "cpu", 1)).unwrap();
        }
        for (slot, topic, divisor) in [(40, "cpu", 2), (41, "cpu", 5), (42, "memory", 5)] {
            hub.subscribe(handle(slot), terms("a", topic, divisor)).unwrap();
        }
        let granted = hub.subscribe(handle(50), terms("a", "cpu.usage", 10)).unwrap().1;
        assert_eq!(*granted, terms("a", "cpu", 5), "the longest interval that will do");
        for refused in [terms("a", "load", 10), terms("a", "cpu", 1), terms("b", "cpu", 10)] {
            let refusal = hub.subscribe(handle(51), refused).unwrap_err();
            assert_eq!(refusal.code, ErrorCode::Limit);
        }
        assert_eq!(hub.len(), CLASSES_MAX);
    }

    proptest! {
        #[test]
        fn membership_agrees_with_a_naive_model(
            steps in prop::collection::vec((0u8..3, 0u32..6, 0usize..3, 0usize..4), 1..200)
        ) {
            let mut hub = Hub::new(6);
            let mut model: Vec<(u32, String, Terms)> = Vec::new();
            let mut sequence = 0;
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
                sequence += 1;
                let mut held: Vec<_> = messages(&mut hub, sequence).into_iter().flat_map(|(sub, slots)| {
                    slots.into_iter().map(move |slot| (slot, sub.clone()))
                }).collect();
                let mut expected: Vec<_> =
                    model.iter().map(|(slot, sub, _)| (*slot, sub.clone())).collect();
                held.sort();
                expected.sort();
                prop_assert_eq!(held, expected);
            }
        }
    }
}
