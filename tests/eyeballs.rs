//! Happy Eyeballs (RFC 8305), as a table: what is told to a race, and what it says. Times are in milliseconds.

mod dice;

use chttpcore::proto::Tick;
use chttpcore::proto::eyeballs::{ATTEMPTS_MAX, Family, Race, Step, UNDER_WAY_MAX};
use dice::Dice;

const MS: u64 = 1_000_000;

enum Do {
    /// At this moment IPv6 has these addresses.
    V6(u64, &'static [&'static str]),
    V4(u64, &'static [&'static str]),
    /// At this moment an attempt fails.
    Fail(u64),
    /// The time passes.
    At(u64),
}
use Do::{At, Fail, V4, V6};

/// Attempts, in order, up to the answer that is none: a moment to wait for, "-" for none, "x" for the end.
type Said = &'static str;

struct Case {
    section: &'static str,
    what: &'static str,
    steps: &'static [(Do, Said)],
}

const CASES: &[Case] = &[
    Case {
        section: "3",
        what: "AAAA first: connect at once",
        steps: &[(V6(0, &["6a"]), "6a -"), (V4(10, &["4a"]), "250"), (At(249), "250"), (At(250), "4a -")],
    },
    Case {
        section: "3",
        what: "A first: 50 ms for AAAA, which comes in time and goes first",
        steps: &[(V4(10, &["4a"]), "60"), (V6(59, &["6a"]), "6a 309"), (At(309), "4a -")],
    },
    Case {
        section: "3",
        what: "A first: AAAA does not come in time, and is used when it comes",
        steps: &[
            (V4(10, &["4a", "4b"]), "60"),
            (At(60), "4a 310"),
            (V6(100, &["6a", "6b"]), "310"),
            (At(310), "6a 560"),
            (At(560), "4b 810"),
            (At(810), "6b -"),
        ],
    },
    Case {
        section: "3",
        what: "A first, then no AAAA: no reason to wait any longer",
        steps: &[(V4(10, &["4a"]), "60"), (V6(20, &[]), "4a -"), (Fail(30), "x")],
    },
    Case { section: "3", what: "no AAAA, then A: at once", steps: &[(V6(5, &[]), "-"), (V4(400, &["4a"]), "4a -")] },
    Case {
        section: "3",
        what: "no A, then AAAA: at once, and the missing A is no delay either",
        steps: &[(V4(5, &[]), "-"), (V6(400, &["6a", "6b"]), "6a 650"), (Fail(401), "6b -"), (Fail(402), "x")],
    },
    Case { section: "3", what: "nothing at all", steps: &[(V4(5, &[]), "-"), (V6(6, &[]), "x")] },
    Case {
        section: "3",
        what: "all of A fail while AAAA is awaited: it is waited for",
        steps: &[
            (V4(0, &["4a"]), "50"),
            (At(50), "4a -"),
            (Fail(51), "-"),
            (At(9_000), "-"),
            (V6(9_001, &["6a"]), "6a -"),
            (Fail(9_002), "x"),
        ],
    },
    Case {
        section: "3",
        what: "a second answer of a family is not heard",
        steps: &[(V6(0, &["6a"]), "6a -"), (V6(1, &["6b"]), "-"), (V4(2, &[]), "-"), (Fail(3), "x")],
    },
    Case {
        section: "4",
        what: "families take turns, beginning with IPv6; what is left of one comes at the end",
        steps: &[
            (V6(0, &["6a", "6b"]), "6a 250"),
            (V4(1, &["4a", "4b", "4c"]), "250"),
            (At(250), "4a 500"),
            (At(500), "6b 750"),
            (At(750), "4b 1000"),
            (At(1000), "4c -"),
        ],
    },
    Case {
        section: "5",
        what: "a failure starts the next one at once, and the delay anew",
        steps: &[
            (V6(0, &["6a"]), "6a -"),
            (V4(0, &["4a", "4b"]), "250"),
            (Fail(100), "4a 350"),
            (At(349), "350"),
            (At(350), "4b -"),
            (Fail(351), "-"),
            (Fail(352), "x"),
        ],
    },
    Case {
        section: "5",
        what: "two failures at one moment start two",
        steps: &[
            (V4(0, &[]), "-"),
            (V6(0, &["a", "b", "c", "d"]), "a 250"),
            (At(250), "b 500"),
            (Fail(300), "c 550"),
            (Fail(300), "d -"),
        ],
    },
    Case {
        section: "5",
        what: "a clock that jumps starts one attempt, not as many as would have fitted",
        steps: &[(V4(0, &[]), "-"), (V6(0, &["a", "b", "c"]), "a 250"), (At(5_000), "b 5250"), (At(5_250), "c -")],
    },
];

fn told(race: &mut Race<&'static str>, now: u64) -> String {
    let mut said = Vec::new();
    loop {
        match race.poll(Tick(now * MS)) {
            Step::Attempt(address) => said.push(address.to_owned()),
            Step::Wait(Tick::NEVER) => said.push("-".to_owned()),
            Step::Wait(until) => said.push((until.0 / MS).to_string()),
            Step::Exhausted => said.push("x".to_owned()),
        }
        if said.last().is_some_and(|s| !s.contains(|c: char| c.is_ascii_lowercase() && c != 'x')) {
            return said.join(" ");
        }
    }
}

