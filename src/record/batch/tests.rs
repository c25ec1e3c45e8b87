//! Headers field by field, and what is wrong with the wrong ones.

use super::*;

/// A batch of `records` bytes that no one opens, sealed, then changed by `change` (the CRC is not made again).
fn batch(records: &[u8], change: impl FnOnce(&mut [u8])) -> Vec<u8> {
    let mut bytes = vec![0; HEADER_BYTES];
    bytes.extend_from_slice(records);
    let length = (bytes.len() - PREFIX_BYTES) as i32;
    bytes[LENGTH_AT..EPOCH_AT].copy_from_slice(&length.to_be_bytes());
    bytes[MAGIC_AT] = 2;
    bytes[27..35].copy_from_slice(&1_000_i64.to_be_bytes());
    bytes[35..43].copy_from_slice(&1_007_i64.to_be_bytes());
    bytes[43..51].copy_from_slice(&(-1_i64).to_be_bytes());
    bytes[51..53].copy_from_slice(&(-1_i16).to_be_bytes());
    bytes[53..57].copy_from_slice(&(-1_i32).to_be_bytes());
    bytes[60] = 1;
    seal(&mut bytes);
    change(&mut bytes);
    bytes
}

fn put(at: usize, value: &[u8]) -> impl FnOnce(&mut [u8]) + use<'_> {
    move |bytes| bytes[at..at + value.len()].copy_from_slice(value)
}

#[test]
fn parse_reads_every_field() {
    let mut bytes = batch(b"records", |_| {});
    stamp(&mut bytes, Offset(0x0102_0304_0506_0708), 9);
    let header = parse(&bytes).unwrap();
    let crc = header.crc;
    let expected = Header {
        base_offset: 0x0102_0304_0506_0708,
        bytes: 68,
        leader_epoch: 9,
        crc,
        attributes: 0,
        last_offset_delta: 0,
        base_timestamp: 1_000,
        max_timestamp: 1_007,
        producer_id: -1,
        producer_epoch: -1,
        base_sequence: -1,
        record_count: 1,
    };
    assert_eq!(header, expected);
}

#[test]
fn parse_says_what_is_wrong() {
    let short = |keep: usize| batch(b"records", |_| {})[..keep].to_vec();
    let table: Vec<(Vec<u8>, BatchError)> = vec![
        (vec![], BatchError::TooShort { bytes: 0 }),
        (short(16), BatchError::TooShort { bytes: 16 }),
        (short(60), BatchError::TooShort { bytes: 60 }),
        (short(61), BatchError::Truncated { claimed: 68, present: 61 }),
        (short(67), BatchError::Truncated { claimed: 68, present: 67 }),
        (batch(b"", put(16, &[0]))[..30].to_vec(), BatchError::OldMagic { magic: 0 }),
        (batch(b"", put(16, &[1])), BatchError::OldMagic { magic: 1 }),
        (batch(b"", put(16, &[3])), BatchError::UnknownMagic { magic: 3 }),
        (batch(b"", put(16, &[0xff])), BatchError::UnknownMagic { magic: -1 }),
        (batch(b"", put(8, &48_i32.to_be_bytes())), BatchError::Length { length: 48 }),
        (batch(b"", put(8, &(-1_i32).to_be_bytes())), BatchError::Length { length: -1 }),
        (
            batch(b"", put(8, &i32::MAX.to_be_bytes())),
            BatchError::Truncated { claimed: i32::MAX as u64 + 12, present: 61 },
        ),
        (batch(b"", put(57, &(-1_i32).to_be_bytes())), BatchError::Count { records: -1, last_offset_delta: 0 }),
        (batch(b"", put(57, &2_i32.to_be_bytes())), BatchError::Count { records: 2, last_offset_delta: 0 }),
        (batch(b"", put(23, &(-1_i32).to_be_bytes())), BatchError::Count { records: 1, last_offset_delta: -1 }),
        (batch(b"", put(22, &[5])), BatchError::Codec { id: 5 }),
        (batch(b"", put(22, &[7])), BatchError::Codec { id: 7 }),
    ];
    for (bytes, expected) in table {
        assert_eq!(parse(&bytes), Err(expected), "{bytes:?}");
    }
}

#[test]
fn check_takes_exactly_one_batch() {
    let one = batch(b"records", |_| {});
    assert_eq!(check(one.clone().into()).map(|batch| batch.bytes), Ok(one.clone().into()));
    let two = [one.clone(), one].concat();
    assert_eq!(check(two.into()), Err(BatchError::Trailing { claimed: 68, present: 136 }));
}

