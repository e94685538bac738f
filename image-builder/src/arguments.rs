//! The command line.

use crate::error::{Error, Result};
use lexopt::{Arg, Parser};
use std::ffi::OsString;
use std::path::PathBuf;

/// What `--help` prints.
pub const HELP: &str = "\
skerry-image: makes a bootable Skerry image from a recipe

usage: skerry-image build RECIPE -o FOLDER [--bin-dir FOLDER]

  build RECIPE           make kernel, initramfs and read-only root
    -o, --output FOLDER  where they are written
    --bin-dir FOLDER     where init and the skerry programs are, in place of
                         the folder of skerry-image itself
  -h, --help             this text
  -V, --version          the version

SOURCE_DATE_EPOCH, when set, is the image's time in place of when the kernel was
built. Kernels are cached in ${XDG_CACHE_HOME:-~/.cache}/skerry/kernel.
";

/// What is asked for.
#[derive(Debug, PartialEq, Eq)]
pub enum Command {
    /// Print [`HELP`].
    Help,
    /// Print the version.
    Version,
    /// Make an image.
    Build(Build),
}

/// `build` and its options.
#[derive(Debug, PartialEq, Eq)]
pub struct Build {
    /// The recipe.
    pub recipe: PathBuf,
    /// Where the image is written.
    pub output: PathBuf,
    /// Where the programs are; beside this one without it.
    pub bin_dir: Option<PathBuf>,
}

/// Reads the arguments that follow the program's name.
pub fn read(arguments: impl IntoIterator<Item = OsString>) -> Result<Command> {
    parse(Parser::from_args(arguments)).map_err(|error| match error {
        lexopt::Error::Custom(words) => Error::new(words.to_string()),
        error => Error::new(format!("{error} (see skerry-image --help)")),
    })
}

fn parse(mut parser: Parser) -> std::result::Result<Command, lexopt::Error> {
    match parser.next()? {
        Some(Arg::Short('h') | Arg::Long("help")) => Ok(Command::Help),
        Some(Arg::Short('V') | Arg::Long("version")) => Ok(Command::Version),
        Some(Arg::Value(verb)) if verb == "build" => parse_build(parser),
        Some(argument) => Err(argument.unexpected()),
        None => Err("a verb is missing: build (see skerry-image --help)".into()),
    }
}

fn parse_build(mut parser: Parser) -> std::result::Result<Command, lexopt::Error> {
    let (mut recipe, mut output, mut bin_dir) = (None, None, None);
    while let Some(argument) = parser.next()? {
        match argument {
            Arg::Short('h') | Arg::Long("help") => return Ok(Command::Help),
            Arg::Short('o') | Arg::Long("output") => output = Some(parser.value()?.into()),
            Arg::Long("bin-dir") => bin_dir = Some(parser.value()?.into()),
            Arg::Value(path) if recipe.is_none() => recipe = Some(path.into()),
            argument => return Err(argument.unexpected()),
        }
    }
    Ok(Command::Build(Build {
        recipe: recipe.ok_or("build needs a recipe")?,
        output: output.ok_or("build needs -o FOLDER")?,
        bin_dir,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn command(line: &str) -> Result<Command> {
        read(line.split_whitespace().map(OsString::from))
    }

    #[test]
    fn a_build_is_asked_for_in_one_line() {
        let build = Build { recipe: "r.toml".into(), output: "out".into(), bin_dir: Some("bin".into()) };
        assert_eq!(command("build r.toml -o out --bin-dir bin"), Ok(Command::Build(build)));
        assert_eq!(command("--help"), Ok(Command::Help));
        assert_eq!(command("build --help"), Ok(Command::Help));
    }

    #[test]
    fn what_is_missing_or_unknown_is_named() {
        for (line, words) in [
            ("", "a verb is missing"),
            ("bake", "bake"),
            ("build -o out", "build needs a recipe"),
            ("build r.toml", "build needs -o FOLDER"),
            ("build r.toml s.toml -o out", "s.toml"),
            ("build r.toml -o out --fast", "--fast"),
        ] {
            let error = command(line).unwrap_err().to_string();
            assert!(error.contains(words), "{line}: {error}");
        }
    }
}
