//! A table whose keys never come back: a key of a removed value finds nothing.

/// Values under generational keys.
#[derive(Debug, Clone)]
pub(super) struct Slots<T> {
    slots: Vec<Slot<T>>,
    free: Vec<u32>,
    len: usize,
}

#[derive(Debug, Clone)]
struct Slot<T> {
    generation: u32,
    value: Option<T>,
}

impl<T> Slots<T> {
    pub(super) const fn new() -> Self {
        Self {
            slots: Vec::new(),
            free: Vec::new(),
            len: 0,
        }
    }

    pub(super) fn insert(&mut self, value: T) -> u64 {
        self.len += 1;
        let index = match self.free.pop() {
            Some(index) => {
                self.slots[index as usize].value = Some(value);
                index
            }
            None => {
                self.slots.push(Slot {
                    generation: 0,
                    value: Some(value),
                });
                (self.slots.len() - 1) as u32
            }
        };
        key(self.slots[index as usize].generation, index)
    }

    pub(super) fn get(&self, key: u64) -> Option<&T> {
        let slot = self.slots.get(index(key))?;
        slot.value
            .as_ref()
            .filter(|_| slot.generation == generation(key))
    }

    pub(super) fn get_mut(&mut self, key: u64) -> Option<&mut T> {
        let slot = self.slots.get_mut(index(key))?;
        slot.value
            .as_mut()
            .filter(|_| slot.generation == generation(key))
    }

    pub(super) fn remove(&mut self, key: u64) -> Option<T> {
        let slot = self.slots.get_mut(index(key))?;
        if slot.generation != generation(key) {
            return None;
        }
        let value = slot.value.take()?;
        slot.generation = slot.generation.wrapping_add(1);
        self.free.push(index(key) as u32);
        self.len -= 1;
        Some(value)
    }

    /// No values, and none of the old keys will ever be valid again.
    pub(super) fn emptied(mut self) -> Self {
        self.free.clear();
        for (index, slot) in self.slots.iter_mut().enumerate() {
            slot.value = None;
            slot.generation = slot.generation.wrapping_add(1);
            self.free.push(index as u32);
        }
        self.len = 0;
        self
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub(super) fn keys(&self) -> impl Iterator<Item = u64> {
        self.slots
            .iter()
            .enumerate()
            .filter(|(_, slot)| slot.value.is_some())
            .map(|(index, slot)| key(slot.generation, index as u32))
    }

    pub(super) fn first_key(&self) -> Option<u64> {
        self.key_from(0)
    }

    /// The key in the slot after that of `key`, for walking while values change.
    pub(super) fn key_after(&self, key: u64) -> Option<u64> {
        self.key_from(index(key) + 1)
    }

    fn key_from(&self, place: usize) -> Option<u64> {
        let mut slots = self.slots.iter().enumerate().skip(place);
        let (index, slot) = slots.find(|(_, slot)| slot.value.is_some())?;
        Some(key(slot.generation, index as u32))
    }

    pub(super) fn values(&self) -> impl Iterator<Item = &T> {
        self.slots.iter().filter_map(|slot| slot.value.as_ref())
    }

    pub(super) fn values_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.slots.iter_mut().filter_map(|slot| slot.value.as_mut())
    }
}

fn key(generation: u32, index: u32) -> u64 {
    (u64::from(generation) << 32) | u64::from(index)
}

fn index(key: u64) -> usize {
    (key & u64::from(u32::MAX)) as usize
}

fn generation(key: u64) -> u32 {
    (key >> 32) as u32
}
