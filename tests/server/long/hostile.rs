//! A hundred thousand packets, commands and requests, from what is right to what is nothing at all, on all transports at
//! once: no panic, no restart, no error, and everything is as it was when they are gone.

use crate::hostile::withstands;
use crate::support::{Kind, on_both_databases};

const PACKETS: usize = 100_000;

on_both_databases!(a_hundred_thousand_packets_do_no_harm);

async fn a_hundred_thousand_packets_do_no_harm(kind: Kind) {
    withstands(kind, PACKETS).await;
}
