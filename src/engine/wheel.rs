//! The timer wheel: when something must happen, without looking at everything that waits.
//!
//! Hierarchical, after Varghese and Lauck: five levels of 64 slots, each level 64 times coarser
//! than the one below. Inserting and cancelling take constant time; an entry moves down a level at
//! most four times before it fires. Everything is in one vector that is made at the start: entries
//! are linked by index, and free ones form a list. Time is rounded up to granules of 4.2 ms: a
//! timer never fires early, and at most one granule late. Imports the clock's [`Tick`] and the
//! ledger's form of a check.

use super::clock::Tick;
use super::ledger::ensure;

/// A granule is 2^22 ns. Half would wake an idle host twice as often for timers that lie close
/// together; double would show in the lateness of a tick.
const GRANULE_BITS: u32 = 22;

/// Six bits of the granule number choose the slot on a level: one word says which are occupied.
const SLOT_BITS: u32 = 6;
const SLOTS: usize = 1 << SLOT_BITS;

/// Five levels reach 2^30 granules, 52 days. What is due later waits in the last slot that can be
/// reached and is sorted in again from there.
const LEVELS: usize = 5;
const RANGE: u64 = 1 << (SLOT_BITS * LEVELS as u32);

/// No entry.
const NONE: u32 = u32::MAX;

/// The list of entries that have expired and are not yet popped: beside the slots of the levels.
const EXPIRED: usize = LEVELS * SLOTS;

/// A timer, or nothing once it has fired or was cancelled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimerId {
    index: u32,
    generation: u32,
}

#[derive(Clone, Copy, Debug)]
struct Entry<K> {
    /// The granule at which it is due; never moved when the entry is clamped to the range.
    due: u64,
    /// `None` while the entry is on the free list.
    key: Option<K>,
    generation: u32,
    /// The list it is in: a slot of a level, or [`EXPIRED`].
    list: u16,
    next: u32,
    previous: u32,
}

#[derive(Clone, Copy, Debug)]
struct List {
    first: u32,
    last: u32,
    /// No entry is due before this granule; exact unless one has been cancelled. With it a wait
    /// goes to the timer itself, not first to the granule at which its slot would move down a
    /// level.
    earliest: u64,
}

const EMPTY: List = List { first: NONE, last: NONE, earliest: u64::MAX };

/// Timers with keys of type `K`.
#[derive(Debug)]
pub struct Wheel<K> {
    entries: Vec<Entry<K>>,
    free: u32,
    capacity: usize,
    len: usize,
    /// Every granule before this one, and this one, has been looked at.
    elapsed: u64,
    /// A bit for each slot that is not empty.
    occupied: [u64; LEVELS],
    lists: [List; EXPIRED + 1],
}

impl<K: Copy> Wheel<K> {
    /// A wheel with room for `capacity` timers, which is all it will ever take.
    pub fn with_capacity(capacity: usize, now: Tick) -> Self {
        assert!(capacity < NONE as usize, "timers are counted in 32 bits");
        Wheel {
            entries: Vec::with_capacity(capacity),
            free: NONE,
            capacity,
            len: 0,
            elapsed: granule_before(now),
            occupied: [0; LEVELS],
            lists: [EMPTY; EXPIRED + 1],
        }
    }

    /// Bytes that the timers of a wheel with room for `capacity` take.
    pub(super) fn memory_bytes(capacity: usize) -> usize {
        capacity * size_of::<Entry<K>>()
    }

    /// Sets a timer. `None` when the wheel is full.
    ///
    /// A time that has passed fires with the next pop; one that is set while timers are being
    /// popped too, so a caller that always sets another due one would never be done.
    pub fn insert(&mut self, when: Tick, key: K) -> Option<TimerId> {
        let index = self.take_free()?;
        let entry = &mut self.entries[index as usize];
        entry.due = granule_after(when);
        entry.key = Some(key);
        let id = TimerId { index, generation: entry.generation };
        self.len += 1;
        self.place(index);
        Some(id)
    }

