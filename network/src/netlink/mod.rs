//! The kernel's links, addresses and routes (rtnetlink(7)).
//!
//! | file | question |
//! |---|---|
//! | `wire` | how is a message put together and taken apart? |
//! | `socket` | how does it reach the kernel, and what did the kernel say? |
//! | `link`, `address`, `route` | what is asked of each, what does a notice of it say? |
//! | `advertisement` | what did a router advertise that the kernel leaves to us? |
//! | `nft` | what is asked of nftables, and what does it list? |

pub mod address;
pub mod advertisement;
pub mod link;
pub mod nft;
pub mod route;
pub mod socket;
pub mod wire;
