//! Content codings: whole and cut everywhere, truncated at each byte, malformed, and bombs in bounded memory.

use chttpcore::proto::coding::{Coding, Decoder, Malformed};
use flate2::{Compress, Compression, FlushCompress, Status};

/// Which wrapping.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Form {
    Gzip,
    Zlib,
    Raw,
}

fn encode(form: Form, plain: &[u8]) -> Vec<u8> {
    let mut out = vec![0; plain.len() + 1024];
    let mut compress = match form {
        Form::Gzip => Compress::new_gzip(Compression::best(), 15),
        Form::Zlib => Compress::new(Compression::best(), true),
        Form::Raw => Compress::new(Compression::best(), false),
    };
    assert_eq!(compress.compress(plain, &mut out, FlushCompress::Finish).unwrap(), Status::StreamEnd);
    out.truncate(compress.total_out() as usize);
    out
}

fn coding(form: Form) -> Coding {
    if form == Form::Gzip { Coding::Gzip } else { Coding::Deflate }
}

/// Decode pieces with so much room at a time.
fn decode(coding: Coding, pieces: &[&[u8]], room: usize) -> Result<(Vec<u8>, bool), Malformed> {
    let (mut decoder, mut plain, mut buf) = (Decoder::new(coding), Vec::new(), vec![0; room]);
    for mut rest in pieces.iter().copied() {
        loop {
            let (taken, written) = decoder.decode(rest, &mut buf)?;
            plain.extend_from_slice(&buf[..written]);
            rest = &rest[taken..];
            if rest.is_empty() && written < room {
                break;
            }
            assert!(taken > 0 || written > 0, "it goes on");
        }
    }
    Ok((plain, decoder.is_whole()))
}

const FORMS: [Form; 3] = [Form::Gzip, Form::Zlib, Form::Raw];

#[test]
fn whole_and_cut_everywhere() {
    let plain: Vec<u8> = (0..1000u32).flat_map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()[..2].to_vec()).collect();
    for form in FORMS {
        for plain in [&b""[..], b"x", b"data: x\n\n", &plain] {
            let coded = encode(form, plain);
            for room in [1, 7, 4096] {
                assert_eq!(decode(coding(form), &[&coded], room).unwrap(), (plain.to_vec(), true), "{form:?}");
            }
            for cut in (0..coded.len()).step_by((coded.len() / 100).max(1)) {
                let (a, b) = coded.split_at(cut);
                assert_eq!(decode(coding(form), &[a, b], 4096).unwrap(), (plain.to_vec(), true), "{form:?} at {cut}");
            }
            let singly: Vec<&[u8]> = coded.chunks(1).collect();
            assert_eq!(decode(coding(form), &singly, 4096).unwrap(), (plain.to_vec(), true), "{form:?}");
        }
    }
}

#[test]
fn truncation_shows_at_every_byte() {
    for form in FORMS {
        let coded = encode(form, b"data: one\n\ndata: two\n\n");
        for cut in 1..coded.len() {
            let (_, whole) = decode(coding(form), &[&coded[..cut]], 4096).unwrap();
            assert!(!whole, "{form:?} cut at {cut}");
        }
        assert!(Decoder::new(coding(form)).is_whole(), "nothing at all is whole");
    }
}

#[test]
fn what_is_flushed_comes_at_once() {
    for form in FORMS {
        let mut compress = match form {
            Form::Gzip => Compress::new_gzip(Compression::fast(), 15),
            Form::Zlib => Compress::new(Compression::fast(), true),
            Form::Raw => Compress::new(Compression::fast(), false),
        };
        let mut decoder = Decoder::new(coding(form));
        for event in [&b"data: 1\n\n"[..], b"data: 2\n\n", b": nothing\n"] {
            let (mut coded, mut plain) = ([0; 200], [0; 200]);
            let before = compress.total_out();
            compress.compress(event, &mut coded, FlushCompress::Sync).unwrap();
            let coded = &coded[..(compress.total_out() - before) as usize];
            assert_eq!(decoder.decode(coded, &mut plain).unwrap(), (coded.len(), event.len()), "{form:?}");
            assert_eq!(&plain[..event.len()], event);
        }
    }
}

#[test]
fn members_of_gzip_follow_each_other() {
    let coded = [encode(Form::Gzip, b"one "), encode(Form::Gzip, b""), encode(Form::Gzip, b"two")].concat();
    let singly: Vec<&[u8]> = coded.chunks(1).collect();
    for pieces in [&[&coded[..]][..], &singly] {
        assert_eq!(decode(Coding::Gzip, pieces, 64).unwrap(), (b"one two".to_vec(), true));
    }
}

#[test]
fn what_is_none_of_it_is_refused() {
    let mut wrong_sum = encode(Form::Gzip, b"data: x\n\n");
    let at = wrong_sum.len() - 5;
    wrong_sum[at] ^= 1;
    let mut wrong_length = encode(Form::Gzip, b"data: x\n\n");
    *wrong_length.last_mut().unwrap() ^= 1;
    let mut wrong_adler = encode(Form::Zlib, b"data: x\n\n");
    *wrong_adler.last_mut().unwrap() ^= 1;
    let behind = |form| [encode(form, b"x"), b"and more".to_vec()].concat();
    for (coding, bytes) in [
        (Coding::Gzip, b"data: not coded\n\n".to_vec()),
        (Coding::Gzip, wrong_sum),
        (Coding::Gzip, wrong_length),
        (Coding::Gzip, behind(Form::Gzip)),
        (Coding::Deflate, wrong_adler),
        (Coding::Deflate, behind(Form::Zlib)),
        (Coding::Deflate, b"\xff\xff\xff\xff".to_vec()),
    ] {
        assert_eq!(decode(coding, &[&bytes], 4096), Err(Malformed), "{coding:?} {}", bytes.escape_ascii());
        let singly: Vec<&[u8]> = bytes.chunks(1).collect();
        assert_eq!(decode(coding, &singly, 4096), Err(Malformed), "{coding:?} in single bytes");
    }
}

#[test]
fn a_bomb_fills_no_more_than_the_room() {
    let coded = encode(Form::Gzip, &vec![b'\n'; 8 << 20]);
    assert!(coded.len() < 10 << 10);
    let (mut decoder, mut room, mut rest, mut total) = (Decoder::new(Coding::Gzip), [0; 4096], &coded[..], 0);
    while !rest.is_empty() || !decoder.is_whole() {
        let (taken, written) = decoder.decode(rest, &mut room).unwrap();
        rest = &rest[taken..];
        total += written;
    }
    assert_eq!(total, 8 << 20);
}

#[test]
fn names_of_codings() {
    let of = |values: &[&'static str]| Coding::of(values.iter().map(|v| v.as_bytes()));
    for gzip in [&["gzip"][..], &["GZIP"], &["x-gzip"], &[" gzip , identity"], &["identity", "gzip"], &[",gzip,"]] {
        assert_eq!(of(gzip), Ok(Some(Coding::Gzip)), "{gzip:?}");
    }
    assert_eq!(of(&["deflate"]), Ok(Some(Coding::Deflate)));
    for none in [&[][..], &["identity"], &[""], &["Identity, identity"]] {
        assert_eq!(of(none), Ok(None), "{none:?}");
    }
    for unknown in [&["br"][..], &["gzip, gzip"], &["gzip", "deflate"], &["gzi"], &["gzip;q=1"], &["zstd"]] {
        assert!(of(unknown).is_err(), "{unknown:?}");
    }
}
