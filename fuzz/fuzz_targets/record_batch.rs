//! Record batches as a producer sends them: parsed, checked, opened and iterated. The checksum is put right first, so
//! that what stands behind it is reached. Memory: 1 MiB of output and four times the input.
#![no_main]

use bytes::Bytes;
use interfluve::record::compress::Limits;
use interfluve::record::{batch, records};
use interfluve_fuzz::{bounded, counted};
use libfuzzer_sys::fuzz_target;

counted!();

const LIMITS: Limits = Limits { max_bytes: 1 << 20, max_ratio: 1000 };
/// What stands before the checksum, and the checksum (KIP-98).
const CRC: std::ops::Range<usize> = 17..21;

fuzz_target!(|data: &[u8]| {
    let mut bytes = data.to_vec();
    let _ = batch::check(Bytes::copy_from_slice(data));
    if bytes.len() > CRC.end {
        let crc = crc32c::crc32c(&bytes[CRC.end..]);
        bytes[CRC].copy_from_slice(&crc.to_be_bytes());
    }
    let bytes = Bytes::from(bytes);
    let _ = batch::split(bytes.clone()).take(1000).count();
    let Ok(header) = batch::parse(&bytes) else { return };
    let _ = header.check_client();
    let Ok(batch) = batch::check(bytes.clone()) else { return };
    // The decoders of zstd and lz4 keep windows of their own beside what they give out.
    bounded(&HEAP, bytes.len(), 4, 24 << 20, || {
        let valid = records::validate(&batch, LIMITS).is_ok();
        let Ok(opened) = records::open(&batch, LIMITS) else {
            assert!(!valid);
            return;
        };
        let (mut good, mut plain) = (0, 0);
        for view in opened.views() {
            let Ok(view) = view else { break };
            good += 1;
            plain += view.key.map_or(0, |key| key.len()) + view.value.map_or(0, |value| value.len());
        }
        assert!(plain <= LIMITS.max_bytes.max(bytes.len()));
        let kept = opened.into_records().take_while(Result::is_ok).count();
        assert_eq!(kept, good, "records and views are the same");
    });
});
