//! CRC-32C (Castagnoli), the checksum of ext4 and erofs.

/// The reflected polynomial 0x1EDC6F41.
const POLYNOMIAL: u32 = 0x82f6_3b78;

/// Carries `crc` on over `bytes`, without inverting it first or last: the
/// kernel's `crc32c()`. Begin with `!0`; iSCSI's CRC is the result inverted.
#[must_use]
pub fn update(crc: u32, bytes: &[u8]) -> u32 {
    bytes.iter().fold(crc, |crc, &byte| (crc >> 8) ^ TABLE[usize::from(crc as u8 ^ byte)])
}

static TABLE: [u32; 256] = table();

const fn table() -> [u32; 256] {
    let mut table = [0; 256];
    let mut index = 0;
    while index < table.len() {
        let mut crc = index as u32;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 1 == 1 { (crc >> 1) ^ POLYNOMIAL } else { crc >> 1 };
            bit += 1;
        }
        table[index] = crc;
        index += 1;
    }
    table
}

#[cfg(test)]
mod tests {
    use super::update;

    #[test]
    fn the_values_of_rfc_3720_appendix_b4_come_out() {
        let ascending: Vec<u8> = (0..32).collect();
        assert_eq!(!update(!0, &[0; 32]), 0x8a91_36aa);
        assert_eq!(!update(!0, &[0xff; 32]), 0x62a8_ab43);
        assert_eq!(!update(!0, &ascending), 0x46dd_794e);
    }

    #[test]
    fn a_sum_in_pieces_is_the_sum_of_the_whole() {
        assert_eq!(update(update(!0, b"1234"), b"56789"), update(!0, b"123456789"));
        assert_eq!(!update(!0, b"123456789"), 0xe306_9283);
    }
}
