//! What several programs cost, round by round. In a round each is measured once, so what
//! disturbs the machine disturbs all alike, and a ratio is the median of the rounds' ratios.

/// The kernel's unit of processor time (`USER_HZ`, proc(5)), in nanoseconds.
pub const TICK: u64 = 10_000_000;

/// A function of bash: the ticks that a machine's processors have worked.
pub const BUSY: &str = "busy() { read -r _ user nice system _ _ irq soft _ </proc/stat; \
     echo $((user + nice + system + irq + soft)); }";

/// What commands cost, with all processes that they started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cost {
    /// Nanoseconds from their beginning to their end.
    pub wall: u64,
    /// Nanoseconds of user and system time.
    pub cpu: u64,
    /// Most resident memory of one process, in bytes.
    pub memory: u64,
}

/// Each runtime's costs for one verb; of a round in which it did not end there is none.
#[derive(Debug, Default)]
pub struct Series(Vec<(&'static str, Vec<Option<Cost>>)>);

impl Series {
    /// One more round of a runtime.
    pub fn push(&mut self, name: &'static str, cost: Option<Cost>) {
        match self.0.iter_mut().find(|(known, _)| *known == name) {
            Some((_, costs)) => costs.push(cost),
            None => self.0.push((name, vec![cost])),
        }
    }

    /// The names, in the order in which they came first.
    pub fn names(&self) -> impl Iterator<Item = &'static str> {
        self.0.iter().map(|(name, _)| *name)
    }

    /// The median of a runtime.
    pub fn median(&self, name: &str, of: impl Fn(&Cost) -> u64) -> u64 {
        median(self.costs(name).iter().flatten().map(|cost| of(cost) as f64).collect()) as u64
    }

    /// The mean of a runtime, for what is too coarse for a median.
    pub fn mean(&self, name: &str, of: impl Fn(&Cost) -> u64) -> u64 {
        let costs: Vec<u64> = self.costs(name).iter().flatten().map(of).collect();
        costs.iter().sum::<u64>() / (costs.len() as u64).max(1)
    }

    /// The greatest of a runtime.
    pub fn greatest(&self, name: &str, of: impl Fn(&Cost) -> u64) -> u64 {
        self.costs(name).iter().flatten().map(of).max().unwrap_or_default()
    }

    /// The median of one's cost divided by another's in the same round.
    pub fn ratio(&self, one: &str, other: &str, of: impl Fn(&Cost) -> u64) -> f64 {
        let pairs = self.costs(one).iter().zip(self.costs(other));
        let ratio = |(one, other): (&Option<Cost>, &Option<Cost>)| {
            Some(of(one.as_ref()?) as f64 / of(other.as_ref()?) as f64)
        };
        median(pairs.filter_map(ratio).collect())
    }

    /// How often a runtime did not end.
    pub fn hung(&self, name: &str) -> usize {
        self.costs(name).iter().filter(|cost| cost.is_none()).count()
    }

    fn costs(&self, name: &str) -> &[Option<Cost>] {
        self.0.iter().find(|(known, _)| *known == name).map_or(&[], |(_, costs)| costs)
    }
}

/// NaN, which meets no bar, when there is nothing.
fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    match values.len() {
        0 => f64::NAN,
        length if length % 2 == 1 => values[length / 2],
        length => f64::midpoint(values[length / 2 - 1], values[length / 2]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cost(wall: u64) -> Option<Cost> {
        Some(Cost { wall, cpu: 0, memory: wall })
    }

    #[test]
    fn a_ratio_is_of_rounds_in_which_both_ended() {
        let mut series = Series::default();
        for (a, b) in [(cost(10), cost(20)), (cost(30), None), (cost(40), cost(40)), (cost(90), cost(100))] {
            series.push("a", a);
            series.push("b", b);
        }
        assert_eq!(series.ratio("a", "b", |cost| cost.wall).to_bits(), 0.9_f64.to_bits());
        assert_eq!(series.median("a", |cost| cost.wall), 35);
        assert_eq!(series.greatest("b", |cost| cost.memory), 100);
        assert_eq!((series.hung("a"), series.hung("b")), (0, 1));
        assert!(series.ratio("a", "c", |cost| cost.wall).is_nan());
    }
}
