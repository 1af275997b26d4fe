//! Anything may happen, in any order; what each socket gets is what its rooms were sent.

use proptest::prelude::*;

use super::*;
use crate::runtime::How;

/// What may happen to the Broadcaster.
#[derive(Clone, Debug)]
enum Step {
    /// A change for the channels of this mask; its tell arrives so often.
    Change(u8, u8),
    /// A tell of long ago.
    Retell(u8),
    Enter(usize, u8),
    Leave(usize, u8),
    Moment(u8),
    Panic(u8, u8),
    Away(u8),
    Settle,
    Second,
}

const CHANNELS: u8 = 4;

fn channels(mask: u8) -> Vec<Channel> {
    let names = (0..CHANNELS).filter(|bit| mask & 1 << bit != 0);
    names.map(|bit| episode(bit.into())).collect()
}

fn step() -> impl Strategy<Value = Step> {
    let mask = || 1..1u8 << CHANNELS;
    prop_oneof![
        12 => (mask(), 0..3u8).prop_map(|(mask, times)| Step::Change(mask, times)),
        2 => any::<u8>().prop_map(Step::Retell),
        4 => (0..3usize, mask()).prop_map(|(who, mask)| Step::Enter(who, mask)),
        3 => (0..3usize, mask()).prop_map(|(who, mask)| Step::Leave(who, mask)),
        2 => mask().prop_map(Step::Moment),
        1 => (0..3u8, 0..3u8).prop_map(|(who, how)| Step::Panic(who, how)),
        1 => (1..4u8).prop_map(Step::Away),
        2 => Just(Step::Settle),
        1 => Just(Step::Second),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    #[test]
    fn every_socket_gets_each_event_of_its_rooms_once_and_in_order(
        steps in proptest::collection::vec(step(), 1..120),
    ) {
        on_actix(async {
            let world = World::new().await;
            let clients = [(); 3].map(|()| Client::open(&world.hubs));
            let mut moves = Vec::new();
            for step in steps {
                match step {
                    Step::Change(mask, times) => {
                        let entry = world.record.append("episode_updated", channels(mask));
                        for _ in 0..times { world.tell(&entry); }
                    }
                    Step::Retell(seq) => {
                        let entries = world.record.entries();
                        if let Some(entry) = entries.get(usize::from(seq)) { world.tell(entry); }
                    }
                    Step::Enter(who, mask) => {
                        let place = world.entering(&clients[who], channels(mask));
                        moves.push((who, mask, true, actix_rt::spawn(place)));
                    }
                    Step::Leave(who, mask) => {
                        let place = world.leaving(&clients[who], channels(mask));
                        moves.push((who, mask, false, actix_rt::spawn(place)));
                    }
                    Step::Moment(mask) => world.moment("typing", &channels(mask), None),
                    Step::Panic(who, how) => {
                        let name = ["Room", "Hub", "Broadcaster"][usize::from(who)];
                        let hows = [How::Now, How::InFuture, How::InSpawned];
                        world.ledger.poke(name, hows[usize::from(how)]);
                    }
                    Step::Away(times) => {
                        let fault = Some(crate::testing::Fault::Before);
                        world.record.faults.plan((0..times).map(|_| fault));
                    }
                    Step::Settle => settle().await,
                    Step::Second => world.clock.wind(LOOK).await,
                }
            }
            // The Record is back, however many of its failures were still to come: together their pauses have no bound.
            world.record.faults.heal();
            // Past every pause of a supervisor, and of who reads the Record.
            world.clock.wind(Duration::from_secs(60)).await;
            world.caught_up().await;
            // Of each client and channel: from where on, up to where it was in it.
            let mut stays: Vec<(usize, Channel, Seq, Seq)> = Vec::new();
            for (who, mask, enters, place) in moves {
                let place = place.await.unwrap().unwrap();
                for channel in channels(mask) {
                    let stay = stays
                        .iter_mut()
                        .find(|stay| stay.0 == who && stay.1 == channel && stay.3 == Seq::MAX);
                    match stay {
                        None if enters => stays.push((who, channel, place, Seq::MAX)),
                        Some(stay) if !enters => stay.3 = place,
                        _ => {}
                    }
                }
            }
            for (who, client) in clients.iter().enumerate() {
                let due = world.record.entries().into_iter().filter(|entry| {
                    stays.iter().any(|(stayer, channel, from, to)| {
                        *stayer == who && (from + 1..=*to).contains(&entry.seq)
                            && entry.audience.contains(channel)
                    })
                });
                let due: Vec<Seq> = due.map(|entry| entry.seq).collect();
                assert_eq!(client.seqs(), due, "client {who}");
            }
            for row in world.ledger.rows() {
                assert!(row.balances(), "{row:?}");
            }
        });
    }
}
