//! The users, their phones, and the tokens by which they are known. Registering is the client's.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use data_encoding::HEXLOWER;
use jsonwebtoken::{EncodingKey, Header};
use serde_json::{Value, json};
use tokio::sync::Mutex;

use crate::Failure;
use crate::dice::Dice;
use crate::world::config::{APP, AUDIENCE, ISSUER, USER_SECRET};

/// Far in the future: nothing here is about expiry.
const EXPIRES_AT: u64 = 4_000_000_000;
/// What stands in every push token of an iPhone (as hex) and of an Android phone, and nowhere else.
pub const MARKS: [&str; 2] = ["6368616f732f", ":APA91b"];

/// A user.
pub struct Person {
    pub id: String,
    /// Their token of the identity provider.
    pub token: String,
    pub phones: Vec<Phone>,
    /// Held by the scene that the person plays in.
    pub turn: Mutex<()>,
}

/// A phone of a user, under push tokens that are replaced once a provider has called one of them dead.
pub struct Phone {
    pub id: String,
    pub is_iphone: bool,
    owner: usize,
    index: usize,
    generation: AtomicU32,
    refused: AtomicBool,
}

impl Person {
    pub fn new(number: usize, dice: &mut Dice) -> Result<Self, Failure> {
        let id = format!("user-{number:05}");
        let claims = json!({
            "iss": ISSUER, "aud": AUDIENCE, "sub": id, "name": format!("User {number}"), "exp": EXPIRES_AT,
        });
        let token =
            jsonwebtoken::encode(&Header::default(), &claims, &EncodingKey::from_secret(USER_SECRET.as_bytes()))?;
        let phones = 1 + dice.below(3);
        let phones = (0..phones).map(|index| Phone::new(number, index, dice.chance(50))).collect();
        Ok(Self { id, token, phones, turn: Mutex::new(()) })
    }
}

impl Phone {
    fn new(owner: usize, index: usize, is_iphone: bool) -> Self {
        let id = format!("{}-{index}", if is_iphone { "iphone" } else { "pixel" });
        Self { id, is_iphone, owner, index, generation: AtomicU32::new(0), refused: AtomicBool::new(false) }
    }

    /// The token that its rings go to.
    pub fn ring_token(&self) -> String {
        if self.is_iphone { self.hex("ring") } else { self.text() }
    }

    /// The token that its other pushes go to.
    pub fn notice_token(&self) -> String {
        if self.is_iphone { self.hex("look") } else { self.text() }
    }

    fn name(&self) -> String {
        format!("{:05}/{}/{:05}", self.owner, self.index, self.generation.load(Ordering::Relaxed))
    }

    /// 32 bytes, as Apple's are.
    fn hex(&self, kind: &str) -> String {
        HEXLOWER.encode(format!("chaos/{kind}/{}/{:>7}", self.name(), "").as_bytes())
    }

    fn text(&self) -> String {
        format!("{}:APA91b{}", HEXLOWER.encode(self.name().as_bytes()), "x".repeat(40))
    }

    /// The body of its registration.
    pub fn registration(&self) -> Value {
        if self.is_iphone {
            json!({
                "platform": "ios", "app": APP,
                "voip_token": self.ring_token(), "alert_token": self.notice_token(),
            })
        } else {
            json!({"platform": "android", "app": APP, "fcm_token": self.ring_token()})
        }
    }

    /// A provider has called one of its tokens dead.
    pub fn refuse(&self) {
        self.refused.store(true, Ordering::Relaxed);
    }

    /// As an app that gets other tokens from its provider. False if it needs none.
    pub fn renew(&self) -> bool {
        let refused = self.refused.swap(false, Ordering::Relaxed);
        if refused {
            self.generation.fetch_add(1, Ordering::Relaxed);
        }
        refused
    }
}
