//! `history`: the steps by which an image was made.

use super::images::{self, UNKNOWN};
use super::{Node, print, print_all};
use crate::arguments::History;
use crate::error::{Error, Result};
use crate::format;
use crate::human::{self, decimal};
use crate::table::shorten;
use crate::time;
use serde_json::{Value, json};
use spec::timestamp;
use store::History as Step;

const COLUMNS: [(&str, &str); 5] = [
    ("IMAGE", "ID"),
    ("CREATED", "CreatedSince"),
    ("CREATED BY", "CreatedBy"),
    ("SIZE", "Size"),
    ("COMMENT", "Comment"),
];

/// Letters of a command in a table.
const COMMAND: usize = 45;

/// What Docker shows of a step that left no image of its own here.
const MISSING: &str = "<missing>";

/// `skerry history`: the last step first.
pub fn history(node: &Node<'_>, asked: &History) -> Result<()> {
    let image = images::find(node, &asked.image)?;
    let details = node.stores().details_by_digest(&image.digest)?;
    let sizes = image.layers.iter().map(|layer| layer.path.metadata().map_or(0, |about| about.len()));
    let steps = steps(details.history, sizes.collect());
    let id = match asked.no_trunc {
        true => image.digest.to_string(),
        false => image.digest.hex().chars().take(12).collect(),
    };
    let ids = std::iter::once(id.as_str()).chain(std::iter::repeat(MISSING));
    if asked.quiet {
        ids.take(steps.len()).for_each(print);
        return Ok(());
    }
    let objects: Vec<Value> =
        ids.zip(&steps).map(|(id, (step, size))| object(id, step, *size, asked)).collect();
    let mut columns = COLUMNS;
    if !asked.human {
        columns[1] = ("CREATED AT", "CreatedAt");
    }
    print_all(&format::show(&asked.format, &columns, &objects).map_err(Error::new)?);
    Ok(())
}

/// The last step first, each with the size of the layer that it made. A layer of which no step tells is one by itself.
fn steps(told: Vec<Step>, sizes: Vec<u64>) -> Vec<(Step, u64)> {
    let mut sizes = sizes.into_iter();
    let sized = |step: Step| {
        let size = if step.empty_layer { 0 } else { sizes.next().unwrap_or(0) };
        (step, size)
    };
    let mut steps: Vec<(Step, u64)> = told.into_iter().map(sized).collect();
    steps.extend(sizes.map(|size| (Step::default(), size)));
    steps.reverse();
    steps
}

fn object(id: &str, step: &Step, size: u64, asked: &History) -> Value {
    let created = step.created.as_ref().and_then(|text| timestamp::parse(text));
    let created = created.map(|nanoseconds| nanoseconds / 1_000_000_000);
    let at = created.map_or_else(|| UNKNOWN.to_owned(), timestamp::rfc3339_seconds);
    let since =
        created.map_or_else(|| UNKNOWN.to_owned(), |at| format!("{} ago", human::ago(time::since(at))));
    let command = step.created_by.replace('\t', " ");
    json!({
        "ID": id,
        "CreatedAt": at,
        "CreatedSince": if asked.human { &since } else { &at },
        "CreatedBy": if asked.no_trunc { command } else { shorten(&command, COMMAND) },
        "Size": if asked.human { decimal(size) } else { size.to_string() },
        "Comment": step.comment,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(by: &str, empty_layer: bool) -> Step {
        Step { created_by: by.to_owned(), empty_layer, ..Step::default() }
    }

    #[test]
    fn each_step_has_the_size_of_its_own_layer() {
        let told = vec![step("ADD x", false), step("ENV y", true), step("RUN z", false)];
        let of = |steps: &[(Step, u64)]| {
            steps.iter().map(|(step, size)| format!("{} {size}", step.created_by)).collect::<Vec<_>>()
        };
        assert_eq!(of(&steps(told.clone(), vec![7, 8])), ["RUN z 8", "ENV y 0", "ADD x 7"]);
        assert_eq!(of(&steps(told, vec![7, 8, 9])), [" 9", "RUN z 8", "ENV y 0", "ADD x 7"]);
        assert_eq!(of(&steps(Vec::new(), vec![7])), [" 7"]);
    }

    #[test]
    fn a_step_is_told_as_docker_does() {
        let asked = |human, no_trunc| History {
            image: "app".into(),
            quiet: false,
            no_trunc,
            human,
            format: format::Format::Table,
        };
        let long = Step {
            created: Some("2024-05-06T07:08:09.5Z".into()),
            ..step(&format!("RUN\t{}", "x".repeat(60)), false)
        };
        let told = object("0123", &long, 187_000_000, &asked(true, false));
        assert_eq!((&told["Size"], &told["CreatedAt"]), (&json!("187MB"), &json!("2024-05-06T07:08:09Z")));
        assert_eq!(told["CreatedBy"].as_str().unwrap(), format!("RUN {}…", "x".repeat(40)));
        assert!(told["CreatedSince"].as_str().unwrap().ends_with(" ago"), "{told}");
        let told = object("0123", &long, 187_000_000, &asked(false, true));
        assert_eq!((&told["Size"], &told["CreatedSince"]), (&json!("187000000"), &told["CreatedAt"]));
        assert_eq!(told["CreatedBy"].as_str().unwrap().len(), 64);
        assert_eq!(object("0123", &step("x", true), 0, &asked(true, false))["CreatedSince"], "N/A");
    }
}
