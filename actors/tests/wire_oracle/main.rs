//! The codecs of `wire/` against npm's `engine.io-parser` and `socket.io-parser`, on generated
//! packets.
//!
//! For each case, four things are held against each other: what we say of it (accepted, waiting for
//! attachments, refused) and what the reference says; the content that each read; what the
//! reference reads of our encoding of it; what we read of the reference's encoding of it. Where we
//! refuse what the reference accepts, the reason must be one of those in `differences.rs`, and true
//! of the case. Never may we accept what the reference refuses.
//!
//! `WIRE_ORACLE_SEED` chooses other cases than the usual ones.

mod differences;
mod generate;
mod ours;
mod reference;
mod table;

use std::collections::BTreeMap;

use generate::{Case, Generator};
use ours::{Outcome, Verdict};
use reference::Answer;

const SOCKETIO: usize = 24_000;
const ENGINEIO_TEXTS: usize = 4_000;
const ENGINEIO_BODIES: usize = 4_000;

#[derive(Debug, Default)]
struct Counts {
    accepted: usize,
    waiting: usize,
    refused: usize,
    /// Packets whose content was compared value by value.
    contents: usize,
    /// Packets that hold JSON which Rust has no value for (a lone surrogate, 1e999): compared in
    /// the reference alone.
    contents_by_echo: usize,
    echoes: usize,
    returns: usize,
    differences: BTreeMap<&'static str, usize>,
}

#[test]
fn the_reference_and_we_read_and_write_the_same_packets() {
    let seed = std::env::var("WIRE_ORACLE_SEED")
        .map_or(20_261_120, |seed| seed.parse().expect("a seed is a number"));
    println!("seed {seed}");
    let mut generator = Generator::new(seed);
    let mut cases = table::cases();
    cases.extend((0..SOCKETIO).map(|_| generator.messages()));
    cases.extend((0..ENGINEIO_TEXTS).map(|_| generator.text()));
    cases.extend((0..ENGINEIO_BODIES).map(|_| generator.body()));

    let outcomes: Vec<_> = cases.iter().map(Outcome::of).collect();
    let echoes: Vec<_> = cases
        .iter()
        .zip(&outcomes)
        .map(|(case, outcome)| outcome.encoded(case))
        .collect();
    let mut answers = reference::ask(cases.iter().chain(&echoes));
    assert_eq!(
        answers.len(),
        cases.len() * 2,
        "one answer for each case and each echo"
    );
    let answers_to_echoes = answers.split_off(cases.len());

    let mut counts = Counts::default();
    for (((case, outcome), answer), echo) in cases
        .iter()
        .zip(&outcomes)
        .zip(&answers)
        .zip(&answers_to_echoes)
    {
        if let Err(complaint) = compare(case, outcome, answer, echo, &mut counts) {
            panic!(
                "seed {seed}: {complaint}\n   case: {case:?}\n   ours: {outcome:?}\n theirs: {answer:?}\n   echo: {echo:?}"
            );
        }
    }
    println!("{} cases: {counts:#?}", cases.len());

    assert!(cases.len() >= 20_000);
    for (what, count) in [
        ("accepted by both", counts.accepted),
        ("refused by both", counts.refused),
        ("contents compared", counts.contents),
        ("echoes compared", counts.echoes),
        ("returns compared", counts.returns),
    ] {
        assert!(
            count > 5_000,
            "only {count} {what}: the generator has gone blind"
        );
    }
    assert!(counts.waiting > 50 && counts.contents_by_echo > 100);
    let unseen: Vec<_> = differences::NAMES
        .iter()
        .filter(|name| !counts.differences.contains_key(*name))
        .collect();
    assert!(
        unseen.is_empty(),
        "differences that no case shows: {unseen:?}"
    );
}

fn compare(
    case: &Case,
    ours: &Outcome,
    theirs: &Answer,
    echo: &Answer,
    counts: &mut Counts,
) -> Result<(), String> {
    let same_count = ours.packets.len() == theirs.packets.len();
    let same_end = same_count
        && match (&ours.verdict, theirs.end.as_str()) {
            (Verdict::Idle, "idle") => plus_one(&mut counts.accepted),
            (Verdict::Waiting, "waiting") => plus_one(&mut counts.waiting),
            (Verdict::Refused(_), "refused") => plus_one(&mut counts.refused),
            _ => false,
        };
    if !same_end {
        let Verdict::Refused(error) = &ours.verdict else {
            return Err("we accept what the reference refuses".to_owned());
        };
        if ours.packets.len() > theirs.packets.len() {
            return Err("we refuse later than the reference".to_owned());
        }
        let name = differences::excuse(error, case, theirs)
            .ok_or("we refuse what the reference accepts")?;
        *counts.differences.entry(name).or_default() += 1;
    }

    let expected: Vec<_> = theirs.packets.iter().map(ours::normal).collect();
    for (packet, expected) in ours.packets.iter().zip(&expected) {
        match packet.value() {
            Some(value) if value == *expected => counts.contents += 1,
            Some(value) => return Err(format!("other content: {value}")),
            None => counts.contents_by_echo += 1,
        }
    }

    // Our encoding of what we read, as the reference reads it.
    let read: Vec<_> = echo.packets.iter().map(ours::normal).collect();
    if !ours.packets.is_empty() {
        if echo.end != "idle" || read != expected[..ours.packets.len()] {
            return Err("the reference reads our encoding otherwise".to_owned());
        }
        counts.echoes += 1;
    }

    // The reference's encoding of what it read, as we read it.
    if same_end && !theirs.packets.is_empty() {
        let encoded = theirs
            .encoded
            .as_ref()
            .ok_or("an answer without an encoding")?;
        let returned = Outcome::of(&ours::case_of(case, encoded));
        // What Rust has no value for, the reference cannot write again either: 1e999 becomes null.
        let same = returned.packets.len() == ours.packets.len()
            && ours
                .packets
                .iter()
                .zip(&returned.packets)
                .all(|(ours, returned)| {
                    ours.value()
                        .is_none_or(|value| returned.value() == Some(value))
                });
        if !matches!(returned.verdict, Verdict::Idle) || !same {
            return Err(format!(
                "we read the encoding of the reference otherwise: {returned:?}"
            ));
        }
        counts.returns += 1;
    }
    Ok(())
}

fn plus_one(count: &mut usize) -> bool {
    *count += 1;
    true
}
