//! What a user would check, in virtual machines.
//!
//! A test describes a [`Node`], boots it and asks it things, as in
//!
//! ```no_run
//! use tests::{Node, Result};
//!
//! fn a_page_is_served_from_a_container() -> Result {
//!     let node = Node::with_images().config("[containers.web]\nimage = \"nginx\"\n").boot()?;
//!     assert!(node.page("/")?.contains("Skerry"));
//!     assert_eq!(node.run("cat /proc/1/comm")?, "init\n");
//!     node.power_off()
//! }
//! ```
//!
//! `docs/testing.md` tells how tests are laid out and what they need.

mod archive;
mod base64;
mod checkout;
mod cluster;
mod debian;
mod disk;
mod failure;
mod given;
mod image;
mod kernel;
mod node;
mod probe;
mod programs;
mod running;
mod slots;
mod terminal;
mod web;

pub use archive::Archive;
pub use checkout::Checkout;
pub use cluster::{Asked, Bare, Cluster, Fault, FileServer, Kubelet, Proxy, control_plane};
pub use debian::{Debian, Processors};
pub use disk::Scratch;
pub use failure::{Failure, Result};
pub use given::given;
pub use image::{Image, container_archive, repository, said, unpacked};
pub use kernel::{kernel_folder, tuned_kernel};
pub use node::Node;
pub use probe::{Output, busybox};
pub use programs::{container_tests, programs};
pub use qemu::{Board, Disk, Network};
pub use running::{CONTROL, Container, Running};
pub use terminal::{CTRL_C, Terminal};
pub use web::{Port, page_at};
