//! A request to the control port, read and bounded: path, query and JSON, each refused by name where it is wrong.

use std::time::Duration;

use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt, Limited};
use hyper::body::Body;
use serde_json::{Map, Value};

use super::reply::{Refusal, bad, expected, refuse};

/// A rule has at most a few texts.
const MAX_BODY_BYTES: usize = 64 * 1024;
const BODY_WITHIN: Duration = Duration::from_secs(10);

/// Why a body did not come.
pub(super) type BoxError = Box<dyn std::error::Error + Send + Sync>;

pub(super) struct Ask {
    pub(super) method: Method,
    /// Its parts, unescaped.
    pub(super) path: Vec<String>,
    query: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Ask {
    pub(super) async fn read<B: Body<Error: Into<BoxError>>>(request: Request<B>) -> Result<Self, Refusal> {
        let (head, body) = request.into_parts();
        let parts = head.uri.path().split('/').filter(|part| !part.is_empty());
        let path = parts.map(|part| unescape(part, "path")).collect::<Result<_, _>>()?;
        let pairs = head.uri.query().unwrap_or_default().split('&').filter(|pair| !pair.is_empty());
        let query = pairs.map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            Ok::<_, Refusal>((unescape(name, "query")?, unescape(value, name)?))
        });
        let query = query.collect::<Result<_, Refusal>>()?;
        let body = tokio::time::timeout(BODY_WITHIN, Limited::new(body, MAX_BODY_BYTES).collect()).await;
        let body = body.map_err(|_| refuse(StatusCode::REQUEST_TIMEOUT, "body", "it did not come in time"))?;
        let body = body.map_err(|_| {
            refuse(
                StatusCode::PAYLOAD_TOO_LARGE,
                "body",
                format!("expected a whole body of at most {MAX_BODY_BYTES} bytes"),
            )
        })?;
        Ok(Self { method: head.method, path, query, body: body.to_bytes().to_vec() })
    }

    /// Refuses a query and a body.
    pub(super) fn is_bare(&self) -> Result<(), Refusal> {
        self.has_query_of(&[])?;
        if self.body.is_empty() { Ok(()) } else { Err(bad("body", "expected none")) }
    }

    /// Refuses names in the query that are none of these, or there twice.
    pub(super) fn has_query_of(&self, known: &[&str]) -> Result<(), Refusal> {
        for (index, (name, _)) in self.query.iter().enumerate() {
            if !known.contains(&name.as_str()) {
                return Err(expected(name, &known_names(known), name));
            }
            if self.query.iter().take(index).any(|(earlier, _)| earlier == name) {
                return Err(bad(name, "expected once"));
            }
        }
        Ok(())
    }

    /// A value of the query.
    pub(super) fn query<T>(
        &self,
        name: &str,
        what: &str,
        parse: impl Fn(&str) -> Option<T>,
    ) -> Result<Option<T>, Refusal> {
        let given = self.query.iter().find(|(known, _)| known == name);
        given.map(|(_, text)| parse(text).ok_or_else(|| expected(name, what, text))).transpose()
    }

    /// The fields of a JSON object whose values are texts and numbers; of none if there is no body.
    pub(super) fn fields(&self) -> Result<Vec<(String, String)>, Refusal> {
        self.has_query_of(&[])?;
        if self.body.is_empty() {
            return Ok(Vec::new());
        }
        let object: Map<String, Value> = serde_json::from_slice(&self.body)
            .map_err(|error| bad("body", format!("expected a JSON object: {error}")))?;
        let text = |(name, value): (String, Value)| match value {
            Value::String(text) => Ok((name, text)),
            Value::Number(number) => Ok((name, number.to_string())),
            other => Err(expected(&name, "a text or a number", &other.to_string())),
        };
        object.into_iter().map(text).collect()
    }

    /// The same, of which only these may be there.
    pub(super) fn fields_of(&self, known: &[&str]) -> Result<Vec<(String, String)>, Refusal> {
        let fields = self.fields()?;
        match fields.iter().find(|(name, _)| !known.contains(&name.as_str())) {
            Some((name, _)) => Err(expected(name, &known_names(known), name)),
            None => Ok(fields),
        }
    }
}

/// A value of these fields.
pub(super) fn field<T>(
    fields: &[(String, String)],
    name: &str,
    what: &str,
    parse: impl Fn(&str) -> Option<T>,
) -> Result<Option<T>, Refusal> {
    let given = fields.iter().find(|(known, _)| known == name);
    given.map(|(_, text)| parse(text).ok_or_else(|| expected(name, what, text))).transpose()
}

fn known_names(known: &[&str]) -> String {
    if known.is_empty() { "nothing".to_owned() } else { format!("one of {}", known.join(", ")) }
}

/// Percent-encoding (RFC 3986, 2.1), and a plus for a space as forms have it.
fn unescape(text: &str, field: &str) -> Result<String, Refusal> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        rest = after;
        match (first, after) {
            (b'+', _) => bytes.push(b' '),
            (b'%', [high, low, after @ ..]) => {
                let byte = data_encoding::HEXLOWER_PERMISSIVE.decode(&[*high, *low]);
                bytes.extend(byte.map_err(|_| expected(field, "percent-encoding", text))?);
                rest = after;
            }
            (b'%', _) => return Err(expected(field, "percent-encoding", text)),
            _ => bytes.push(*first),
        }
    }
    String::from_utf8(bytes).map_err(|_| expected(field, "UTF-8", text))
}
