//! The parts of the agent that stand on their own: how it speaks with the monitor, and the
//! server that the API server speaks with.

pub mod monitor;
