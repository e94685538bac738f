//! Programs are compared with a direct reading of their rules.

use super::super::devices::program;
use super::machine::{Request, run};
use spec::bundle::DeviceRule;

/// `+c 1:* rw`: allow or deny, type, numbers, access; `+a` alone is everything.
pub fn rule(words: &str) -> DeviceRule {
    let number = |text: &str| if text == "*" { Some(-1) } else { text.parse().ok() };
    let (start, rest) = words.split_at(2);
    let mut words = rest.split_whitespace();
    let (major, minor) = words.next().and_then(|numbers| numbers.split_once(':')).unzip();
    DeviceRule {
        allow: start.starts_with('+'),
        kind: Some(start[1..].to_owned()),
        major: major.and_then(number),
        minor: minor.and_then(number),
        access: words.next().map(str::to_owned),
    }
}

/// The same without `+`: a request.
pub fn request(words: &str) -> Request {
    let wanted = rule(&format!("+{words}"));
    let number = |number: Option<i64>| number.unwrap() as u32;
    let kind = if wanted.kind.as_deref() == Some("b") { 1 } else { 2 };
    let access = wanted.access.unwrap().chars().map(bit).sum();
    Request { kind, access, major: number(wanted.major), minor: number(wanted.minor) }
}

const fn bit(letter: char) -> u32 {
    match letter {
        'm' => 1,
        'r' => 2,
        _ => 4,
    }
}

/// Each bit by the last rule that is about it.
fn reading(rules: &[DeviceRule], request: Request) -> bool {
    let about = |rule: &&DeviceRule, bit: u32| {
        let kind = rule.kind.as_deref().unwrap_or("a");
        let number =
            |rule: Option<i64>, number: u32| matches!(rule, None | Some(-1)) || rule == Some(number.into());
        let access: u32 =
            rule.access.as_deref().unwrap_or("rwm").chars().map(self::bit).fold(0, |all, bit| all | bit);
        let kinds = kind == if request.kind == 1 { "b" } else { "c" };
        let numbers = number(rule.major, request.major) && number(rule.minor, request.minor);
        kind == "a" || kinds && numbers && access & bit != 0
    };
    let allowed = |bit| rules.iter().rev().find(|rule| about(rule, bit)).is_some_and(|rule| rule.allow);
    [1, 2, 4].into_iter().filter(|bit| request.access & bit != 0).all(allowed)
}

#[test]
fn no_rules_are_no_program() {
    assert_eq!(program(&[]).unwrap(), None);
}

#[test]
fn instructions_are_the_kernels() {
    let rules = [rule("-a"), rule("+c 10:229 rw")];
    let expected: [u64; 19] = [
        0x0000_0000_0000_1261, // r2 = *(u32 *)(r1 + 0)
        0x0000_ffff_0000_0254, // w2 &= 0xffff
        0x0000_0000_0000_1361, // r3 = *(u32 *)(r1 + 0)
        0x0000_0010_0000_0374, // w3 >>= 16
        0x0000_0000_0004_1461, // r4 = *(u32 *)(r1 + 4)
        0x0000_0000_0008_1561, // r5 = *(u32 *)(r1 + 8)
        0x0000_0002_0001_0216, // if w2 == 2 goto +1
        0x0000_0000_0009_0005, // goto +9
        0x0000_000a_0001_0416, // if w4 == 10 goto +1
        0x0000_0000_0007_0005, // goto +7
        0x0000_00e5_0001_0516, // if w5 == 229 goto +1
        0x0000_0000_0005_0005, // goto +5
        0xffff_fff9_0000_0354, // w3 &= ~6
        0x0000_0000_0001_0316, // if w3 == 0 goto +1
        0x0000_0000_0002_0005, // goto +2
        0x0000_0001_0000_00b7, // r0 = 1
        0x0000_0000_0000_0095, // exit
        0x0000_0000_0000_00b7, // r0 = 0
        0x0000_0000_0000_0095, // exit
    ];
    assert_eq!(program(&rules).unwrap().unwrap(), expected);
}

