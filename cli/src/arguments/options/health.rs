//! How to find out whether a container is well.

use super::parse;
use crate::error::Result;
use clap::Args;
use spec::node::{Container, HealthOptions};

#[derive(Clone, Debug, Default, Args)]
pub struct Health {
    /// A line for the container's shell, which ends with 0 when all is well
    #[arg(long, value_name = "LINE")]
    health_cmd: Option<String>,
    /// Between two checks; as the image says, or 30s
    #[arg(long, value_name = "TIME")]
    health_interval: Option<String>,
    /// A check that takes longer has failed; as the image says, or 30s
    #[arg(long, value_name = "TIME")]
    health_timeout: Option<String>,
    /// Failures in a row that make it unhealthy; as the image says, or 3
    #[arg(long, value_name = "NUMBER")]
    health_retries: Option<u32>,
    /// Failures so soon after the start do not count; as the image says, or 0s
    #[arg(long, value_name = "TIME")]
    health_start_period: Option<String>,
    /// Between two checks in that time; as the image says, or 5s
    #[arg(long, value_name = "TIME")]
    health_start_interval: Option<String>,
    /// Not even the image's check
    #[arg(long, conflicts_with = "health_cmd")]
    no_healthcheck: bool,
}

impl Health {
    /// Adds what was said.
    ///
    /// # Errors
    /// Which option says what it must not.
    pub fn add(&self, container: Container) -> Result<Container> {
        let command = match &self.health_cmd {
            Some(line) => Some(vec!["/bin/sh".to_owned(), "-c".to_owned(), line.clone()]),
            None => self.no_healthcheck.then(Vec::new),
        };
        let span =
            |option: &str, text: &Option<String>| text.as_deref().map(|text| parse(option, text)).transpose();
        let health = HealthOptions {
            command,
            interval: span("--health-interval", &self.health_interval)?,
            timeout: span("--health-timeout", &self.health_timeout)?,
            retries: self.health_retries,
            start_period: span("--health-start-period", &self.health_start_period)?,
            start_interval: span("--health-start-interval", &self.health_start_interval)?,
        };
        let health = (health != HealthOptions::default()).then_some(health);
        Ok(Container { health, ..container })
    }
}
