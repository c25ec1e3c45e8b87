//! The zigzag varints of records (KIP-98): seven bits a byte, lowest first, the sign in the lowest bit. Never reads a
//! number that is longer than its type.

/// Reads 32 bits; `None` if the bytes end early or hold more than 32 bits.
pub(crate) fn read_i32(rest: &mut &[u8]) -> Option<i32> {
    // Lengths and deltas are nearly always below 64.
    if let [first, tail @ ..] = *rest
        && *first < 0x80
    {
        *rest = tail;
        return Some(i32::from(*first >> 1) ^ -i32::from(*first & 1));
    }
    let raw = u32::try_from(read_raw(rest)?).ok()?;
    Some((raw >> 1) as i32 ^ -((raw & 1) as i32))
}

/// Reads 64 bits; `None` if the bytes end early or hold more than 64 bits.
pub(crate) fn read_i64(rest: &mut &[u8]) -> Option<i64> {
    let raw = read_raw(rest)?;
    Some((raw >> 1) as i64 ^ -((raw & 1) as i64))
}

fn read_raw(rest: &mut &[u8]) -> Option<u64> {
    let mut raw = 0;
    for (index, &byte) in rest.iter().enumerate().take(10) {
        if index == 9 && byte > 1 {
            return None;
        }
        raw |= u64::from(byte & 0x7f) << (7 * index);
        if byte < 0x80 {
            *rest = &rest[index + 1..];
            return Some(raw);
        }
    }
    None
}

pub(crate) fn write(value: i64, out: &mut Vec<u8>) {
    let mut raw = zigzag(value);
    while raw >= 0x80 {
        out.push(raw as u8 | 0x80);
        raw >>= 7;
    }
    out.push(raw as u8);
}

/// How many bytes [`write`] takes.
pub(crate) fn size(value: i64) -> usize {
    let bits = 64 - (zigzag(value) | 1).leading_zeros() as usize;
    bits.div_ceil(7)
}

fn zigzag(value: i64) -> u64 {
    (value as u64) << 1 ^ (value >> 63) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_forms() {
        let table: [(i64, &[u8]); 8] = [
            (0, &[0]),
            (-1, &[1]),
            (1, &[2]),
            (63, &[0x7e]),
            (-64, &[0x7f]),
            (64, &[0x80, 1]),
            (i32::MAX.into(), &[0xfe, 0xff, 0xff, 0xff, 0x0f]),
            (i32::MIN.into(), &[0xff, 0xff, 0xff, 0xff, 0x0f]),
        ];
        for (value, bytes) in table {
            let mut out = Vec::new();
            write(value, &mut out);
            assert_eq!((out.as_slice(), size(value)), (bytes, bytes.len()), "{value}");
            assert_eq!(read_i32(&mut &out[..]), Some(value as i32));
            assert_eq!(read_i64(&mut &out[..]), Some(value));
        }
    }

    #[test]
    fn the_ends_of_64_bits_come_back() {
        for value in [i64::MAX, i64::MIN, i64::MAX - 1, 1 << 40, -(1 << 40)] {
            let mut out = Vec::new();
            write(value, &mut out);
            assert_eq!(out.len(), size(value));
            let mut rest = &out[..];
            assert_eq!((read_i64(&mut rest), rest.len()), (Some(value), 0));
        }
    }

    #[test]
    fn what_ends_early_or_is_too_long_is_no_number() {
        let table: [&[u8]; 4] = [&[], &[0x80], &[0xff; 9], &[0xff; 11]];
        for bytes in table {
            assert_eq!((read_i32(&mut &*bytes), read_i64(&mut &*bytes)), (None, None), "{bytes:?}");
        }
        assert_eq!(read_i32(&mut &[0xff, 0xff, 0xff, 0xff, 0x1f][..]), None, "33 bits");
        assert_eq!(read_i64(&mut &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2][..]), None, "65 bits");
    }
}
