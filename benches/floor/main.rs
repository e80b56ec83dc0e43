//! The floor: what one invite cannot do without, and no gateway around it.
//!
//! HTTP, the check of a JWT, four trips to Redis one after another (the caller's line, the callee's with their devices, whose the push tokens are
//! by now, the record: on a Cluster each may be on a node of its own), a LiveKit token, a ticket for each of two devices, a push to each on the bare `h2` crate, and one trip
//! for what came of both. No limits, retries, leases, metrics, logs, events, idempotency; nothing else of a call. For `benches/load` only.

mod push;
mod store;

use std::env::var;
use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{post, put};
use axum::{Json, Router};
use bellwire::clock::Clock;
use bellwire::domain::Timestamp;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use tokio::net::TcpListener;

use push::{Providers, Ring};
use store::Store;

/// Whatever went wrong.
type Failure = Box<dyn Error + Send + Sync>;

/// How long a token for LiveKit is good, and a ticket.
const VALID_FOR: Duration = Duration::from_hours(4);

struct Floor {
    clock: Clock,
    store: Store,
    providers: Providers,
    users: (DecodingKey, Validation),
    tickets: EncodingKey,
    livekit: EncodingKey,
}

/// Of a user's token.
#[derive(Deserialize)]
struct Claims {
    sub: String,
    name: String,
}

#[derive(Deserialize)]
struct Invite {
    callee: String,
    media: String,
    ring_seconds: u64,
    metadata: Box<RawValue>,
}

/// A device as it was registered.
#[derive(Deserialize)]
#[expect(clippy::struct_field_names, reason = "the API's names")]
struct Device {
    voip_token: Option<String>,
    alert_token: Option<String>,
    fcm_token: Option<String>,
}

impl Device {
    fn tokens(&self) -> impl Iterator<Item = &str> {
        [&self.voip_token, &self.alert_token, &self.fcm_token].into_iter().flatten().map(String::as_str)
    }
}

/// What is stored, and what is answered.
#[derive(Serialize)]
struct Call<'a> {
    id: &'a str,
    version: u32,
    state: &'static str,
    media: &'a str,
    caller: Party<'a>,
    callee: Party<'a>,
    created_at: String,
    ring_until: String,
    metadata: &'a RawValue,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    devices: &'a [Box<RawValue>],
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    taken: &'a [bool],
}

#[derive(Clone, Copy, Serialize)]
struct Party<'a> {
    id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
}

#[derive(Serialize)]
struct Answer<'a> {
    call: Call<'a>,
    livekit: Access<'a>,
}

#[derive(Serialize)]
struct Access<'a> {
    url: &'static str,
    room: &'a str,
    token: String,
}

#[derive(Serialize)]
struct Grant<'a> {
    iss: &'static str,
    sub: &'a str,
    name: &'a str,
    nbf: u64,
    exp: u64,
    video: Room<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
#[expect(clippy::struct_field_names, reason = "LiveKit's names")]
struct Room<'a> {
    room: &'a str,
    room_join: bool,
    can_publish: bool,
    can_subscribe: bool,
}

#[derive(Serialize)]
struct Ticket<'a> {
    call: &'a str,
    sub: &'a str,
    device: usize,
    exp: u64,
}

// As the gateway on two cores.
#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Failure> {
    bellwire::crypto::install()?;
    let clock = Clock::system();
    let mut validation = Validation::new(Algorithm::HS256);
    validation.set_issuer(&[var("JWT_ISSUER")?]);
    validation.set_audience(&[var("JWT_AUDIENCE")?]);
    let floor = Floor {
        store: Store::open(&var("REDIS_URL")?).await?,
        providers: Providers::connect(&clock).await?,
        users: (DecodingKey::from_secret(var("JWT_SECRET")?.as_bytes()), validation),
        tickets: EncodingKey::from_secret(var("TICKET_SECRET")?.as_bytes()),
        livekit: EncodingKey::from_secret(b"secret"),
        clock,
    };
    let routes = Router::new().route("/v1/calls", post(invite)).route("/v1/devices/{id}", put(register));
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("ready http={}", listener.local_addr()?);
    Ok(axum::serve(listener, routes.with_state(Arc::new(floor))).await?)
}

async fn register(
    State(floor): State<Arc<Floor>>,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: String,
) -> Result<Json<()>, Refused> {
    let user = floor.user(&headers)?;
    let device: Device = serde_json::from_str(&body).map_err(Failure::from)?;
    floor.store.put_device(&user.sub, &id, &body).await?;
    floor.store.own(&user.sub, device.tokens()).await?;
    Ok(Json(()))
}

