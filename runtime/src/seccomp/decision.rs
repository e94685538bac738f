//! What a profile says of each system call number, and of the ranges between them.

use super::action;
use super::calls::{Abi, Numbers, X32_BIT};
use super::multiplexed;
use crate::error::{Error, Result};
use spec::bundle::{Argument, Seccomp, Syscalls};

/// Arguments that must all compare so, and the filter's value if they do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Case {
    pub conditions: Vec<Argument>,
    pub value: u32,
}

/// What becomes of a call: the first case that holds, or else `otherwise`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    pub cases: Vec<Case>,
    pub otherwise: u32,
}

impl Decision {
    fn always(value: u32) -> Self {
        Self { cases: Vec::new(), otherwise: value }
    }

    /// An unconditional rule prevails over the others wherever it stands, as in
    /// libseccomp; among equals the first does.
    fn of(mentions: &[Mention], abi: Abi, otherwise: u32) -> Self {
        let decides = |mention: &&Mention| mention.form.is_none() && mention.rule.is_unconditional();
        match mentions.iter().find(decides) {
            Some(mention) => Self::always(mention.rule.value),
            None => {
                Self { cases: mentions.iter().flat_map(|mention| mention.cases(abi)).collect(), otherwise }
            }
        }
    }
}

/// A range of numbers, from `first` to the next one's, and what becomes of them.
pub type Ranges = Vec<(u32, Decision)>;

/// The profile, checked, in the kernel's numbers.
pub struct Rules {
    default: u32,
    rules: Vec<Rule>,
}

struct Rule {
    calls: Vec<Call>,
    value: u32,
    /// One of these must hold.
    alternatives: Vec<Vec<Argument>>,
}

/// A rule names a number. Some hundred are sorted for each container, so they are small.
struct Mention<'a> {
    number: u32,
    rule: &'a Rule,
    /// By the call that stands for many, with this first argument.
    form: Option<&'a Argument>,
}

impl Mention<'_> {
    fn cases(&self, abi: Abi) -> Vec<Case> {
        match self.form {
            Some(first) => vec![Case { conditions: vec![*first], value: self.rule.value }],
            None => self.rule.cases(abi).collect(),
        }
    }
}

/// What a rule's name means.
struct Call {
    numbers: Numbers,
    /// The call of i386 that stands for it too, and with which first argument.
    form: Option<(Numbers, Argument)>,
}

impl Call {
    fn of(name: &str) -> Self {
        let form = multiplexed::form(name).map(|(call, first)| (Numbers::of(call), first));
        Self { numbers: Numbers::of(name), form }
    }
}

impl Rules {
    /// Checks every action and argument of the profile.
    ///
    /// # Errors
    /// The JSON path of the first that cannot be, and why.
    pub fn new(profile: &Seccomp) -> Result<Self> {
        let path = "linux.seccomp.defaultAction";
        let default = action::value(profile.default_action, profile.default_errno_ret, path)?;
        let numbered = profile.syscalls.iter().enumerate();
        let rules = numbered.map(|(place, rule)| Rule::new(rule, place)).collect::<Result<Vec<_>>>()?;
        Ok(Self { default, rules })
    }

    /// What becomes of every number, for calls that these ABIs, which share
    /// `seccomp_data.arch`, make. Neighbours differ.
    pub fn ranges(&self, abis: &[Abi]) -> Ranges {
        let mut ranges = Ranges::new();
        for abi in [Abi::X86_64, Abi::I386, Abi::X32] {
            match (abis.contains(&abi), abi) {
                (true, _) => self.append(&mut ranges, abi),
                (false, Abi::X32) if !abis.contains(&Abi::I386) => {
                    ranges.push((X32_BIT, Decision::always(action::KILL_PROCESS)));
                }
                (false, _) => {}
            }
        }
        // −1 is no call: a tracer puts it in place of one that it does itself.
        ranges.push((u32::MAX, Decision::always(self.unknown())));
        ranges.dedup_by(|next, last| next.1 == last.1);
        ranges
    }

