//! What routers may advertise.

use crate::names::{Advertised, Names};
use crate::netlink::advertisement::{NEW, parse};
use std::time::Duration;

/// What is taken fits into `/etc/resolv.conf`, is not much, reads back as it is written down, and ends.
pub fn notice(body: &[u8]) {
    let (now, mut names) = (Duration::from_secs(100), Names::default());
    let all = parse(NEW, body);
    assert_eq!(parse(NEW, body), all, "the second time");
    let said: usize = all.iter().map(|one| one.dns.len() * 16 + one.search.concat().len()).sum();
    assert!(said <= body.len() * 128, "{said} bytes of {}", body.len());
    let mut last = now;
    let index = all.first().map_or(0, |one| one.index);
    names.add(index, "eth0", Vec::new());
    for one in all {
        last = last.max(now + one.lifetime);
        let Some((_, list)) = names.advertise(one, now) else { panic!("of no interface") };
        for entry in list {
            assert_eq!(entry.to_string().parse::<Advertised>().as_ref(), Ok(entry));
        }
    }
    let text = names.resolv_conf();
    assert!(names.servers().len() <= 16 && names.search().len() <= 16, "{text}");
    for line in text.lines().skip(1) {
        let (word, rest) = line.split_once(' ').expect("two words");
        let plain = |c: u8| c.is_ascii_alphanumeric() || b".:-_% ".contains(&c);
        assert!(matches!(word, "nameserver" | "search") && rest.bytes().all(plain), "{line:?}");
    }
    names.expire(last);
    assert_eq!((names.servers().len(), names.search().len(), names.deadline()), (0, 0, None));
}
