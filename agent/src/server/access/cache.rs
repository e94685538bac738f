//! Answers that are remembered for a while: few, and each with an end.

use std::collections::HashMap;
use std::hash::Hash;
use std::time::{Duration, Instant};

/// Most answers that are remembered.
const MOST: usize = 128;

/// A memory.
#[derive(Debug)]
pub struct Cache<K, V> {
    answers: HashMap<K, (Instant, V)>,
}

impl<K, V> Default for Cache<K, V> {
    fn default() -> Self {
        Self { answers: HashMap::new() }
    }
}

impl<K: Hash + Eq + Clone, V: Clone> Cache<K, V> {
    /// The answer, if it counts still.
    pub fn get(&self, key: &K, now: Instant) -> Option<V> {
        self.answers.get(key).filter(|(end, _)| *end > now).map(|(_, value)| value.clone())
    }

    /// Remembers an answer for so long. A full memory forgets what ends first.
    pub fn put(&mut self, key: K, value: V, now: Instant, span: Duration) {
        if self.answers.len() >= MOST {
            self.answers.retain(|_, (end, _)| *end > now);
        }
        if self.answers.len() >= MOST
            && let Some(first) =
                self.answers.iter().min_by_key(|(_, (end, _))| *end).map(|(key, _)| key.clone())
        {
            self.answers.remove(&first);
        }
        self.answers.insert(key, (now + span, value));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_counts_until_its_end_and_few_are_kept() {
        let (mut cache, now) = (Cache::default(), Instant::now());
        cache.put("a", 1, now, Duration::from_secs(2));
        assert_eq!(cache.get(&"a", now + Duration::from_secs(1)), Some(1));
        assert_eq!(cache.get(&"a", now + Duration::from_secs(2)), None);
        let mut cache = Cache::default();
        for number in 0..10_000_u64 {
            cache.put(number, number, now, Duration::from_secs(1 + number));
        }
        assert_eq!(cache.answers.len(), MOST);
        assert_eq!(cache.get(&9_999, now), Some(9_999));
        assert_eq!(cache.get(&0, now), None);
    }
}