#[test]
fn each_bit_has_its_own_last_rule() {
    let table = [
        ("-a; +c 1:3 r; +c 1:* w", "c 1:3 rw", true),
        ("-a; +c 1:3 r; +c 1:* w", "c 1:3 rwm", false),
        ("-a; +c 1:3 r; +c 1:* w", "c 1:4 r", false),
        ("+a; -c 1:3 w", "c 1:3 rw", false),
        ("+a; -c 1:3 w", "c 1:3 rm", true),
        ("+a; -c 1:3 w; +c 1:3 w", "c 1:3 w", true),
        ("+c 1:3 rwm; -a", "c 1:3 r", false),
        ("-b 8:0 rwm; +a 8:0 r", "b 8:0 w", true),
        ("+c 1:3 r", "c 1:3 r", true),
        ("+c 1:3 r", "b 1:3 r", false),
        ("+c 4294967295:2147483648", "c 4294967295:2147483648 rwm", true),
        ("+c 4294967295:2147483648", "c 4294967295:2147483647 r", false),
        ("+b *:5", "b 7:5 rwm", true),
        ("+b *:5", "b 7:6 r", false),
    ];
    for (rules, wanted, allowed) in table {
        let rules: Vec<DeviceRule> = rules.split("; ").map(rule).collect();
        let program = program(&rules).unwrap().unwrap();
        assert_eq!(run(&program, request(wanted)), allowed, "{rules:?}: {wanted}");
        assert_eq!(reading(&rules, request(wanted)), allowed, "{rules:?}: {wanted}");
    }
}

/// xorshift64: the same rules on every run.
struct Dice(u64);

impl Dice {
    fn of<T: Copy>(&mut self, from: &[T]) -> T {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        from[(self.0 >> 33) as usize % from.len()]
    }

    fn rule(&mut self) -> DeviceRule {
        let numbers = [None, Some(-1), Some(0), Some(1), Some(1), Some(0xffff_ffff)];
        let access = [None, Some("r"), Some("w"), Some("m"), Some("rw"), Some("mr"), Some("wm"), Some("rwm")];
        let kinds = [Some("b"), Some("c"), Some("b"), Some("c"), Some("b"), Some("c"), Some("a"), None];
        DeviceRule {
            allow: self.of(&[true, false]),
            kind: self.of(&kinds).map(str::to_owned),
            major: self.of(&numbers),
            minor: self.of(&numbers),
            access: self.of(&access).map(str::to_owned),
        }
    }
}

/// Every request that the rules of the dice tell apart.
fn requests() -> impl Iterator<Item = Request> {
    let numbers = [0, 1, 2, 0x7fff_ffff, 0xffff_ffff];
    (1..8).flat_map(move |access| {
        [1, 2].into_iter().flat_map(move |kind| {
            let pairs = numbers.into_iter().flat_map(move |major| numbers.map(|minor| (major, minor)));
            pairs.map(move |(major, minor)| Request { kind, access, major, minor })
        })
    })
}

#[test]
fn a_program_does_what_its_rules_say_whatever_they_are() {
    let mut dice = Dice(0x9e37_79b9_7f4a_7c15);
    let (mut allowed, mut denied) = (0, 0);
    for count in 1..400 {
        let rules: Vec<DeviceRule> = (0..=count % 24).map(|_| dice.rule()).collect();
        let program = program(&rules).unwrap().unwrap();
        for request in requests() {
            let expected = reading(&rules, request);
            assert_eq!(run(&program, request), expected, "{request:?} of {rules:?}");
            *if expected { &mut allowed } else { &mut denied } += 1;
        }
    }
    assert!(allowed > 10_000 && denied > 10_000, "{allowed} allowed, {denied} denied");
}
