//! Changes JSON without making it something else: most of what a fuzzer does to bytes is
//! refused by the reader of JSON.

use serde_json::{Map, Value, json};

/// All that the inputs begin with: what stands in one place may stand in another.
const WORDS: &str = include_str!("../words.txt");

/// Numbers at which a type or a check ends.
const NUMBERS: [i128; 20] = [
    0,
    1,
    2,
    3,
    -1,
    -2,
    7,
    40,
    255,
    256,
    4095,
    4096,
    65_535,
    1_000_000,
    0x7fff_ffff,
    0xffff_ffff,
    -0x8000_0000,
    0x7fff_ffff_ffff_ffff,
    0xffff_ffff_ffff_ffff,
    -0x8000_0000_0000_0000,
];

/// xorshift64, from libFuzzer's seed.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 33) as usize % sides.max(1)
    }

    fn word(&mut self) -> &'static str {
        let count = WORDS.lines().count();
        WORDS.lines().nth(self.roll(count)).unwrap_or("")
    }
}

/// Changes the first `size` bytes of an input, mostly as JSON, one time in eight as bytes;
/// gives how many they are then.
pub fn mutate(data: &mut [u8], size: usize, max_size: usize, seed: u32) -> usize {
    let changed = if seed.is_multiple_of(8) { None } else { json(&data[..size], seed) };
    match changed {
        Some(text) if text.len() <= max_size => {
            data[..text.len()].copy_from_slice(&text);
            text.len()
        }
        _ => libfuzzer_sys::fuzzer_mutate(data, size, max_size),
    }
}

/// Changes a JSON text in one to four places; none if it is not JSON.
fn json(text: &[u8], seed: u32) -> Option<Vec<u8>> {
    let mut value: Value = serde_json::from_slice(text).ok()?;
    let mut dice = Dice(u64::from(seed) | 1 << 40);
    dice.roll(1);
    for _ in 0..=dice.roll(4) {
        let donor = pick(&mut value, &mut dice).clone();
        change(pick(&mut value, &mut dice), donor, &mut dice);
    }
    serde_json::to_vec(&value).ok()
}

/// Some value within.
fn pick<'a>(value: &'a mut Value, dice: &mut Dice) -> &'a mut Value {
    let inside = match value {
        Value::Array(list) => list.len(),
        Value::Object(fields) => fields.len(),
        _ => 0,
    };
    if inside == 0 || dice.roll(6) == 0 {
        return value;
    }
    let place = dice.roll(inside);
    match value {
        Value::Array(list) => pick(&mut list[place], dice),
        Value::Object(fields) => match fields.values_mut().nth(place) {
            Some(value) => pick(value, dice),
            None => unreachable!("the place is below the length"),
        },
        other => other,
    }
}

fn change(value: &mut Value, donor: Value, dice: &mut Dice) {
    match (dice.roll(6), &mut *value) {
        (0, _) => *value = donor,
        (1, _) => *value = leaf(dice),
        (2 | 3, Value::Array(list)) if !list.is_empty() => {
            let place = dice.roll(list.len());
            if dice.roll(2) == 0 {
                list.remove(place);
            } else {
                list.insert(place, list[place].clone());
            }
        }
        (_, Value::Array(list)) => list.push(donor),
        (2, Value::Object(fields)) => {
            let key = fields.keys().nth(dice.roll(fields.len())).cloned();
            key.map(|key| fields.remove(&key));
        }
        (_, Value::Object(fields)) => drop(fields.insert(dice.word().to_owned(), donor)),
        (2, Value::String(text)) => text.push_str(dice.word()),
        (3, Value::String(text)) => *text = text.chars().take(dice.roll(text.len())).collect(),
        (_, Value::String(text)) => *text = dice.word().to_owned(),
        (_, other) => *other = leaf(dice),
    }
}

fn leaf(dice: &mut Dice) -> Value {
    match dice.roll(8) {
        0 => Value::Null,
        1 => json!([]),
        2 => Value::Object(Map::new()),
        3 => json!(dice.roll(2) == 0),
        4 => json!(["", "/", "..", "\0", "\u{e4}", "a/../b", "0-4294967295"][dice.roll(7)]),
        5 => json!(dice.word()),
        _ => number(NUMBERS[dice.roll(NUMBERS.len())]),
    }
}

fn number(value: i128) -> Value {
    i64::try_from(value).map_or_else(|_| json!(u64::try_from(value).unwrap_or(0)), |value| json!(value))
}
