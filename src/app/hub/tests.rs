//! What the hub promises, against a naive model too.

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