    /// Takes a timer out; `None` if it has fired or was cancelled.
    pub fn cancel(&mut self, id: TimerId) -> Option<K> {
        let entry = self.entries.get(id.index as usize)?;
        if entry.generation != id.generation || entry.key.is_none() {
            return None;
        }
        self.unlink(id.index);
        self.release(id.index)
    }

    /// The instant by which to look again: that of the earliest timer, rounded up to its granule,
    /// or of an earlier one that was cancelled. `None` when nothing waits.
    pub fn next_deadline(&self) -> Option<Tick> {
        if self.lists[EXPIRED].first != NONE {
            return Some(instant(self.elapsed));
        }
        let (level, slot, _) = self.next_slot()?;
        Some(instant(self.lists[level * SLOTS + slot].earliest))
    }

    /// Takes out one timer that is due at `now`, the earliest granule first. Call until `None`.
    pub fn pop_expired(&mut self, now: Tick) -> Option<K> {
        let now = granule_before(now);
        loop {
            let first = self.lists[EXPIRED].first;
            if first != NONE {
                self.unlink(first);
                return self.release(first);
            }
            match self.next_slot() {
                Some((level, slot, granule)) if granule <= now => {
                    self.elapsed = granule;
                    self.open_slot(level, slot);
                }
                _ => {
                    self.elapsed = self.elapsed.max(now);
                    return None;
                }
            }
        }
    }

    /// Timers that wait.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether none waits.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// How many timers there is room for.
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    /// Walks every list.
    ///
    /// # Errors
    /// The first contradiction in the structure, as a sentence.
    pub fn check(&self) -> Result<(), String> {
        let mut seen = 0;
        for (number, list) in self.lists.iter().enumerate() {
            let (mut index, mut previous) = (list.first, NONE);
            while index != NONE {
                let entry = &self.entries[index as usize];
                let is_ahead = number == EXPIRED || entry.due > self.elapsed;
                ensure(entry.key.is_some(), format_args!("a list holds a free entry"))?;
                ensure(entry.list as usize == number, format_args!("a timer is in another list"))?;
                ensure(entry.previous == previous, format_args!("a link leads only one way"))?;
                ensure(is_ahead, format_args!("a timer was passed over"))?;
                ensure(entry.due >= list.earliest, format_args!("a timer is due before its list"))?;
                seen += 1;
                (previous, index) = (index, entry.next);
            }
            ensure(list.last == previous, format_args!("a list does not end where it says"))?;
            if number < EXPIRED {
                let bit = self.occupied[number / SLOTS] >> (number % SLOTS) & 1;
                ensure((bit == 1) == (list.first != NONE), format_args!("a slot's bit is wrong"))?;
            }
        }
        ensure(seen == self.len, format_args!("{} timers are set, {seen} are in lists", self.len))
    }

    /// The slot to be opened next: the earliest on the lowest level that has any. A lower level's
    /// slots all come before a higher level's, because they share the higher digits with `elapsed`.
    fn next_slot(&self) -> Option<(usize, usize, u64)> {
        let level = self.occupied.iter().position(|&word| word != 0)?;
        let shift = SLOT_BITS * level as u32;
        // Occupied slots lie after that of `elapsed`; on the top level they may wrap around.
        let here = (self.elapsed >> shift) as u32 % SLOTS as u32;
        let ahead = self.occupied[level].rotate_right(here).trailing_zeros();
        let granule = ((self.elapsed >> shift) + u64::from(ahead)) << shift;
        Some((level, ((here + ahead) as usize) % SLOTS, granule))
    }

    /// Sorts the entries of a slot whose time has come: those due now expire, others move down.
    fn open_slot(&mut self, level: usize, slot: usize) {
        let number = level * SLOTS + slot;
        let mut index = self.lists[number].first;
        // The whole list is taken first: an entry that is sorted in again may come to this slot.
        self.lists[number] = EMPTY;
        self.occupied[level] &= !(1 << slot);
        while index != NONE {
            let next = self.entries[index as usize].next;
            self.place(index);
            index = next;
        }
    }