#[test]
fn the_table() {
    for Case { section, what, steps } in CASES {
        let mut race = Race::new(250 * MS);
        assert_eq!(told(&mut race, 0), "-", "nothing to try before the first answer");
        for (i, (step, expected)) in steps.iter().enumerate() {
            let now = match *step {
                V6(at, list) => {
                    race.answer(Tick(at * MS), Family::V6, list.iter().copied());
                    at
                }
                V4(at, list) => {
                    race.answer(Tick(at * MS), Family::V4, list.iter().copied());
                    at
                }
                Fail(at) => {
                    race.failed();
                    at
                }
                At(at) => at,
            };
            assert_eq!(told(&mut race, now), *expected, "section {section}, {what}: step {i} at {now} ms");
        }
    }
}

#[test]
fn one_address_is_tried_once() {
    let mut race = Race::only("it");
    assert_eq!(race.poll(Tick(7)), Step::Attempt("it"));
    assert_eq!(race.poll(Tick(u64::MAX - 1)), Step::Wait(Tick::NEVER));
    race.failed();
    assert_eq!(race.poll(Tick(8)), Step::Exhausted);
}

#[test]
fn without_a_delay_attempts_follow_each_other() {
    let mut race = Race::new(u64::MAX);
    race.answer(Tick(0), Family::V4, [1, 2]);
    race.answer(Tick(0), Family::V6, [3]);
    assert_eq!(race.poll(Tick(0)), Step::Attempt(3));
    assert_eq!(race.poll(Tick(u64::MAX - 1)), Step::Wait(Tick::NEVER));
    race.failed();
    assert_eq!(race.poll(Tick(1)), Step::Attempt(1));
}

#[test]
fn a_thousand_addresses_are_so_many_attempts_and_no_more() {
    // All fail at once.
    let mut race = Race::new(250 * MS);
    race.answer(Tick(0), Family::V4, 0..1000);
    race.answer(Tick(0), Family::V6, 1000..2000);
    let mut tried = 0;
    while let Step::Attempt(_) = race.poll(Tick(0)) {
        tried += 1;
        race.failed();
    }
    assert_eq!((tried, race.poll(Tick(0))), (ATTEMPTS_MAX, Step::Exhausted));
    // None answers.
    let mut race = Race::new(250 * MS);
    race.answer(Tick(0), Family::V6, []);
    race.answer(Tick(0), Family::V4, 0..1000);
    let (mut now, mut tried) = (Tick(0), 0);
    loop {
        match race.poll(now) {
            Step::Attempt(_) => tried += 1,
            Step::Wait(Tick::NEVER) => break,
            Step::Wait(until) => now = until,
            Step::Exhausted => unreachable!("attempts are under way"),
        }
    }
    assert_eq!(tried, UNDER_WAY_MAX);
    race.failed();
    assert!(matches!(race.poll(now), Step::Attempt(16)));
    assert_eq!(race.poll(now), Step::Wait(Tick::NEVER));
}

/// Random answers, failures and times; what must hold in every order of them.
#[test]
fn no_order_of_events_breaks_the_rules() {
    for seed in 1..2_000u64 {
        let mut dice = Dice::new(seed);
        let mut race = Race::new(250 * MS);
        let counts = [dice.roll(40), dice.roll(40)];
        let (mut now, mut under_way, mut tried) = (0, 0, Vec::new());
        let mut open = vec![(Family::V6, counts[0]), (Family::V4, counts[1])];
        loop {
            let step = race.poll(Tick(now));
            match step {
                Step::Attempt(address) => {
                    assert!(!tried.contains(&address), "seed {seed}: {address:?} twice");
                    tried.push(address);
                    under_way += 1;
                    assert!(under_way <= UNDER_WAY_MAX && tried.len() <= ATTEMPTS_MAX);
                    continue;
                }
                Step::Exhausted => {
                    assert_eq!((under_way, open.len()), (0, 0), "seed {seed}");
                    assert_eq!(tried.len() as u64, (counts[0] + counts[1]).min(ATTEMPTS_MAX as u64), "seed {seed}");
                    break;
                }
                Step::Wait(until) => assert!(until.0 > now, "seed {seed}: a wait for the past"),
            }
            match dice.roll(3) {
                0 if !open.is_empty() => {
                    let (family, count) = open.swap_remove(dice.roll(open.len()));
                    race.answer(Tick(now), family, (0..count).map(|i| (family, i)));
                }
                1 if under_way > 0 => {
                    race.failed();
                    under_way -= 1;
                }
                _ => {
                    let Step::Wait(until) = step else { unreachable!() };
                    now = if until == Tick::NEVER {
                        now + dice.roll(500 * MS)
                    } else {
                        now + 1 + dice.roll(until.0 - now)
                    };
                }
            }
        }
    }
}
