//! Users' tokens: by a shared secret, and by keys of RS256 and ES256 that are fetched; nobody is let in but by a right signature.
#![no_main]

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::LazyLock;
use std::time::Duration;

use bellwire::clock::Clock;
use bellwire::config::Secret;
use bellwire::config::auth::{Asymmetric, Auth, UserKey, Users};
use bellwire::http::auth::{Authenticator, Caller, bearer};
use bellwire::simulator::{Options, Simulator};
use bellwire::ticket::Tickets;
use bellwire_fuzz::signed;
use data_encoding::{BASE64, BASE64URL_NOPAD};
use libfuzzer_sys::fuzz_target;
use ring::digest::{SHA256, digest};
use ring::rand::SystemRandom;
use ring::rsa;
use ring::signature::{self, EcdsaKeyPair, KeyPair, RsaKeyPair, UnparsedPublicKey};
use serde_json::{Value, json};
use tokio::runtime::{Builder, Runtime};

const SECRET: &str = "a secret of the identity provider, of its own";
const TICKETS: &str = "a secret of the gateway's tickets, of its own";
const SERVICE_KEY: &str = "bw_sk_a-key-of-the-backend-for-the-fuzzer";

struct World {
    runtime: Runtime,
    authenticator: Authenticator,
    random: SystemRandom,
    ec: EcdsaKeyPair,
    rsa: RsaKeyPair,
}

static WORLD: LazyLock<World> = LazyLock::new(World::new);

impl World {
    fn new() -> Self {
        bellwire::crypto::install().expect("first");
        let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
        let random = SystemRandom::new();
        let algorithm = &signature::ECDSA_P256_SHA256_FIXED_SIGNING;
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(algorithm, &random).expect("a key");
        let ec = EcdsaKeyPair::from_pkcs8(algorithm, pkcs8.as_ref(), &random).expect("a key");
        let rsa = RsaKeyPair::from_pkcs8(&runtime.block_on(rsa_pkcs8())).expect("a key");
        let url = serve(&jwks(&ec, &rsa));
        let keys = [
            UserKey::Secret(Secret::new(SECRET)),
            UserKey::Jwks(Asymmetric::Es256, url.clone()),
            UserKey::Jwks(Asymmetric::Rs256, url),
        ];
        let config = Auth {
            users: keys.into_iter().map(users).collect(),
            service_keys: vec![digest(&SHA256, SERVICE_KEY.as_bytes()).as_ref().try_into().expect("32 bytes")],
            ticket_secrets: Vec::new(),
            leeway: Duration::from_secs(30),
        };
        let tickets = Tickets::new(&[Secret::new(TICKETS)]).expect("tickets");
        let authenticator = Authenticator::new(&config, tickets, Clock::system()).expect("an authenticator");
        runtime.block_on(authenticator.prefetch());
        Self { runtime, authenticator, random, ec, rsa }
    }

    fn ask(&self, authorization: &str) -> Result<Caller, String> {
        let asked = match bearer(Some(authorization)) {
            Ok(token) => self.runtime.block_on(self.authenticator.authenticate(token)),
            Err(error) => Err(error),
        };
        asked.map_err(|error| format!("{error} {error:?}"))
    }

    fn es256(&self, signed: &[u8]) -> Vec<u8> {
        self.ec.sign(&self.random, signed).expect("signed").as_ref().to_vec()
    }

    fn rs256(&self, signed: &[u8]) -> Vec<u8> {
        let mut signature = vec![0; self.rsa.public().modulus_len()];
        self.rsa.sign(&signature::RSA_PKCS1_SHA256, &self.random, signed, &mut signature).expect("signed");
        signature
    }

    fn is_genuine(&self, token: &str) -> bool {
        let by_ec = |text: &[u8], signature: &[u8]| {
            let key = UnparsedPublicKey::new(&signature::ECDSA_P256_SHA256_FIXED, self.ec.public_key());
            key.verify(text, signature).is_ok()
        };
        let by_rsa = |text: &[u8], signature: &[u8]| {
            let key = UnparsedPublicKey::new(&signature::RSA_PKCS1_2048_8192_SHA256, self.rsa.public_key());
            key.verify(text, signature).is_ok()
        };
        signed::is_hs256_of(SECRET, token)
            || signed::is_signed(token, "ES256", by_ec)
            || signed::is_signed(token, "RS256", by_rsa)
    }
}