    fn append(&self, ranges: &mut Ranges, abi: Abi) {
        let base = if abi == Abi::X32 { X32_BIT } else { 0 };
        let decisions = self.decisions(abi);
        let newest = self.newest(abi).max(decisions.last().map(|last| last.0));
        let mut next = base;
        for (number, decision) in decisions {
            if number > next {
                ranges.push((next, Decision::always(self.default)));
            }
            ranges.push((number, decision));
            next = number + 1;
        }
        match newest {
            Some(newest) => {
                ranges.extend((next <= newest).then(|| (next, Decision::always(self.default))));
                ranges.push((newest + 1, Decision::always(self.unknown())));
            }
            None => ranges.push((next, Decision::always(self.default))),
        }
    }

    /// Numbers that rules name, from the lowest. As in runc, a rule that repeats the default says nothing.
    fn decisions(&self, abi: Abi) -> Ranges {
        let mut mentions = Vec::new();
        for rule in self.rules.iter().filter(|rule| rule.value != self.default) {
            for call in &rule.calls {
                if let Some(number) = call.numbers.on(abi) {
                    mentions.push(Mention { number, rule, form: None });
                }
                let form = call.form.as_ref().filter(|_| rule.is_unconditional());
                if let Some((number, first)) = form.and_then(|(call, first)| Some((call.on(abi)?, first))) {
                    mentions.push(Mention { number, rule, form: Some(first) });
                }
            }
        }
        mentions.sort_by_key(|mention| mention.number);
        let numbers = mentions.chunk_by(|one, next| one.number == next.number);
        numbers.map(|same| (same[0].number, Decision::of(same, abi, self.default))).collect()
    }

    /// The newest call that the profile's author thought of.
    fn newest(&self, abi: Abi) -> Option<u32> {
        self.rules.iter().flat_map(|rule| &rule.calls).filter_map(|call| call.numbers.on(abi)).max()
    }

    /// For a call that the author cannot have known: programs take ENOSYS for a
    /// reason to do without it, and EPERM for a failure.
    fn unknown(&self) -> u32 {
        if action::lets_through(self.default) { self.default } else { action::NO_SUCH_CALL }
    }
}

impl Rule {
    fn new(rule: &Syscalls, place: usize) -> Result<Self> {
        let path = format!("linux.seccomp.syscalls[{place}]");
        if rule.names.is_empty() {
            return Err(Error(format!("{path}.names: no system call is named")));
        }
        if let Some(bad) = rule.args.iter().position(|argument| argument.index > 5) {
            return Err(Error(format!("{path}.args[{bad}].index: a system call has arguments 0 to 5")));
        }
        let value = action::value(rule.action, rule.errno_ret, &format!("{path}.action"))?;
        let calls = rule.names.iter().map(|name| Call::of(name)).collect();
        Ok(Self { calls, value, alternatives: alternatives(&rule.args) })
    }

    fn is_unconditional(&self) -> bool {
        self.alternatives.iter().any(Vec::is_empty)
    }

    /// Arguments of i386 are 32 bits wide, and so are the values that they are
    /// compared with: −1 is 0xffffffff.
    fn cases(&self, abi: Abi) -> impl Iterator<Item = Case> {
        let width = if abi == Abi::I386 { u64::from(u32::MAX) } else { u64::MAX };
        let narrow = move |argument: &Argument| Argument {
            value: argument.value & width,
            value_two: argument.value_two & width,
            ..*argument
        };
        self.alternatives.iter().map(move |conditions| Case {
            conditions: conditions.iter().map(narrow).collect(),
            value: self.value,
        })
    }
}

/// Conditions of one rule hold together, unless two are about the same
/// argument: then any of them is enough, as in runc, whose users' profiles count
/// on it.
fn alternatives(args: &[Argument]) -> Vec<Vec<Argument>> {
    let twice = |argument: &Argument| args.iter().filter(|other| other.index == argument.index).count() > 1;
    if args.iter().any(twice) {
        return args.iter().map(|argument| vec![*argument]).collect();
    }
    vec![args.to_vec()]
}
