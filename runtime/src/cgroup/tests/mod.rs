//! Tables of conversions, and device programs run on requests.

mod devices;
mod docker;
mod machine;
mod refusals;
mod resources;
mod scope;

use spec::bundle::Resources;

/// What stands at `linux.resources`.
fn read(json: &str) -> Resources {
    serde_json::from_str(json).unwrap_or_else(|error| panic!("{json}: {error}"))
}
