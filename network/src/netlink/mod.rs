//! The kernel's links, addresses and routes (rtnetlink(7)), over [`sys::netlink`].
//!
//! | file | question |
//! |---|---|
//! | `notices` | what has changed? |
//! | `link`, `address`, `route`, `neighbour` | what is asked of each, what does a notice of it say? |
//! | `conntrack` | which connections are tracked? |
//! | `advertisement` | what did a router advertise that the kernel leaves to us? |
//! | `nft` | what is asked of nftables, and what does it list? |

pub mod address;
pub mod advertisement;
pub mod conntrack;
pub mod link;
pub mod neighbour;
pub mod nft;
pub mod notices;
pub mod route;
