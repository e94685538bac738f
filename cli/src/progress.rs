//! What a person sees while layers come or go, over the network or a file: a bar each on a terminal, plain lines elsewhere.

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use std::collections::BTreeMap;
use std::io::IsTerminal;
use std::sync::{Mutex, PoisonError};
use store::{Progress, State, Update};

const BAR: &str = "{prefix:12} {msg:11} [{bar:30}] {bytes:>10}/{total_bytes:10} {bytes_per_sec:>12} {eta:>4}";
const WORDS: &str = "{prefix:12} {msg}";

/// Shows the progress of one image's layers.
#[derive(Debug)]
pub struct Shown {
    bars: Option<MultiProgress>,
    /// By their digests: of several images, one may be in more than one.
    layers: Mutex<BTreeMap<String, Layer>>,
    verb: &'static str,
}

#[derive(Debug, Default)]
struct Layer {
    bar: Option<ProgressBar>,
    /// The words that were said last.
    said: String,
    finished: bool,
}

impl Shown {
    /// `verb` is what is done with bytes: `Pulling`, `Pushing`.
    pub fn new(verb: &'static str) -> Self {
        let bars = std::io::stderr().is_terminal().then(MultiProgress::new);
        Self { bars, layers: Mutex::default(), verb }
    }

    /// The same, or one that nobody hears.
    pub fn unless(quiet: bool, verb: &'static str) -> Box<dyn Progress> {
        if quiet { Box::new(()) } else { Box::new(Self::new(verb)) }
    }
}

impl Progress for Shown {
    fn layer(&self, update: &Update<'_>) {
        let mut layers = self.layers.lock().unwrap_or_else(PoisonError::into_inner);
        let digest = update.digest.to_string();
        let name = short(&digest);
        let layer = layers.entry(digest).or_default();
        if layer.finished {
            return;
        }
        let words = words(update.state, self.verb);
        match &self.bars {
            Some(bars) => layer.show(bars, name, update, words),
            None if layer.said != words => eprintln!("{name}: {words}"),
            None => {}
        }
        layer.said = words.to_owned();
        layer.finished = matches!(update.state, State::Present | State::Mounted | State::Done);
    }
}

impl Layer {
    fn show(&mut self, bars: &MultiProgress, name: String, update: &Update<'_>, words: &str) {
        let bar = self.bar.get_or_insert_with(|| bars.add(ProgressBar::new(update.total).with_prefix(name)));
        let moving = matches!(update.state, State::Moving);
        if self.said != words {
            let style = ProgressStyle::with_template(if moving { BAR } else { WORDS });
            bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()).progress_chars("=> "));
            bar.set_message(words.to_owned());
        }
        match update.state {
            State::Present | State::Mounted | State::Done => bar.finish(),
            _ => {
                // The length of what is unpacked on its way is known late.
                bar.set_length(update.total);
                bar.set_position(update.done);
            }
        }
    }
}

fn words<'w>(state: State<'w>, moving: &'w str) -> &'w str {
    match state {
        State::Waiting => "Waiting for another program",
        State::Moving => moving,
        State::Retrying(why) => why,
        State::Present => "Already there",
        State::Mounted => "Taken over from another repository",
        State::Done => "Done",
    }
}

/// The first letters of a digest.
fn short(digest: &str) -> String {
    digest.split(':').nth(1).unwrap_or(digest).chars().take(12).collect()
}
