//! How to find out whether a container is well.

use super::parse;
use crate::error::{Error, Result};
use clap::Args;
use spec::node::{Container, HealthCheck};
use spec::quantity::Span;

#[derive(Clone, Debug, Default, Args)]
pub struct Health {
    /// A line for the container's shell, which ends with 0 when all is well
    #[arg(long, value_name = "LINE")]
    health_cmd: Option<String>,
    /// Between two checks: 30s
    #[arg(long, value_name = "TIME")]
    health_interval: Option<String>,
    /// A check that takes longer has failed: 30s
    #[arg(long, value_name = "TIME")]
    health_timeout: Option<String>,
    /// Failures in a row that make it unhealthy: 3
    #[arg(long, value_name = "NUMBER")]
    health_retries: Option<u32>,
    /// Failures so soon after the start do not count: 0s
    #[arg(long, value_name = "TIME")]
    health_start_period: Option<String>,
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
            Some(line) => vec!["/bin/sh".to_owned(), "-c".to_owned(), line.clone()],
            None if self.no_healthcheck => Vec::new(),
            None if self.says_when() => {
                return Err(Error::new("--health-cmd: is missing, and other --health options are there"));
            }
            None => return Ok(container),
        };
        let span = |option: &str, text: &Option<String>, usual| {
            text.as_deref().map_or(Ok(Span::seconds(usual)), |text| parse(option, text))
        };
        let health = HealthCheck {
            command,
            interval: span("--health-interval", &self.health_interval, 30)?,
            timeout: span("--health-timeout", &self.health_timeout, 30)?,
            retries: self.health_retries.unwrap_or(3),
            start_period: span("--health-start-period", &self.health_start_period, 0)?,
        };
        Ok(Container { health: Some(health), ..container })
    }

    fn says_when(&self) -> bool {
        let times = [&self.health_interval, &self.health_timeout, &self.health_start_period];
        self.health_retries.is_some() || times.into_iter().any(Option::is_some)
    }
}