async fn invite(
    State(floor): State<Arc<Floor>>,
    headers: HeaderMap,
    Json(invite): Json<Invite>,
) -> Result<Response, Refused> {
    let caller = floor.user(&headers)?;
    let (now, id) = (floor.clock.now(), floor.clock.call_id().to_string());
    floor.store.claim(&caller.sub, &id, now).await?;
    let devices = floor.store.claim(&invite.callee, &id, now).await?;
    let (devices, targets) = floor.owned(&invite.callee, devices).await?;
    let ring_until = now + Duration::from_secs(invite.ring_seconds);
    let call = call(&id, &caller, &invite, (now, ring_until), (&devices, &[]));
    floor.store.commit(&id, &serde_json::to_vec(&call).map_err(Failure::from)?, ring_until).await?;
    let token = floor.livekit_token(&caller, &id, now)?;
    let answer = Answer {
        call: Call { devices: &[], ..call },
        livekit: Access { url: "ws://127.0.0.1:7880", room: &id, token },
    };
    let answer = (StatusCode::CREATED, Json(&answer)).into_response();
    tokio::spawn(async move {
        if let Err(error) = floor.ring(&id, &caller, &invite, (now, ring_until), (&devices, &targets)).await {
            eprintln!("call {id}: {error}");
        }
    });
    Ok(answer)
}

fn call<'a>(
    id: &'a str,
    caller: &'a Claims,
    invite: &'a Invite,
    (now, ring_until): (Timestamp, Timestamp),
    (devices, taken): (&'a [Box<RawValue>], &'a [bool]),
) -> Call<'a> {
    Call {
        id,
        version: if taken.is_empty() { 1 } else { 2 },
        state: "calling",
        media: &invite.media,
        caller: Party { id: &caller.sub, name: Some(&caller.name) },
        callee: Party { id: &invite.callee, name: None },
        created_at: now.rfc3339(),
        ring_until: ring_until.rfc3339(),
        metadata: &invite.metadata,
        devices,
        taken,
    }
}

impl Floor {
    fn user(&self, headers: &HeaderMap) -> Result<Claims, Refused> {
        let token = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "));
        let (key, validation) = &self.users;
        let claims = jsonwebtoken::decode::<Claims>(token.ok_or("no token")?, key, validation);
        Ok(claims.map_err(Failure::from)?.claims)
    }

    /// Those of a user's devices whose tokens are no one else's.
    async fn owned(&self, user: &str, stored: Vec<String>) -> Result<(Vec<Box<RawValue>>, Vec<Device>), Failure> {
        let targets = stored.iter().map(|device| serde_json::from_str(device)).collect::<Result<Vec<Device>, _>>()?;
        let mut owners = self.store.owners(targets.iter().flat_map(Device::tokens)).await?.into_iter();
        let mut owned = (Vec::new(), Vec::new());
        for (device, target) in stored.into_iter().zip(targets) {
            let of_others =
                target.tokens().zip(&mut owners).filter(|(_, owner)| owner.as_deref() != Some(user)).count();
            if of_others == 0 {
                owned.0.push(RawValue::from_string(device)?);
                owned.1.push(target);
            }
        }
        Ok(owned)
    }

    fn livekit_token(&self, caller: &Claims, room: &str, now: Timestamp) -> Result<String, Failure> {
        let grant = Grant {
            iss: "devkey",
            sub: &caller.sub,
            name: &caller.name,
            nbf: now.as_secs(),
            exp: (now + VALID_FOR).as_secs(),
            video: Room { room, room_join: true, can_publish: true, can_subscribe: true },
        };
        Ok(jsonwebtoken::encode(&Header::default(), &grant, &self.livekit)?)
    }

    /// Pushes to each device at once, and writes down what came of it.
    async fn ring(
        &self,
        id: &str,
        caller: &Claims,
        invite: &Invite,
        times: (Timestamp, Timestamp),
        (devices, targets): (&[Box<RawValue>], &[Device]),
    ) -> Result<(), Failure> {
        let pushes = targets.iter().enumerate().map(async |(number, target)| {
            let ticket = Ticket { call: id, sub: &invite.callee, device: number, exp: (times.1 + VALID_FOR).as_secs() };
            let ring = Ring {
                kind: "ring",
                call_id: id,
                caller_id: &caller.sub,
                caller_name: &caller.name,
                video: invite.media == "video",
                created_at: times.0.as_millis(),
                expires_at: times.1.as_millis(),
                ticket: jsonwebtoken::encode(&Header::default(), &ticket, &self.tickets)?,
                url: "http://127.0.0.1:8080",
                metadata: &invite.metadata,
            };
            match target {
                Device { voip_token: Some(token), .. } => self.providers.apns(token, &ring, self.clock.now()).await,
                Device { fcm_token: Some(token), .. } => self.providers.fcm(token, &ring).await,
                Device { .. } => Ok(false),
            }
        });
        let taken = futures_util::future::try_join_all(pushes).await?;
        let call = call(id, caller, invite, times, (devices, &taken));
        self.store.commit(id, &serde_json::to_vec(&call)?, times.1).await
    }
}

/// Why there is no answer.
struct Refused(Failure);

impl<E: Into<Failure>> From<E> for Refused {
    fn from(error: E) -> Self {
        Self(error.into())
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        (StatusCode::INTERNAL_SERVER_ERROR, self.0.to_string()).into_response()
    }
}