    /// Links an entry into the list where it belongs as seen from `elapsed`.
    fn place(&mut self, index: u32) {
        let (number, due) = list_for(self.elapsed, self.entries[index as usize].due);
        let list = &mut self.lists[number];
        let last = list.last;
        list.last = index;
        list.earliest = list.earliest.min(due);
        if last == NONE {
            list.first = index;
        } else {
            self.entries[last as usize].next = index;
        }
        let entry = &mut self.entries[index as usize];
        (entry.list, entry.previous, entry.next) = (number as u16, last, NONE);
        if number < EXPIRED {
            self.occupied[number / SLOTS] |= 1 << (number % SLOTS);
        }
    }

    fn unlink(&mut self, index: u32) {
        let Entry { list, previous, next, .. } = self.entries[index as usize];
        let number = list as usize;
        match previous {
            NONE => self.lists[number].first = next,
            _ => self.entries[previous as usize].next = next,
        }
        match next {
            NONE => self.lists[number].last = previous,
            _ => self.entries[next as usize].previous = previous,
        }
        if self.lists[number].first == NONE {
            self.lists[number] = EMPTY;
            if number < EXPIRED {
                self.occupied[number / SLOTS] &= !(1 << (number % SLOTS));
            }
        }
    }

    fn take_free(&mut self) -> Option<u32> {
        if self.free != NONE {
            let index = self.free;
            self.free = self.entries[index as usize].next;
            return Some(index);
        }
        if self.entries.len() == self.capacity {
            return None;
        }
        let index = self.entries.len() as u32;
        let (list, next, previous) = (0, NONE, NONE);
        self.entries.push(Entry { due: 0, key: None, generation: 0, list, next, previous });
        Some(index)
    }

    fn release(&mut self, index: u32) -> Option<K> {
        let free = self.free;
        let entry = &mut self.entries[index as usize];
        entry.generation = entry.generation.wrapping_add(1);
        entry.next = free;
        self.free = index;
        self.len -= 1;
        entry.key.take()
    }
}

/// The list for an entry due at `due`, as seen from `elapsed`, and `due` clamped to what can be
/// reached: the level is that of the highest digit (of six bits) in which the two differ.
fn list_for(elapsed: u64, due: u64) -> (usize, u64) {
    if due <= elapsed {
        return (EXPIRED, due);
    }
    // Later than the range: as late as can be, to be looked at again then. One less than the whole
    // range, so that it never falls into the slot of `elapsed` itself.
    let reach = RANGE - (RANGE >> SLOT_BITS);
    let due = due.min(elapsed.saturating_add(reach));
    let differing = (elapsed ^ due).ilog2() / SLOT_BITS;
    let level = (differing as usize).min(LEVELS - 1);
    (level * SLOTS + (due >> (SLOT_BITS * level as u32)) as usize % SLOTS, due)
}

/// The last granule that has begun at `tick`.
fn granule_before(tick: Tick) -> u64 {
    tick.as_nanos() >> GRANULE_BITS
}

/// The first granule that begins at or after `tick`.
fn granule_after(tick: Tick) -> u64 {
    let nanos = tick.as_nanos();
    (nanos >> GRANULE_BITS) + u64::from(nanos & ((1 << GRANULE_BITS) - 1) != 0)
}

