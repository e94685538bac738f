//! A machine's one network card, as a value.

use std::path::{Path, PathBuf};

/// What the machine's network card is plugged into.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Network {
    /// There is no card.
    #[default]
    None,
    /// A card with its link up and nobody else on the wire: no DHCP server.
    Silent,
    /// QEMU's own network: DHCP, a router and DNS for the guest, and TCP ports
    /// of the host forwarded to it.
    User(User),
    /// A tap device: the guest is a station of whatever the device is part of.
    Tap(Tap),
}

/// A tap device of a network namespace, as QEMU opens it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tap {
    pub(crate) name: String,
    pub(crate) mac: String,
    pub(crate) namespace: PathBuf,
}

/// QEMU's user network (slirp).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct User {
    pub(crate) forwards: Vec<Forward>,
    pub(crate) restricted: bool,
}

/// A TCP port of the host's 127.0.0.1 that leads to a port of the guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Forward {
    /// 0 lets the kernel choose a free one when QEMU binds it, so that no other
    /// program can take it in between.
    pub host: u16,
    pub guest: u16,
}

impl Network {
    /// QEMU's own network, with no port forwarded yet.
    pub fn user() -> Self {
        Self::User(User::default())
    }

    /// The persistent tap device `name` of the network namespace that the file `namespace`
    /// stands for (namespaces(7)); the guest's card has the address `mac`.
    pub fn tap(namespace: impl AsRef<Path>, name: &str, mac: &str) -> Self {
        Self::Tap(Tap {
            name: name.to_owned(),
            mac: mac.to_owned(),
            namespace: namespace.as_ref().to_owned(),
        })
    }

    /// Forwards `host` on 127.0.0.1 to the guest's `guest`; 0 chooses a free
    /// port, which [`Vm::forwarded`](crate::Vm::forwarded) then tells.
    ///
    /// # Panics
    ///
    /// When this is not [`Network::user`].
    pub fn forward(mut self, host: u16, guest: u16) -> Self {
        self.user_mut().forwards.push(Forward { host, guest });
        self
    }

    /// The guest reaches neither the host nor the world; forwarded ports work.
    ///
    /// # Panics
    ///
    /// When this is not [`Network::user`].
    pub fn restricted(mut self) -> Self {
        self.user_mut().restricted = true;
        self
    }

    fn user_mut(&mut self) -> &mut User {
        match self {
            Self::User(user) => user,
            other => panic!("{other:?} forwards nothing; begin with Network::user()"),
        }
    }

    pub(crate) fn netdev(&self) -> Option<String> {
        match self {
            Self::None => None,
            Self::Silent => Some("hubport,id=net0,hubid=0".to_owned()),
            Self::User(user) => Some(user.netdev()),
            Self::Tap(tap) => Some(format!("tap,id=net0,ifname={},script=no,downscript=no", tap.name)),
        }
    }

    /// The card's own address, when it is not QEMU's choice: `,mac=…`.
    pub(crate) fn mac(&self) -> String {
        match self {
            Self::Tap(tap) => format!(",mac={}", tap.mac),
            _ => String::new(),
        }
    }

    /// The network namespace that QEMU runs in, when it is not its owner's.
    pub(crate) fn namespace(&self) -> Option<&Path> {
        match self {
            Self::Tap(tap) => Some(&tap.namespace),
            _ => None,
        }
    }
}

impl User {
    fn netdev(&self) -> String {
        let mut text = "user,id=net0".to_owned();
        if self.restricted {
            text += ",restrict=on";
        }
        for Forward { host, guest } in &self.forwards {
            text += &format!(",hostfwd=tcp:127.0.0.1:{host}-:{guest}");
        }
        text
    }
}
