//! Tickets: nothing is let in but what the gateway's secret signed, while it is good.
#![no_main]

use std::sync::LazyLock;

use bellwire::config::Secret;
use bellwire::domain::Timestamp;
use bellwire::ticket::{TicketError, Tickets};
use bellwire_fuzz::signed;
use libfuzzer_sys::fuzz_target;

const SECRETS: [&str; 2] = ["the secret that signs and verifies", "the secret that only verifies"];
const NOW: Timestamp = Timestamp::from_millis(1_800_000_000_000);

static TICKETS: LazyLock<Tickets> = LazyLock::new(|| Tickets::new(&SECRETS.map(Secret::new)).expect("tickets"));

// The first byte: 0 a token as it is; 1 and 2 header and claims, signed by one of the secrets; 3 by another.
fuzz_target!(|data: &[u8]| {
    let Some((kind, rest)) = data.split_first() else { return };
    let token = match kind % 4 {
        0 => match std::str::from_utf8(rest) {
            Ok(token) => token.to_owned(),
            Err(_) => return,
        },
        1 => signed::compose(rest, |text| signed::hs256(SECRETS[0], text)),
        2 => signed::compose(rest, |text| signed::hs256(SECRETS[1], text)),
        _ => signed::compose(rest, |text| signed::hs256("the secret of somebody else", text)),
    };
    match TICKETS.check(&token, NOW) {
        Ok(ticket) => {
            assert!(SECRETS.iter().any(|secret| signed::is_hs256_of(secret, &token)), "a forged ticket");
            assert!(ticket.expires_at > NOW);
            assert_eq!(TICKETS.check(&token, ticket.expires_at), Err(TicketError::Expired));
            let again = TICKETS.mint(&ticket).expect("minted");
            let again = TICKETS.check(&again, NOW).expect("a ticket of our own");
            assert_eq!(again, ticket);
            for bent in signed::bent(&token) {
                assert_eq!(TICKETS.check(&bent, NOW), Err(TicketError::Invalid), "{bent}");
            }
        }
        Err(error) => signed::is_not_told(&token, &format!("{error} {error:?}")),
    }
});
