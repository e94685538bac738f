//! What limits are before they are changed: an update that fails half way leaves them so.

use super::{Absent, Write, folder};
use crate::kernel_file;

/// What these writes would take the place of. A file that is not there is left out.
pub fn read(path: &str, writes: &[Write]) -> Vec<Write> {
    let folder = folder::of(path);
    let one = |write: &Write| {
        let files = match &write.absent {
            Absent::Instead { file, .. } => vec![&write.file, file],
            _ => vec![&write.file],
        };
        let mut there =
            files.into_iter().filter_map(|file| Some((file, kernel_file::read(folder.join(file)).ok()?)));
        let (file, text) = there.next()?;
        Some(Write { file: file.clone(), value: former(&write.value, &text), absent: Absent::Skip })
    };
    writes.iter().filter_map(one).collect()
}

/// The first line of a file, or where the value is about a device what its line says of the same keys. A device that has
/// no line has no limit, and no weight of its own.
fn former(value: &str, text: &str) -> String {
    let of_device = value.split_once(' ').filter(|(device, rest)| device.contains(':') || rest.contains('='));
    let Some((device, rest)) = of_device else { return text.lines().next().unwrap_or_default().to_owned() };
    let own = text.lines().find_map(|line| line.strip_prefix(device)?.strip_prefix(' '));
    if !rest.contains('=') {
        return format!("{device} {}", own.unwrap_or("default"));
    }
    let key = |pair: &str| pair.split('=').next().unwrap_or_default().to_owned();
    let pair = |asked: &str| {
        let mut known = own.iter().flat_map(|own| own.split_whitespace());
        let known = known.find(|known| key(known) == key(asked));
        known.map_or_else(|| format!("{}=max", key(asked)), str::to_owned)
    };
    let pairs: Vec<String> = rest.split_whitespace().map(pair).collect();
    format!("{device} {}", pairs.join(" "))
}

#[cfg(test)]
mod tests {
    use super::former;

    #[test]
    fn a_value_is_the_files_or_its_devices() {
        assert_eq!(former("3", "max\n"), "max");
        assert_eq!(former("5000 10000", "max 100000\n"), "max 100000");
        assert_eq!(former("200", "default 100\n8:0 300\n"), "default 100");
        assert_eq!(former("0-1", ""), "");
        let weights = "default 100\n8:0 300\n";
        assert_eq!(former("8:0 200", weights), "8:0 300");
        assert_eq!(former("8:16 200", weights), "8:16 default");
        let rates = "8:0 rbps=5 wbps=max riops=max wiops=7\n";
        assert_eq!(former("8:0 wiops=9", rates), "8:0 wiops=7");
        assert_eq!(former("8:16 rbps=9", rates), "8:16 rbps=max");
        assert_eq!(
            former(
                "mlx5_1 hca_handle=1 hca_object=2",
                "mlx5_0 hca_handle=3\nmlx5_1 hca_handle=4 hca_object=max\n"
            ),
            "mlx5_1 hca_handle=4 hca_object=max"
        );
    }
}