#[test]
fn check_finds_every_flipped_bit_the_crc_covers() {
    let whole = batch(b"records", |_| {});
    for bit in CRC_AT * 8..whole.len() * 8 {
        let mut bytes = whole.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        assert!(check(bytes.into()).is_err(), "bit {bit}");
    }
}

#[test]
fn split_gives_slices_and_stops_at_the_first_error() {
    let bytes: Bytes = [batch(b"one", |_| {}), batch(b"second", |_| {}), b"rest".to_vec()].concat().into();
    let found: Vec<_> = split(bytes.clone()).collect();
    assert_eq!(found.len(), 3);
    assert_eq!(found[1].as_ref().unwrap().bytes.as_ptr(), bytes[64..].as_ptr(), "pointed at, not copied");
    assert_eq!(found[2], Err(BatchError::TooShort { bytes: 4 }));
    assert_eq!(split(Bytes::new()).count(), 0);
}

#[test]
fn a_stamp_leaves_the_crc_true() {
    let mut bytes = batch(b"records", |_| {});
    stamp(&mut bytes, Offset(77), 5);
    let header = check(bytes.into()).unwrap().header;
    assert_eq!((header.base_offset, header.leader_epoch), (77, 5));
}

#[test]
fn the_time_of_arrival_is_stamped_with_a_new_crc() {
    let mut bytes = batch(b"records", |_| {});
    stamp_log_append_time(&mut bytes, Timestamp(5_000));
    let header = check(bytes.into()).unwrap().header;
    assert!(header.is_log_append_time());
    assert_eq!((header.base_timestamp, header.max_timestamp), (1_000, 5_000));
}

#[test]
fn a_clients_batch_is_dense_and_no_control_batch() {
    let producer = |id: i64, epoch: i16, sequence: i32| {
        let fields = [&id.to_be_bytes()[..], &epoch.to_be_bytes(), &sequence.to_be_bytes()].concat();
        move |bytes: &mut [u8]| bytes[43..57].copy_from_slice(&fields)
    };
    let transactional = |bytes: &mut [u8]| bytes[22] = 1 << 4;
    let table: Vec<(Vec<u8>, Result<(), BatchError>)> = vec![
        (batch(b"", |_| {}), Ok(())),
        (batch(b"", producer(7, 0, 0)), Ok(())),
        (batch(b"", put(60, &[0])), Err(BatchError::NotDense { records: 0, last_offset_delta: 0 })),
        (batch(b"", put(26, &[1])), Err(BatchError::NotDense { records: 1, last_offset_delta: 1 })),
        (batch(b"", put(22, &[1 << 5])), Err(BatchError::Control)),
        (batch(b"", put(22, &[1 << 3])), Err(BatchError::LogAppendTime)),
        (batch(b"", producer(7, 0, -1)), Err(BatchError::Producer { id: 7, epoch: 0, sequence: -1 })),
        (batch(b"", producer(7, -1, 0)), Err(BatchError::Producer { id: 7, epoch: -1, sequence: 0 })),
        (batch(b"", transactional), Err(BatchError::Producer { id: -1, epoch: -1, sequence: -1 })),
    ];
    for (bytes, expected) in table {
        assert_eq!(parse(&bytes).unwrap().check_client(), expected, "{bytes:?}");
    }
}

#[test]
fn sequences_wrap_to_zero() {
    let table = [(0, 0, 0), (0, 4, 4), (i32::MAX, 0, i32::MAX), (i32::MAX, 1, 0), (i32::MAX - 1, 3, 1)];
    for (sequence, steps, expected) in table {
        assert_eq!(sequence_plus(sequence, steps), expected, "{sequence} + {steps}");
    }
    assert_eq!(sequence_plus(i32::MAX, i32::MAX), i32::MAX - 1);
}

#[test]
fn the_crc_behind_a_batch_is_the_same_read_or_combined() {
    for value in [10, COMBINE_FROM_BYTES, 3 * COMBINE_FROM_BYTES + 5] {
        let mut bytes = batch(&vec![7; value], |_| {});
        stamp(&mut bytes, crate::ids::Offset(77), 3);
        assert_eq!(crc_append(5, &bytes), crc32c::crc32c_append(5, &bytes), "{value}");
    }
}
