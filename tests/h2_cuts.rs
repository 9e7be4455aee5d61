//! A whole conversation over HTTP/2, cut at every byte, and what becomes of it when bytes of it are changed.

mod dice;
#[path = "../fuzz/fuzz_targets/h2_feed.rs"]
mod h2_feed;
mod h2_support;

use dice::Dice;
use h2_feed::same_in_every_cut;
use h2_support::*;

const STATUS: (&str, &str) = (":status", "200");

/// Behind SETTINGS: everything that a server in good order says, on two streams and two tunnels.
fn conversation() -> Vec<u8> {
    let long = "x".repeat(300);
    let section = block(&[STATUS, ("a", &long), ("b", "c")]);
    [
        frame(SETTINGS, ACK, 0, &[]),
        headers(1, false, &[(":status", "103"), ("link", "<a>")]),
        frame(HEADERS, 0, 1, &section[..100]),
        frame(CONTINUATION, 0, 1, &section[100..101]),
        frame(CONTINUATION, END_HEADERS, 1, &section[101..]),
        frame(PING, 0, 0, b"12345678"),
        data(1, false, b"hello"),
        data(1, false, b""),
        frame(DATA, PADDED, 1, b"\x03padded\0\0\0"),
        headers(7, false, &[STATUS]),
        window_update(0, 1000),
        data(7, false, &pattern(500)),
        headers(1, true, &[("sum", "7")]),
        headers(5, false, &[STATUS, ("A", "b")]),
        hello(&[(INITIAL_WINDOW_SIZE, 70_000)]),
        window_update(7, 10),
        frame(0x77, 3, 7, b"unknown"),
        headers(3, true, &[STATUS, ("content-length", "500")]),
        data(7, true, b"bye"),
        goaway(7, 0),
    ]
    .concat()
}

#[test]
fn a_conversation_is_the_same_at_every_cut() {
    let whole = conversation();
    for cut in 0..=whole.len() {
        same_in_two(&whole, cut);
    }
    for size in 1..=255 {
        same_in_every_cut(0, &whole, size);
    }
}

fn same_in_two(input: &[u8], cut: usize) {
    let two = h2_feed::run_pieces(0, &[&input[..cut], &input[cut..]]);
    assert_eq!(two, h2_feed::run_pieces(0, &[input]), "cut at {cut}");
}

#[test]
fn noise_is_survived_and_told_alike() {
    let whole = conversation();
    for seed in 1..=1500 {
        let mut dice = Dice::new(seed);
        let mut input = whole.clone();
        for _ in 0..=dice.roll(6) {
            let at = dice.roll(input.len());
            match dice.roll(4) {
                0 => input[at] = dice.roll(256) as u8,
                1 => input[at] ^= 1 << dice.roll(8),
                2 => drop(input.drain(at..(at + 1 + dice.roll(20)).min(input.len()))),
                _ => {
                    let piece: Vec<u8> = input[at..(at + 40).min(input.len())].to_vec();
                    let to = dice.roll(input.len());
                    input.splice(to..to, piece);
                }
            }
        }
        same_in_every_cut((seed % 8 == 0).into(), &input, 1 + dice.roll(255) as u8);
    }
}