/// The instant at which a granule begins.
fn instant(granule: u64) -> Tick {
    Tick::from_nanos(granule.saturating_mul(1 << GRANULE_BITS))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const GRANULE_NANOS: u64 = 1 << GRANULE_BITS;

    fn nanos(nanoseconds: u64) -> Tick {
        Tick::from_nanos(nanoseconds)
    }

    fn pop_all(wheel: &mut Wheel<u32>, now: Tick) -> Vec<u32> {
        std::iter::from_fn(|| wheel.pop_expired(now)).collect()
    }

    #[test]
    fn a_timer_fires_when_due_and_not_before() {
        let mut wheel = Wheel::with_capacity(4, Tick::ZERO);
        wheel.insert(nanos(10 * GRANULE_NANOS), 1);
        assert!(pop_all(&mut wheel, nanos(10 * GRANULE_NANOS - 1)).is_empty());
        assert_eq!(pop_all(&mut wheel, nanos(10 * GRANULE_NANOS)), [1]);
        assert!(wheel.is_empty());
    }

    #[test]
    fn a_time_that_has_passed_fires_with_the_next_pop() {
        let mut wheel = Wheel::with_capacity(4, nanos(99 * GRANULE_NANOS));
        wheel.insert(Tick::ZERO, 1);
        assert!(wheel.next_deadline() <= Some(nanos(99 * GRANULE_NANOS)));
        assert_eq!(pop_all(&mut wheel, nanos(99 * GRANULE_NANOS)), [1]);
    }

    #[test]
    fn a_cancelled_timer_does_not_fire_and_its_id_is_stale() {
        let mut wheel = Wheel::with_capacity(1, Tick::ZERO);
        let first = wheel.insert(nanos(GRANULE_NANOS), 1).unwrap();
        assert_eq!(wheel.cancel(first), Some(1));
        assert_eq!(wheel.cancel(first), None);
        let second = wheel.insert(nanos(GRANULE_NANOS), 2).unwrap();
        assert_eq!(wheel.cancel(first), None);
        assert_eq!(pop_all(&mut wheel, nanos(GRANULE_NANOS)), [2]);
        assert_eq!(wheel.cancel(second), None);
    }

    #[test]
    fn a_full_wheel_takes_no_more() {
        let mut wheel = Wheel::with_capacity(1, Tick::ZERO);
        assert!(wheel.insert(Tick::ZERO, 1).is_some());
        assert!(wheel.insert(Tick::ZERO, 2).is_none());
    }

    #[test]
    fn the_end_of_time_is_out_of_reach_and_does_no_harm() {
        let mut wheel = Wheel::with_capacity(2, nanos(u64::MAX - GRANULE_NANOS));
        wheel.insert(nanos(u64::MAX), 1);
        let mut wheel_at_start = Wheel::with_capacity(2, Tick::ZERO);
        wheel_at_start.insert(nanos(u64::MAX), 1);
        for wheel in [&mut wheel, &mut wheel_at_start] {
            assert_eq!(wheel.check(), Ok(()));
            assert!(wheel.next_deadline().is_some());
        }
    }

    #[test]
    fn a_timer_beyond_the_range_fires_in_its_own_time() {
        let due = nanos(3 * RANGE * GRANULE_NANOS / 2);
        let mut wheel = Wheel::with_capacity(1, Tick::ZERO);
        wheel.insert(due, 1);
        let mut wakes = 0;
        while let Some(deadline) = wheel.next_deadline().filter(|deadline| *deadline < due) {
            assert_eq!(wheel.pop_expired(deadline), None);
            assert_eq!(wheel.check(), Ok(()));
            wakes += 1;
            assert!(wakes < 50, "the wheel does not get on");
        }
        assert_eq!(pop_all(&mut wheel, due), [1]);
    }

    #[derive(Clone, Debug)]
    enum Step {
        Insert(u64),
        Cancel(usize),
        Advance(u64),
        AdvanceToDeadline,
    }

    fn distance() -> impl Strategy<Value = u64> {
        prop_oneof![0..4 * GRANULE_NANOS, 0..5000 * GRANULE_NANOS, 0..2 * RANGE * GRANULE_NANOS,]
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            4 => distance().prop_map(Step::Insert),
            1 => any::<usize>().prop_map(Step::Cancel),
            2 => distance().prop_map(Step::Advance),
            2 => Just(Step::AdvanceToDeadline),
        ]
    }

    /// What a wheel does, done the plain way: a list of what waits.
    struct Model {
        now: u64,
        waiting: Vec<(u64, u32, TimerId)>,
    }

    impl Model {
        /// What must have fired at `now`, and nothing else: everything due in a granule that has
        /// begun.
        fn expire(&mut self, now: u64) -> Vec<u32> {
            self.now = now;
            let is_due = |due: u64| due.div_ceil(GRANULE_NANOS) * GRANULE_NANOS <= now;
            let mut fired: Vec<_> =
                self.waiting.iter().filter(|timer| is_due(timer.0)).map(|timer| timer.1).collect();
            self.waiting.retain(|timer| !is_due(timer.0));
            fired.sort_unstable();
            fired
        }
    }

    proptest! {
        #[test]
        fn it_agrees_with_a_naive_model(
            start in 0..3 * RANGE * GRANULE_NANOS,
            steps in prop::collection::vec(step(), 1..150),
        ) {
            let mut wheel = Wheel::with_capacity(64, nanos(start));
            let mut model = Model { now: start, waiting: Vec::new() };
            let mut gone = Vec::new();
            for (key, step) in (0u32..).zip(steps) {
                let mut advance_to = None;
                match step {
                    Step::Insert(ahead) => {
                        let id = wheel.insert(nanos(model.now + ahead), key);
                        prop_assert_eq!(id.is_some(), model.waiting.len() < 64);
                        model.waiting.extend(id.map(|id| (model.now + ahead, key, id)));
                    }
                    Step::Cancel(which) if !model.waiting.is_empty() => {
                        let which = which % model.waiting.len();
                        let (_, key, id) = model.waiting.swap_remove(which);
                        prop_assert_eq!(wheel.cancel(id), Some(key));
                        gone.push(id);
                    }
                    Step::Cancel(_) => {}
                    Step::Advance(ahead) => advance_to = Some(model.now + ahead),
                    Step::AdvanceToDeadline => {
                        let deadline = wheel.next_deadline().map(Tick::as_nanos);
                        advance_to = deadline.map(|deadline| deadline.max(model.now));
                    }
                }
                if let Some(now) = advance_to {
                    let mut fired = pop_all(&mut wheel, nanos(now));
                    fired.sort_unstable();
                    prop_assert_eq!(fired, model.expire(now));
                }
                assert_eq!(wheel.check(), Ok(()));
                prop_assert_eq!(wheel.len(), model.waiting.len());
                let earliest = model.waiting.iter().map(|timer| timer.0).min();
                let bound = earliest.map(|due| due.div_ceil(GRANULE_NANOS) * GRANULE_NANOS);
                let deadline = wheel.next_deadline().map(Tick::as_nanos);
                prop_assert_eq!(deadline.is_some(), bound.is_some());
                prop_assert!(deadline <= bound, "the wheel would oversleep");
                prop_assert!(gone.iter().all(|id| wheel.cancel(*id).is_none()));
            }
            // Going from deadline to deadline comes to an end.
            for _ in 0..64 * 64 {
                let Some(deadline) = wheel.next_deadline() else { break };
                pop_all(&mut wheel, deadline);
            }
            prop_assert!(wheel.is_empty());
        }

        #[test]
        fn the_next_deadline_is_the_earliest_timer_itself(
            times in prop::collection::vec(1..RANGE * GRANULE_NANOS / 2, 1..20)
        ) {
            let mut wheel = Wheel::with_capacity(20, Tick::ZERO);
            let mut granules: Vec<u64> =
                times.iter().map(|time| time.div_ceil(GRANULE_NANOS)).collect();
            for time in times {
                wheel.insert(nanos(time), 0);
            }
            granules.sort_unstable();
            granules.dedup();
            for granule in granules {
                let due = nanos(granule * GRANULE_NANOS);
                prop_assert_eq!(wheel.next_deadline(), Some(due));
                prop_assert!(!pop_all(&mut wheel, due).is_empty());
            }
        }

        #[test]
        fn timers_fire_in_the_order_of_their_granules(
            mut times in prop::collection::vec(0..5000 * GRANULE_NANOS, 1..100)
        ) {
            let mut wheel = Wheel::with_capacity(100, Tick::ZERO);
            for (key, time) in (0u32..).zip(&times) {
                wheel.insert(nanos(*time), key);
            }
            let fired: Vec<_> = pop_all(&mut wheel, nanos(5000 * GRANULE_NANOS))
                .into_iter()
                .map(|key| times[key as usize].div_ceil(GRANULE_NANOS))
                .collect();
            times.sort_unstable();
            prop_assert!(fired.is_sorted());
            prop_assert_eq!(fired.len(), times.len());
        }
    }
}