// The first byte: 0 an Authorization header as it is; 1 to 4 header and claims, signed with the secret, the EC key, the RSA key, or as a
// ticket; 5 with a secret of somebody else.
fuzz_target!(|data: &[u8]| {
    let Some((kind, rest)) = data.split_first() else { return };
    let world = &*WORLD;
    let token = match kind % 6 {
        0 => {
            let Ok(header) = std::str::from_utf8(rest) else { return };
            if let Ok(caller) = world.ask(header) {
                let token = header.split_once(' ').expect("a scheme").1.trim();
                is_let_in(world, &caller, token);
            }
            return;
        }
        1 => signed::compose(rest, |text| signed::hs256(SECRET, text)),
        2 => signed::compose(rest, |text| world.es256(text)),
        3 => signed::compose(rest, |text| world.rs256(text)),
        4 => signed::compose(rest, |text| signed::hs256(TICKETS, text)),
        _ => signed::compose(rest, |text| signed::hs256("a secret of somebody else, of their own", text)),
    };
    match world.ask(&format!("Bearer {token}")) {
        Ok(caller) => {
            is_let_in(world, &caller, &token);
            for bent in signed::bent(&token) {
                assert!(world.ask(&format!("Bearer {bent}")).is_err(), "{bent}");
            }
        }
        Err(error) => signed::is_not_told(&token, &error),
    }
});

fn is_let_in(world: &World, caller: &Caller, token: &str) {
    let is_genuine = match caller {
        Caller::User(_) => world.is_genuine(token),
        Caller::Device(_) => signed::is_hs256_of(TICKETS, token),
        Caller::Service => token == SERVICE_KEY,
    };
    assert!(is_genuine, "let in as {caller:?} by {token}");
}

fn users(key: UserKey) -> Users {
    Users {
        issuer: "https://id.example".to_owned(),
        audience: Some("app".to_owned()),
        key,
        required_claims: BTreeMap::from([("role".to_owned(), "authenticated".to_owned())]),
        user_claim: "sub".to_owned(),
        name_claim: Some("app_metadata.name".to_owned()),
        avatar_claim: Some("https://id.example/avatar".to_owned()),
        avatar_hosts: vec!["cdn.example".to_owned()],
        user_prefix: "u:".to_owned(),
        apps: Vec::new(),
    }
}

/// A key that the simulator made for its service account: no other code here makes RSA keys.
async fn rsa_pkcs8() -> Vec<u8> {
    let simulator = Simulator::start(Options::new(Clock::system())).await.expect("a simulator");
    let account: Value = serde_json::from_str(&simulator.credentials().service_account_json).expect("json");
    let pem = account["private_key"].as_str().expect("a key").to_owned();
    simulator.stop().await;
    let base64: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
    BASE64.decode(base64.as_bytes()).expect("base64")
}

fn jwks(ec: &EcdsaKeyPair, rsa: &RsaKeyPair) -> String {
    let point = ec.public_key().as_ref();
    let rsa: rsa::PublicKeyComponents<Vec<u8>> = rsa.public().into();
    let text = |bytes: &[u8]| BASE64URL_NOPAD.encode(bytes);
    let keys = json!({"keys": [
        {"kty": "EC", "crv": "P-256", "kid": "ec", "x": text(&point[1..33]), "y": text(&point[33..])},
        {"kty": "RSA", "kid": "rsa", "n": text(&rsa.n), "e": text(&rsa.e)},
    ]});
    keys.to_string()
}

/// Serves a document to whoever asks, for as long as the process lasts; the URL.
fn serve(document: &str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}/jwks", listener.local_addr().expect("an address"));
    let answer =
        format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{document}", document.len());
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let _ = stream.read(&mut [0; 4096]);
            let _ = stream.write_all(answer.as_bytes());
        }
    });
    url
}
