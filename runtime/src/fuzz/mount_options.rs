//! Mount options.

use crate::plan::Options;

/// Attributes of a mount that options are applied to.
const BEFORE: [u64; 4] = [0, u64::MAX, 0x10, 0x2f];

/// Sorting options as a whole does what sorting them one by one and applying one after
/// the other does. They stand between commas.
pub fn mount_options(text: &[u8]) {
    let text = String::from_utf8_lossy(text);
    let list: Vec<String> = text.split(',').map(str::to_owned).collect();
    let sorted = Options::new(&list);
    let each: Vec<Options> = list.iter().map(|option| Options::new(std::slice::from_ref(option))).collect();
    for before in BEFORE {
        let after = each.iter().fold(before, |now, one| (now & !one.clear) | one.set);
        assert_eq!((before & !sorted.clear) | sorted.set, after, "{list:?}");
        let below = each.iter().fold(before, |now, one| (now & !one.clear_recursive) | one.set_recursive);
        assert_eq!((before & !sorted.clear_recursive) | sorted.set_recursive, below, "{list:?}");
    }
    assert_eq!(sorted.propagation, each.iter().rev().find_map(|one| one.propagation), "{list:?}");
    assert_eq!(sorted.bind, each.iter().filter_map(|one| one.bind).max(), "{list:?}");
    let joined = |part: fn(&Options) -> &Vec<String>| each.iter().flat_map(part).cloned().collect::<Vec<_>>();
    assert_eq!(sorted.parameters, joined(|one| &one.parameters));
    assert_eq!(sorted.refused, joined(|one| &one.refused));
}
